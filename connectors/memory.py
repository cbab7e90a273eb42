"""A broker in memory that keeps Kafka's promises: for tests, and for users who try something out.

Transactions take an offset for their end on each partition they wrote to, as Kafka's control records do; read_committed readers stop at
the first record of an open transaction; a producer with a transactional id fences the one that had it before.
tests/connectors/test_contract.py asks this and a real broker the same questions.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from connectors.errors import FencedError, MessageTooLargeError, TransactionError, not_in_log
from connectors.kafka import batches as wire
from connectors.kafka.admin import TopicSettings
from connectors.kafka.columns import Bytes, Headers, Records
from streams.errors import BrokerError
from streams.types import Int64

TopicPart = tuple[str, int]
RecordHeaders = Sequence[list[tuple[str, bytes | None]] | None]
OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


@dataclass(eq=False)
class _Transaction:
    state: str = OPEN
    partitions: set[TopicPart] = field(default_factory=set)
    positions: tuple[Mapping[TopicPart, tuple[int, str]], str] | None = None


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Consecutive records written together; a control chunk has none and takes one offset."""

    base: int
    records: Records | None
    transaction: _Transaction | None

    @property
    def end(self) -> int:
        return self.base + (1 if self.records is None else len(self.records))


@dataclass
class _Log:
    chunks: list[_Chunk] = field(default_factory=list)
    beginning: int = 0

    @property
    def end(self) -> int:
        return self.chunks[-1].end if self.chunks else self.beginning

    @property
    def stable(self) -> int:
        return next((chunk.base for chunk in self.chunks if chunk.transaction is not None and chunk.transaction.state == OPEN), self.end)

    def at(self, offset: int) -> int:
        """The chunk that holds the offset."""
        return max(bisect.bisect_right(self.chunks, offset, key=lambda chunk: chunk.base) - 1, 0)


class MemoryBroker:
    """Topics, committed positions and transactional ids; opens consumers and producers on them."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._logs: dict[TopicPart, _Log] = {}
        self._topics: dict[str, TopicSettings] = {}
        self._groups: dict[str, dict[TopicPart, tuple[int, str]]] = {}
        self._owners: dict[str, MemoryProducer] = {}

    def ensure_topics(self, wanted: Mapping[str, TopicSettings]) -> list[str]:
        """Make the topics that are missing."""
        done = []
        with self._changed:
            for name, want in wanted.items():
                if name in self._topics:
                    if self._topics[name].partitions != want.partitions:
                        raise BrokerError(f"topic {name} has {self._topics[name].partitions} partitions, wished {want.partitions}")
                    continue
                self._topics[name] = want
                self._logs.update({(name, number): _Log() for number in range(want.partitions)})
                done.append(f"made {name}: {want.partitions} partitions")
        return done

    def consumer(self, isolation: str = "read_committed") -> MemoryConsumer:
        return MemoryConsumer(self, isolation)

    def producer(self, transactional_id: str | None = None) -> MemoryProducer:
        """A producer; one that had this transactional id is fenced, and what it left open is aborted."""
        made = MemoryProducer(self, transactional_id)
        if transactional_id is not None:
            with self._changed:
                before = self._owners.get(transactional_id)
                if before is not None:
                    before._fence()
                self._owners[transactional_id] = made
        return made

    def commit(self, positions: Mapping[TopicPart, tuple[int, str] | int], group: str) -> None:
        """Commit a group's positions outside a transaction."""
        with self._changed:
            known = self._groups.setdefault(group, {})
            known.update({part: (at, "") if isinstance(at, int) else at for part, at in positions.items()})

    def delete_before(self, partition: TopicPart, offset: int) -> None:
        """What retention does: the records before the offset are gone."""
        with self._changed:
            log = self._log(partition)
            kept: list[_Chunk] = []
            for chunk in log.chunks:
                if chunk.end <= offset:
                    continue
                if chunk.base < offset and chunk.records is not None:
                    chunk = _Chunk(offset, chunk.records.take(slice(offset - chunk.base, None)), chunk.transaction)
                kept.append(chunk)
            end = log.end
            log.chunks, log.beginning = kept, min(max(offset, log.beginning), end)

    def _log(self, partition: TopicPart) -> _Log:
        try:
            return self._logs[partition]
        except KeyError:
            raise BrokerError(f"there is no {partition[0]}[{partition[1]}]; create the topic first (ensure_topics)") from None


