"""The log once more, in the very order of the commits: for recovery, for verification, for data sets.

Commits that follow each other in order are taken together, so that a replay runs at full speed however small the commits were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connectors.errors import CorruptBatchError, OffsetGoneError
from connectors.kafka.columns import Records
from streams.errors import StateError
from streams.events.decode import Decoded, Format, decode, decode_parts
from streams.step import Input
from streams.types import OffsetRange
from streams.worker.commits import Commit, Standing
from streams.worker.connection import Consumer, Part
from streams.worker.merge import Merge, Read, Taken

GROUP_RECORDS = 100_000
QUIET_POLLS = 3_000  # of 100 ms: so long without anything, and what is asked for is not in the log


@dataclass(frozen=True)
class Reader:
    """How the records of one input are read: its rank, its format, and whether it is a source (whose bad records were refused)."""

    rank: int
    input: Input
    format: Format
    strict: bool

    def decode(self, records: Records, now: int | None = None, ahead: Collection[int] = ()) -> Decoded:
        return decode(records, self.input, self.format, self.strict, now, ahead)

    def decode_parts(self, parts: Sequence[Records], now: int) -> list[Decoded]:
        return decode_parts(parts, self.input, self.format, self.strict, now)

    def read(self, decoded: Decoded, partition: int) -> Read:
        return Read(self.rank, partition, decoded.table, decoded.offsets, decoded.times, decoded.is_row, decoded.next_offset)


def poll(consumer: Consumer, timeout_ms: int, max_records: int = GROUP_RECORDS) -> list[Records]:
    """As the consumer's, but a damaged batch is passed over, as it was when it was first read."""
    try:
        return consumer.poll(timeout_ms, max_records)
    except CorruptBatchError as error:
        consumer.seek((error.topic, error.partition), error.after)
        return [Records.none(error.topic, error.partition, error.after)]


class LogReader:
    """Reads each partition up to asked offsets, however much a fetch brings. `gone` is told of what the log no longer has."""

    def __init__(self, consumer: Consumer, start: Mapping[Part, int], gone: Callable[[OffsetRange], None] = lambda lost: None) -> None:
        self._consumer, self._gone = consumer, gone
        self._ahead: dict[Part, list[Records]] = {part: [] for part in start}
        self._at = dict(start)
        consumer.assign(list(start), dict(start))
        self._paused: set[Part] = set()

    def open(self, part: Part, start: int) -> None:
        if part not in self._at:
            self._at[part], self._ahead[part] = start, []
            self._consumer.assign(list(self._at), {part: start})

    def upto(self, ends: Mapping[Part, int]) -> Iterator[Records]:
        """All records below these offsets that were not given yet."""
        for part, end in ends.items():
            yield from self._buffered(part, end)
        quiet = 0
        while short := {part for part, end in ends.items() if self._at[part] < end}:
            self._only(short)
            polled = self._poll(ends)
            for records in polled:
                part = (records.topic, records.partition)
                self._ahead[part].append(records)
                yield from self._buffered(part, ends.get(part, 0))
            for part in short:
                # control batches and aborted records at the end give no row, only a position
                if not self._ahead[part] and self._consumer.position(part) >= ends[part]:
                    self._at[part] = max(self._at[part], ends[part])
            quiet = 0 if polled else quiet + 1
            if quiet > QUIET_POLLS:
                raise StateError(f"the log gives nothing more of {', '.join(f'{t}[{p}]@{self._at[t, p]}' for t, p in sorted(short))}.")

    def _poll(self, ends: Mapping[Part, int]) -> list[Records]:
        try:
            return poll(self._consumer, 100, GROUP_RECORDS)
        except OffsetGoneError as error:
            part = (error.topic, error.partition)
            self._consumer.seek(part, error.after)
            self._gone(OffsetRange(*part, error.offset, error.after))
            return [Records.none(*part, min(error.after, ends[part]))]

    def _buffered(self, part: Part, end: int) -> Iterator[Records]:
        waiting = self._ahead[part]
        while waiting and self._at[part] < end:
            records = waiting.pop(0)
            count = int((records.offsets < end).sum())
            if count < len(records):
                waiting.insert(0, records.take(slice(count, None)))
                records = records.take(slice(0, count), min(end, records.next_offset))
            self._at[part] = max(self._at[part], records.next_offset)
            yield records

    def _only(self, parts: set[Part]) -> None:
        paused = set(self._at) - parts
        if paused - self._paused:
            self._consumer.pause(paused - self._paused)
        if self._paused - paused:
            self._consumer.resume(self._paused - paused)
        self._paused = paused


