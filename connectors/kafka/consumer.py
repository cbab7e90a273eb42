"""Read partitions as columns, over kafka-python's network: one `Records` a partition and poll, not an object a record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import crc32c
import kafka.errors
import numpy as np
import numpy.typing as npt
from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.structs import TopicPartition

from connectors.errors import CorruptBatchError, MessageFormatError, OffsetLostError, said
from connectors.kafka import batches as wire
from connectors.kafka import seams
from connectors.kafka import settings as _settings
from connectors.kafka.columns import Bytes, Headers, Records
from streams.errors import BrokerError
from streams.types import Int64

__all__ = ["ColumnarConsumer"]

assert seams  # imported for its check
TopicPart = tuple[str, int]
OFFSET_ATTEMPTS = 20
_GROUP_BYTES = 16 << 20  # batches are decoded together up to this many bytes


class _Columns(list[Records]):
    """What one partition gives to a poll; counted by kafka-python as the records in it, not as the parts."""

    def __len__(self) -> int:
        return sum(len(part) for part in self)

    def __bool__(self) -> bool:
        return any(len(part) for part in self)


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """One partition of one fetch response: batches are checked, filtered and decoded as they are taken."""

    _ahead: Records | None = None

    def _maybe_skip_record(self, record: Records) -> bool:
        return False

    def take(self, n: int | None = None) -> _Columns:
        """Up to n records; `next_fetch_offset` moves past them, and past what no reader may see behind them."""
        taken = _Columns()
        left = 2**62 if n is None else n
        try:
            self._maybe_raise_next_inline_exception()
            while True:
                if self._ahead is None:
                    # None: drained; the iterator has moved the position over trailing control batches
                    self._ahead = next(self.record_iterator, None) if self.record_iterator is not None else None
                    if self._ahead is None:
                        break
                if left <= 0:
                    break
                part = self._ahead
                if len(part) > left:
                    following = int(part.offsets[left])
                    self._ahead = part.take(slice(left, None))
                    part = part.take(slice(None, left), following)
                else:
                    self._ahead = None
                left -= len(part)
                taken.append(part)
                self.next_fetch_offset = part.next_offset
        except Exception as error:  # whatever it is, what came before it is given first
            if not taken:
                self.drain()  # kafka-python would ask a generator that has ended for ever
                raise
            self._next_inline_exception = error
        return taken

    def _unpack_records(self, tp: TopicPartition, records: Any, *_: Any) -> Iterator[Records]:
        buffer = np.frombuffer(records._buffer, np.uint8)
        found = np.zeros((min(max(len(buffer) // 61, 1), 65536), 12), np.int64)
        at = 0
        while True:
            count, end = wire.scan(buffer[at:], found)
            if not count:
                break
            rows = found[:count].copy()
            rows[:, wire.POSITION] += at
            at += int(end)
            yield from self._decode(tp, buffer, rows)
        self.drain()

    def _decode(self, tp: TopicPartition, buffer: npt.NDArray[np.uint8], rows: Int64) -> Iterator[Records]:
        place = f"{tp.topic}[{tp.partition}]"
        group: list[list[int]] = []
        size = 0
        view = buffer.data
        for row in rows.tolist():
            if row[wire.MAGIC] != 2:
                raise MessageFormatError(
                    f"{place}@{row[wire.BASE_OFFSET]}: message format v{row[wire.MAGIC]}, wished v2 (Kafka 0.11 and later); "
                    "rewrite the topic with a newer client"
                )
            last = row[wire.BASE_OFFSET] + row[wire.LAST_DELTA]
            start, end = row[wire.POSITION], row[wire.POSITION] + row[wire.SIZE]
            if self.check_crcs and crc32c.crc32c(view[start + 21 : end]) != row[wire.CRC]:
                if group:
                    yield from self._columns(tp, buffer, group)
                raise _corrupt(tp, row[wire.BASE_OFFSET], last + 1, "its checksum differs; the log or the network damaged it")
            self.leader_epoch = row[wire.EPOCH]
            if self._visible(row, last, view):
                group.append(row)
                size += row[wire.SIZE]
                if size >= _GROUP_BYTES:
                    yield from self._columns(tp, buffer, group)
                    group, size = [], 0
            elif group:
                group.append([last + 1])  # moves the position only
            else:
                self.next_fetch_offset = max(self.next_fetch_offset, last + 1)
        if group:
            yield from self._columns(tp, buffer, group)

    def _visible(self, row: list[int], last: int, view: memoryview) -> bool:
        control = bool(row[wire.ATTRIBUTES] & wire.CONTROL)
        producer = row[wire.PRODUCER]
        if self.isolation_level == IsolationLevel.READ_COMMITTED and producer >= 0:
            self._consume_aborted_transactions_up_to(last)
            if control:
                if producer in self.aborted_producer_ids and self._is_abort(row, view):
                    self.aborted_producer_ids.discard(producer)
            elif row[wire.ATTRIBUTES] & wire.TRANSACTIONAL and producer in self.aborted_producer_ids:
                return False
        return not control

    @staticmethod
    def _is_abort(row: list[int], view: memoryview) -> bool:
        """The key of a control record is (version int16, type int16); type 0 is an abort."""
        at = row[wire.POSITION] + wire.HEADER
        data = np.frombuffer(view[at : row[wire.POSITION] + row[wire.SIZE]], np.uint8)
        one = [np.empty(1, np.int64) for _ in range(7)]
        segment = np.array([[0, len(data), 1, 0, 0, 0]], np.int64)
        if wire.decode(data, segment, *one, np.empty(1, np.int32)) >= 0:  # type: ignore[call-arg]
            return False
        key = int(one[2][0])
        return bytes(data[key + 2 : key + 4]) == b"\x00\x00"

    def _columns(self, tp: TopicPartition, buffer: npt.NDArray[np.uint8], group: list[list[int]]) -> Iterator[Records]:
        """The batches of a group as one Records; rows of one number only move the position."""
        segments, parts, shift, following = [], [], 0, 0
        plain = not any(row[wire.ATTRIBUTES] & 7 for row in group if len(row) > 1)
        source = buffer
        for place, row in enumerate(group):
            if len(row) == 1:
                following = row[0]
                continue
            following = row[wire.BASE_OFFSET] + row[wire.LAST_DELTA] + 1
            start, end = row[wire.POSITION] + wire.HEADER, row[wire.POSITION] + row[wire.SIZE]
            if not plain:
                data: Any = source.data[start:end]
                if codec := row[wire.ATTRIBUTES] & 7:
                    try:
                        data = wire.decompress(codec, data)
                    except ValueError as error:
                        if place:
                            yield from self._columns(tp, source, group[:place])
                        raise _corrupt(tp, row[wire.BASE_OFFSET], following, f"it cannot be decompressed: {error}") from error
                parts.append(data)
                start, end = shift, shift + len(data)
                shift = end
            append_time = row[wire.MAX_TIME] if row[wire.ATTRIBUTES] & wire.LOG_APPEND_TIME else -1
            count = row[wire.COUNT] if row[wire.COUNT] <= (end - start) // 7 else -1  # a record has 7 bytes or more
            segments.append((start, end, count, row[wire.BASE_OFFSET], row[wire.FIRST_TIME], append_time, place))
        if not plain:
            buffer = np.frombuffer(b"".join(parts), np.uint8)
        table = np.array(segments, np.int64)
        count = int(np.maximum(table[:, 2], 0).sum())
        offsets, timestamps, key_at, key_len, value_at, value_len, header_at = (np.empty(count, np.int64) for _ in range(7))
        header_count = np.empty(count, np.int32)
        wrong = wire.decode(buffer, table, offsets, timestamps, key_at, key_len, value_at, value_len, header_at, header_count)
        if wrong >= 0:
            place = int(table[wrong, 6])
            if place:
                yield from self._columns(tp, source, group[:place])
            row = group[place]
            raise _corrupt(
                tp, row[wire.BASE_OFFSET], row[wire.BASE_OFFSET] + row[wire.LAST_DELTA] + 1, "its records break off or have bytes left over"
            )
        records = Records(
            tp.topic,
            tp.partition,
            offsets,
            timestamps,
            Bytes(buffer, key_at, key_len),
            Bytes(buffer, value_at, value_len),
            Headers(buffer, header_at, header_count),
            following,
        )
        self.records_read += count
        self.bytes_read += int((table[:, 1] - table[:, 0]).sum())
        if count and offsets[0] < self.fetch_offset:  # a fetch may begin inside a batch
            records = records.take(offsets >= self.fetch_offset)
        if len(records):
            yield records
        else:
            self.next_fetch_offset = max(self.next_fetch_offset, following)


class ColumnarConsumer:
    """Partitions read as columns from chosen offsets; positions are the caller's, nothing is committed by this class.

    `settings` are those of `settings_from_env`. `isolation` is "read_committed" or "read_uncommitted".
    """

    def __init__(self, settings: Mapping[str, Any], isolation: str = "read_committed") -> None:
        self.settings = dict(settings)
        options = {
            "fetch_max_wait_ms": 100,
            "metrics_enabled": False,
            "fetch_max_bytes": 16 << 20,
            "max_partition_fetch_bytes": 8 << 20,
            **_settings.client(settings, *_settings.CONSUMER),
        }
        try:
            self._consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level=isolation,
                allow_auto_create_topics=False,
                **options,
            )
        except kafka.errors.KafkaError as error:
            raise _unreachable(settings, error) from error
        self._consumer._fetcher.PartitionRecords = _PartitionRecords
        self._isolation = isolation
        self._groups: dict[str, KafkaConsumer] = {}

    def assign(self, partitions: Iterable[TopicPart], start: Mapping[TopicPart, int] | None = None) -> None:
        """Read these partitions from the offsets of `start`, those not in it from their beginning.

        Partitions that were assigned before go on where they stood.
        """
        wanted = [TopicPartition(*part) for part in partitions]
        before = {tp: self._consumer.position(tp) for tp in self._consumer.assignment()}
        self._consumer.assign(wanted)
        unset = []
        for tp in wanted:
            if start and tuple(tp) in start:
                self._consumer.seek(tp, start[tuple(tp)])
            elif before.get(tp) is not None:
                self._consumer.seek(tp, before[tp])
            else:
                unset.append(tp)
        if unset:
            for part, offset in self.beginning_offsets([tuple(tp) for tp in unset]).items():
                self.seek(part, offset)

    def seek(self, partition: TopicPart, offset: int) -> None:
        """Go on at this offset, which may lie inside a batch."""
        self._consumer.seek(TopicPartition(*partition), offset)

    def poll(self, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]:
        """What the partitions give next, one Records each, at most `max_records` rows in all; empty after `timeout_ms` without any.

        OffsetLostError where a position is not in the log, CorruptBatchError and MessageFormatError with the batch's place.
        """
        fetcher = self._consumer._fetcher
        if fetcher._next_partition_records is not None and not fetcher._next_partition_records:
            # kafka-python takes up what it parked for a paused partition only where this is None, not where it is used up
            fetcher._next_partition_records = None
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records)
        except kafka.errors.OffsetOutOfRangeError as error:
            raise self._lost(error) from error
        except (kafka.errors.NoOffsetForPartitionError, kafka.errors.LogTruncationError) as error:
            raise OffsetLostError(f"the position of a partition is gone: {error}; seek to an offset that the log still has") from error
        except kafka.errors.KafkaError as error:
            raise BrokerError(f"reading {self._names()} failed: {said(error)}") from error
        return [Records.concat(parts) for parts in polled.values()]

    def position(self, partition: TopicPart) -> int:
        """The offset that is read next; moves past control batches and aborted transactions as they are met."""
        state = self._consumer._subscription.assignment.get(TopicPartition(*partition))
        if state is None or state.position is None:
            raise BrokerError(f"{partition[0]}[{partition[1]}] has no position; assign it first")
        return int(state.position.offset)

    def positions(self) -> dict[TopicPart, int]:
        return {tuple(tp): self.position(tuple(tp)) for tp in self._consumer.assignment()}

    def pause(self, partitions: Iterable[TopicPart]) -> None:
        """Fetch no more of these until they are resumed; the others go on."""
        self._consumer.pause(*(TopicPartition(*part) for part in partitions))

    def resume(self, partitions: Iterable[TopicPart]) -> None:
        self._consumer.resume(*(TopicPartition(*part) for part in partitions))

    def paused(self) -> set[TopicPart]:
        return {tuple(tp) for tp in self._consumer.paused()}

    def partitions(self, topic: str) -> list[int]:
        """The partition numbers of a topic; empty where there is no such topic."""
        return sorted(self._consumer.partitions_for_topic(topic))

    def beginning_offsets(self, partitions: Iterable[TopicPart]) -> dict[TopicPart, int]:
        return self._offsets(self._consumer.beginning_offsets, partitions)

    def end_offsets(self, partitions: Iterable[TopicPart] | None = None) -> dict[TopicPart, int]:
        """The offset after the last record (read_committed: after the last that belongs to no open transaction)."""
        chosen = [tuple(tp) for tp in self._consumer.assignment()] if partitions is None else partitions
        return self._offsets(self._consumer.end_offsets, chosen)

    def known_ends(self) -> dict[TopicPart, int]:
        """The ends as the last fetch of each partition reported them: no request, may be old; high watermarks, not stable ones."""
        ends = {tuple(tp): self._consumer.highwater(tp) for tp in self._consumer.assignment()}
        return {part: end for part, end in ends.items() if end is not None}

    def offsets_at(self, times: Mapping[TopicPart, int]) -> dict[TopicPart, int]:
        """The first offset whose record timestamp (ms) is at or past the given one; the end where there is none."""
        asked = {TopicPartition(*part): at for part, at in times.items()}
        found = self._consumer.offsets_for_times(asked)
        missing = [tuple(tp) for tp in asked if found.get(tp) is None]
        ends = self.end_offsets(missing) if missing else {}
        return {tuple(tp): found[tp].offset if found.get(tp) is not None else ends[tuple(tp)] for tp in asked}

    def committed(self, group: str, partitions: Iterable[TopicPart] | None = None) -> dict[TopicPart, tuple[int, str]]:
        """What a group committed: (offset, metadata) of each partition that has any; waits for a transaction that is being ended."""
        if group not in self._groups:
            self._groups[group] = KafkaConsumer(
                group_id=group,
                enable_auto_commit=False,
                isolation_level="read_committed",
                metrics_enabled=False,
                **_settings.client(self.settings),
            )
        chosen = [TopicPartition(*part) for part in partitions] if partitions is not None else list(self._consumer.assignment())
        if not chosen:
            return {}
        try:
            found = self._groups[group]._coordinator.fetch_committed_offsets(chosen, timeout_ms=60_000)
        except kafka.errors.KafkaError as error:
            raise BrokerError(f"the committed offsets of {group} cannot be read: {said(error)}") from error
        return {tuple(tp): (at.offset, at.metadata) for tp, at in found.items() if at.offset >= 0}

    def close(self) -> None:
        for other in self._groups.values():
            other.close(autocommit=False)
        self._groups.clear()
        self._consumer.close(autocommit=False)

    def __enter__(self) -> ColumnarConsumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _names(self) -> str:
        return ", ".join(sorted({tp.topic for tp in self._consumer.assignment()})) or "nothing"

    def _offsets(self, ask: Any, partitions: Iterable[TopicPart]) -> dict[TopicPart, int]:
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        for attempt in range(OFFSET_ATTEMPTS):
            try:
                return {tuple(tp): int(offset) for tp, offset in ask(asked).items()}
            except KeyError:  # kafka-python leaves out a partition whose leader did not answer in time
                time.sleep(0.1 * attempt)
            except kafka.errors.KafkaError as error:
                raise BrokerError(f"the offsets of {', '.join(map(str, asked))} cannot be read: {said(error)}") from error
        raise BrokerError(f"the offsets of {', '.join(map(str, asked))} cannot be read: the broker gave no answer for all of them")

    def _lost(self, error: kafka.errors.OffsetOutOfRangeError) -> OffsetLostError:
        lines = []
        for tp, offset in (error.args[0] if error.args and isinstance(error.args[0], dict) else {}).items():
            part = tuple(tp)
            lines.append(
                f"{tp.topic}[{tp.partition}]@{offset} is not in the log, which has {self.beginning_offsets([part])[part]}..{self.end_offsets([part])[part]}"
            )
        return OffsetLostError(
            "; ".join(lines) + "; retention or a truncation took it: seek to an offset that is there, or raise the topic's retention"
        )


def _corrupt(tp: TopicPartition, offset: int, after: int, reason: str) -> CorruptBatchError:
    return CorruptBatchError(
        f"{tp.topic}[{tp.partition}]@{offset}: the record batch is damaged: {reason}", tp.topic, tp.partition, offset, after
    )


def _unreachable(settings: Mapping[str, Any], error: Exception) -> BrokerError:
    secured = settings.get("security_protocol", "PLAINTEXT") != "PLAINTEXT"
    why = "; is it running, and is the address right?"
    if secured:
        why += (
            " It also falls silent where it refuses user and password (DRIFTLINE_KAFKA_USERNAME, DRIFTLINE_KAFKA_PASSWORD) or a certificate"
        )
    return BrokerError(f"no broker answers at {settings.get('bootstrap_servers', 'localhost')}: {said(error)}{why}")
