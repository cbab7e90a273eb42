"""Reading ahead in a thread: polls, decodes, and tells which partitions are caught up. Memory is bounded by pausing partitions.

Fetching and decoding leave the interpreter free most of the time, so that they overlap with the step's work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

from connectors.errors import CorruptBatchError, OffsetGoneError
from connectors.kafka.columns import Records
from streams.events.decode import Decoded, Refused
from streams.worker.connection import Consumer, Part

FEW = 1_000  # records of one poll
LINGER_S = 0.02  # at most so long a poll that gave few waits until more is wanted
QUIET_S, BUSY_S = 0.02, 0.2  # at most so often the broker is asked for the ends of quiet partitions; the latter under load


@dataclass(frozen=True)
class Fetched:
    """What one poll gave of one partition."""

    part: Part
    decoded: Decoded
    records: int
    nbytes: int
    newest_timestamp: int
    at: float


class Fetch:
    """Feeds a bounded queue. `decode` reads records of one topic, a `Decoded` a partition; `waiting` tells how many rows of a partition wait
    in the merge."""

    def __init__(
        self,
        consumer: Consumer,
        decode: Callable[[Sequence[Records]], Sequence[Decoded]],
        waiting: Callable[[Part], int],
        limit_rows: int = 200_000,
        limit_bytes: int = 128 << 20,
        poll_records: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer, self._decode, self._waiting, self._clock = consumer, decode, waiting, clock
        self._limit_rows, self._limit_bytes, self._poll_records = limit_rows, limit_bytes, poll_records
        self._queue: list[Fetched] = []
        self._failure: BaseException | None = None
        self._queued_rows: dict[Part, int] = {}
        self._row_bytes: dict[Part, float] = {}  # of what came last
        self._at: dict[Part, int] = {}
        self._needed: frozenset[Part] = frozenset()
        self._queued_bytes = 0
        self._room = threading.Condition()
        self._stopping = threading.Event()
        self._blocked = threading.Event()
        self._wanted = threading.Event()
        self._wanted.set()
        self._caught_up: dict[Part, float] = {}
        self._given: dict[Part, int] = {}
        self._thread: threading.Thread | None = None
        self._parts: tuple[Part, ...] = ()

    def start(self, positions: Mapping[Part, int], name: str = "fetch") -> None:
        self._parts = tuple(positions)
        self._queued_rows, self._row_bytes = dict.fromkeys(positions, 0), dict.fromkeys(positions, 0.0)
        self._at = dict(positions)
        self._consumer.assign(list(positions), dict(positions))
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wanted.set()
        with self._room:
            self._room.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def wait(self, timeout: float) -> bool:
        """Wait until something has come, or the reading has failed."""
        with self._room:
            return bool(self._room.wait_for(lambda: self._queue or self._failure is not None or self._stopping.is_set(), timeout))

    def get(self) -> list[Fetched]:
        """What has come since, in the order it was read. Raises what stopped the reading."""
        with self._room:
            found, self._queue = self._queue, []
            if not found and self._failure is not None:
                raise self._failure
            for one in found:
                self._queued_rows[one.part] -= one.records
                self._queued_bytes -= one.nbytes
            self._room.notify_all()
        return found

    def want(self) -> None:
        """Who takes will soon have room for more: with little to do it is read then, the newest with it, and no sooner."""
        self._wanted.set()

    def blocked(self, value: bool) -> None:
        """Rows wait for a quiet partition: ask the broker at once whether it is caught up."""
        self._blocked.set() if value else self._blocked.clear()

    def caught_up(self) -> dict[Part, float]:
        """Seconds since each partition was found caught up with the broker; those that are not are missing."""
        now = self._clock()
        return {part: now - since for part, since in list(self._caught_up.items())}

    def at(self, part: Part) -> int:
        """The offset up to which everything is in the queue or was taken; past control records only once the partition is quiet."""
        return self._at[part]

    def at_end(self, part: Part, end: int) -> bool:
        """Everything below `end` was read and taken from the queue."""
        return self._at[part] >= end and not self._queued_rows[part]

    def given(self, part: Part) -> int:
        """The offset after the last one put into the queue; until the merge has read so far, rows are on their way to it."""
        return self._given.get(part, 0)

    def needed(self, parts: Collection[Part]) -> None:
        """These hold the others back: they are read on, however much of them waits already."""
        self._needed = frozenset(parts)

    def _full(self, part: Part) -> bool:
        rows = self._queued_rows[part] + self._waiting(part)
        return part not in self._needed and (rows >= self._limit_rows or rows * self._row_bytes[part] >= self._limit_bytes)

    def _run(self) -> None:
        paused: set[Part] = set()
        asked = 0.0
        try:
            while not self._stopping.is_set():
                full = {part for part in self._parts if self._full(part)}
                if full - paused:
                    self._consumer.pause(full - paused)
                if paused - full:
                    self._consumer.resume(paused - full)
                paused = full
                with self._room:
                    if self._queued_bytes >= self._limit_bytes:
                        self._room.wait(0.05)
                        continue
                found = self._poll(10 if paused or (self._blocked.is_set() and self._unknown()) else 100)
                quiet = self._unknown()
                pause = BUSY_S if found >= FEW else QUIET_S
                if quiet and (not found or self._blocked.is_set()) and self._clock() - asked >= pause:
                    self._look(quiet)
                    asked = self._clock()
        except BaseException as error:  # whatever stops the thread is raised where the rows are taken
            with self._room:
                self._failure = error
                self._room.notify_all()

    def _unknown(self) -> list[Part]:
        """Partitions that may have more, as far as is known."""
        return [part for part in self._parts if part not in self._caught_up]

    def _poll(self, timeout_ms: int) -> int:
        try:
            polled = self._consumer.poll(timeout_ms, self._poll_records)
        except (CorruptBatchError, OffsetGoneError) as error:
            self._pass_over(error)
            return 1
        found = []
        for records, decoded in self._decoded(polled):
            part = (records.topic, records.partition)
            self._caught_up.pop(part, None)
            newest = int(records.timestamps[-1]) if len(records) else -1
            found.append(Fetched(part, decoded, len(records), records.nbytes, newest, self._clock()))
        if found:
            self._wanted.clear()
        self._put(found)
        for part in self._caught_up:  # a transaction that wrote nothing here has ended with a record that nobody is given
            self._at[part] = max(self._at[part], self._consumer.position(part))
        count = sum(one.records for one in found)
        if 0 < count < FEW:
            self._wanted.wait(LINGER_S)  # a fetch costs the same with few records: a later one finds more
        return count

    def _decoded(self, polled: Sequence[Records]) -> Iterator[tuple[Records, Decoded]]:
        """Of few records all partitions of a topic are read together, of many each by itself, without a copy."""
        if sum(map(len, polled)) < FEW:
            groups = [list(group) for _, group in groupby(sorted(polled, key=_topic), _topic)]
        else:
            groups = [[records] for records in polled]
        for parts in groups:
            yield from zip(parts, self._decode(parts), strict=True)

    def _pass_over(self, error: CorruptBatchError | OffsetGoneError) -> None:
        """What is damaged, or gone before it was read, will never be there again: it is refused as one, and the stream goes on behind it."""
        part = (error.topic, error.partition)
        refused = Refused(*part, error.offset, -1, None, None, (), f"{error.message}; offsets {error.offset}..{error.after} are lost")
        (decoded,) = self._decode([Records.none(*part, error.after)])
        self._consumer.seek(part, error.after)
        self._put([Fetched(part, replace(decoded, refused=(refused,)), 1, 0, -1, self._clock())])

    def _put(self, found: list[Fetched]) -> None:
        if not found:
            return
        with self._room:
            for one in found:
                self._given[one.part] = one.decoded.next_offset
                self._queued_rows[one.part] += one.records
                self._queued_bytes += one.nbytes
                self._row_bytes[one.part] = one.nbytes / max(one.records, 1)
                self._at[one.part] = max(self._at[one.part], one.decoded.next_offset)
            self._queue += found
            self._room.notify_all()

    def _look(self, quiet: list[Part]) -> None:
        """Which quiet partitions are caught up; the positions may have moved over control batches without any record."""
        ends = self._consumer.end_offsets(quiet)
        now = self._clock()
        for part, end in ends.items():
            position = self._consumer.position(part)
            self._at[part] = max(self._at[part], position)
            if position >= end:
                self._caught_up[part] = now


_topic = attrgetter("topic")