@dataclass(frozen=True)
class Replayed:
    """What one or several commits took. `taken` is None where they only moved positions; `records` counts what was read."""

    commits: tuple[Commit, ...]
    taken: Taken | None
    records: int


def grouped(commits: Iterable[Commit], size: int = GROUP_RECORDS, marks: bool = False) -> Iterator[list[Commit]]:
    """Runs of commits that may be taken at once: a disordered one stands alone, as does what follows it.

    With `marks` a run ends with a commit that told the step how far event time has come.
    """
    group: list[Commit] = []
    records = 0
    for commit in commits:
        length = sum(one.end - one.start for one in commit.ranges)
        ends = group and (commit.disordered or group[-1].disordered or (marks and group[-1].mark is not None))
        if group and (ends or records + length > size):
            yield group
            group, records = [], 0
        group.append(commit)
        records += length
    if group:
        yield group


def replay(
    consumer: Consumer,
    readers: Mapping[str, Reader],
    start: Standing,
    commits: Iterable[Commit],
    progress: Callable[[int], None] = lambda records: None,
    merge: Merge | None = None,
    marks: bool = False,
    gone: Callable[[OffsetRange], None] = lambda lost: None,
) -> Iterator[Replayed]:
    """Take again what `commits` took, beginning at `start`; `readers` by topic. The merge goes along, for who wants to go on with it.

    There may be millions of commits: they are asked for as they are needed, by a consumer that is not this one. `gone` as for a LogReader.
    """
    merge = merge or Merge([reader.input for reader in sorted(readers.values(), key=lambda reader: reader.rank)], start.frontier)
    for part, one in start.progress.items():
        merge.open(readers[part[0]].rank, part[1], one.low_newest, one.low)
    log = LogReader(consumer, {part: one.low for part, one in start.progress.items()}, gone)
    _feed(log, readers, merge, {part: one.read for part, one in start.progress.items()}, start.ahead)
    merge.drop_taken()
    done = 0
    for group in grouped(commits, marks=marks):
        ends = {(one.topic, one.partition): one.end for commit in group for one in commit.ranges}
        for taken_from in (one for commit in group for one in commit.ranges):
            rank, partition = readers[taken_from.topic].rank, taken_from.partition
            if not merge.knows(rank, partition):
                merge.open(rank, partition, offset=taken_from.start)
                log.open((taken_from.topic, partition), taken_from.start)
        ahead = [place for commit in group for place in commit.ahead]
        count = _feed(log, readers, merge, ends, ahead)
        taken = merge.advance(group[-1].frontier)
        done += count
        progress(done)
        yield Replayed(tuple(group), taken, count)


def _feed(
    log: LogReader, readers: Mapping[str, Reader], merge: Merge, ends: Mapping[Part, int], ahead: Sequence[tuple[str, int, int]]
) -> int:
    count = 0
    for records in log.upto(ends):
        reader = readers[records.topic]
        mine = [offset for topic, partition, offset in ahead if (topic, partition) == (records.topic, records.partition)]
        merge.add(reader.read(reader.decode(records, ahead=mine), records.partition))
        count += len(records)
    for part, end in ends.items():
        merge.reached(readers[part[0]].rank, part[1], end)
    return count