class MemoryConsumer:
    """As ColumnarConsumer, on a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, isolation: str = "read_committed") -> None:
        self._broker = broker
        self._committed = isolation == "read_committed"
        self._positions: dict[TopicPart, int] = {}
        self._paused: set[TopicPart] = set()

    def assign(self, partitions: Iterable[TopicPart], start: Mapping[TopicPart, int] | None = None) -> None:
        before, self._positions = self._positions, {}
        for part in partitions:
            self._positions[part] = (start or {}).get(part, before.get(part, self._broker._log(part).beginning))
        self._paused &= set(self._positions)

    def seek(self, partition: TopicPart, offset: int) -> None:
        self._assigned(partition)
        self._positions[partition] = offset

    def poll(self, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]:
        deadline = time.monotonic() + timeout_ms / 1000
        with self._broker._changed:
            while True:
                found, left = [], max_records
                for part in list(self._positions):
                    if left > 0 and part not in self._paused and (records := self._read(part, left)) is not None:
                        found.append(records)
                        left -= len(records)
                        self._positions = {**{p: at for p, at in self._positions.items() if p != part}, part: self._positions[part]}
                wait = deadline - time.monotonic()
                if found or wait <= 0:
                    return found
                self._broker._changed.wait(wait)

    def _read(self, part: TopicPart, most: int) -> Records | None:
        log, at = self._broker._log(part), self._positions[part]
        if not log.beginning <= at <= log.end:
            raise not_in_log(*part, at, log.beginning, log.end)
        taken = []
        end = log.stable if self._committed else log.end
        for chunk in log.chunks[log.at(at) :]:
            if most <= 0 or chunk.base >= end:
                break
            if chunk.end <= at:
                continue
            hidden = self._committed and chunk.transaction is not None and chunk.transaction.state == ABORTED
            if chunk.records is None or hidden:
                at = chunk.end
                continue
            first = at - chunk.base
            part_of = chunk.records.take(slice(first, first + most))
            at = chunk.base + first + len(part_of)
            most -= len(part_of)
            taken.append(part_of)
        self._positions[part] = at
        if not taken:
            return None
        found = Records.concat(taken)
        return found.take(slice(None), at)

    def position(self, partition: TopicPart) -> int:
        self._assigned(partition)
        return self._positions[partition]

    def positions(self) -> dict[TopicPart, int]:
        return dict(self._positions)

    def pause(self, partitions: Iterable[TopicPart]) -> None:
        for part in partitions:
            self._assigned(part)
            self._paused.add(part)

    def resume(self, partitions: Iterable[TopicPart]) -> None:
        self._paused -= set(partitions)

    def paused(self) -> set[TopicPart]:
        return set(self._paused)

    def partitions(self, topic: str) -> list[int]:
        settings = self._broker._topics.get(topic)
        return [] if settings is None else list(range(settings.partitions))

    def beginning_offsets(self, partitions: Iterable[TopicPart]) -> dict[TopicPart, int]:
        with self._broker._changed:
            return {part: self._broker._log(part).beginning for part in partitions}

    def end_offsets(self, partitions: Iterable[TopicPart] | None = None) -> dict[TopicPart, int]:
        with self._broker._changed:
            logs = {part: self._broker._log(part) for part in (self._positions if partitions is None else partitions)}
            return {part: log.stable if self._committed else log.end for part, log in logs.items()}

    def offsets_at(self, times: Mapping[TopicPart, int]) -> dict[TopicPart, int]:
        found = {}
        with self._broker._changed:
            for part, at in times.items():
                found[part] = self.end_offsets([part])[part]
                for chunk in self._broker._log(part).chunks:
                    if chunk.records is not None and (late := np.flatnonzero(chunk.records.timestamps >= at)).size:
                        found[part] = min(found[part], int(chunk.records.offsets[late[0]]))
                        break
        return found

    def committed(self, group: str, partitions: Iterable[TopicPart] | None = None) -> dict[TopicPart, tuple[int, str]]:
        with self._broker._changed:
            known = self._broker._groups.get(group, {})
            return {part: known[part] for part in (self._positions if partitions is None else partitions) if part in known}

    def close(self) -> None:
        self._positions.clear()

    def __enter__(self) -> MemoryConsumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _assigned(self, partition: TopicPart) -> None:
        if partition not in self._positions:
            raise BrokerError(f"{partition[0]}[{partition[1]}] has no position; assign it first")


class MemoryProducer:
    """As ColumnarProducer, on a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, transactional_id: str | None = None) -> None:
        self._broker = broker
        self.transactional_id = transactional_id
        self._transaction: _Transaction | None = None
        self._fenced = False

    def begin(self) -> None:
        self._usable(transactional=True)
        if self._transaction is not None:
            raise TransactionError("a transaction is open already; commit or abort it first")
        self._transaction = _Transaction()

    def send(
        self, topic: str, partition: int, timestamps: Int64, keys: Bytes | None, values: Bytes, headers: RecordHeaders | None = None
    ) -> None:
        if not len(values):
            return
        with self._broker._changed:
            self._usable(transactional=self.transactional_id is not None)
            if self.transactional_id is not None and self._transaction is None:
                raise TransactionError("send outside a transaction; call begin() first")
            keys = Bytes.nulls(len(values)) if keys is None else keys.compact()
            values = values.compact()
            times = np.array(timestamps, np.int64)
            if not len(keys) == len(values) == len(times):
                raise ValueError(f"{len(times)} timestamps, {len(keys)} keys and {len(values)} values: these must be as many")
            log = self._broker._log((topic, partition))
            buffer, start, length = wire.encode_headers(None if headers is None else list(headers), len(values))
            limit = self._broker._topics[topic].max_message_bytes or 1_048_588
            _, _, large = wire.cut(times, keys.length, values.length, length, limit, limit)
            if large >= 0:
                raise MessageTooLargeError(
                    f"record {large} for {topic}[{partition}] does not fit the {limit:,} bytes the topic takes a batch", int(large)
                )
            counts = np.zeros(len(values), np.int32)
            if headers is not None:
                counts[:] = [len(row or ()) for row in headers]
            size = np.array([len(wire.varint(int(count))) for count in counts]) if headers is not None else 1
            base = log.end
            records = Records(
                topic,
                partition,
                np.arange(base, base + len(values)),
                times,
                keys,
                values,
                Headers(buffer, start + size, counts),
                base + len(values),
            )
            log.chunks.append(_Chunk(base, records, self._transaction))
            if self._transaction is not None:
                self._transaction.partitions.add((topic, partition))
            self._broker._changed.notify_all()

    def flush(self) -> None:
        self._usable(transactional=self.transactional_id is not None)

    def send_positions(self, positions: Mapping[TopicPart, tuple[int, str]], group: str) -> None:
        self._usable(transactional=True)
        if self._transaction is None:
            raise TransactionError("positions outside a transaction; call begin() first")
        self._transaction.positions = (positions, group)

    def commit(self) -> None:
        with self._broker._changed:
            self._usable(transactional=True)
            if self._transaction is None:
                raise TransactionError("commit without a transaction; call begin() first")
            if self._transaction.positions is not None:
                self._broker.commit(*self._transaction.positions)
            self._end(COMMITTED)

    def abort(self) -> None:
        with self._broker._changed:
            if self._fenced:
                self._usable(transactional=True)
            if self._transaction is not None:
                self._end(ABORTED)

    def close(self) -> None:
        if not self._fenced:
            self.abort()

    def __enter__(self) -> MemoryProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, state: str) -> None:
        assert self._transaction is not None
        self._transaction.state = state
        for part in self._transaction.partitions:
            log = self._broker._log(part)
            log.chunks.append(_Chunk(log.end, None, None))
        self._transaction = None
        self._broker._changed.notify_all()

    def _fence(self) -> None:
        if self._transaction is not None:
            self._end(ABORTED)
        self._fenced = True

    def _usable(self, transactional: bool) -> None:
        if self._fenced:
            raise FencedError(
                f"another producer has taken over the transactional id {self.transactional_id}; this one is out of date and writes no more"
            )
        if transactional and self.transactional_id is None:
            raise TransactionError("this producer has no transactional_id; transactions need one")
