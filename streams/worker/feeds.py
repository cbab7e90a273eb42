"""Bounded inputs in the merged order: tables, files, a range of the log. What a live run gives without idle partitions, at any speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from connectors.kafka.columns import Records
from streams.step import Input
from streams.worker.connection import Connection, Part
from streams.worker.merge import Merge, Read, Slot, Taken
from streams.worker.replay import LogReader, Reader

CHUNK = 50_000


def merged(
    inputs: Sequence[Input],
    feeds: Mapping[Slot, Iterator[Read]],
    batch_rows: int = 100_000,
    progress: Callable[[int], None] = lambda rows: None,
) -> Iterator[Taken]:
    """Take the reads of every partition together by event time; of each only as much is read as the order needs.

    Memory is a chunk a partition, and what waits for the slowest of them.
    """
    merge = Merge(inputs)
    for slot in feeds:
        merge.open(*slot)
    left = dict(feeds)
    done = 0
    while left or merge.rows:
        for slot in _lagging(merge, left):
            read = next(left[slot], None)
            if read is None:
                del left[slot]
            else:
                merge.add(read)
                done += read.table.num_rows
        idle = [slot for slot in feeds if slot not in left]
        while (taken := merge.take(idle, limit=batch_rows)) is not None:
            yield taken
        progress(done)


def _lagging(merge: Merge, left: Mapping[Slot, object]) -> list[Slot]:
    """The partitions that hold the others back."""
    marks = {slot: mark for slot, mark in merge.watermarks().items() if slot in left}
    lowest = min(marks.values(), default=None)
    return [slot for slot, mark in marks.items() if mark == lowest]


def log_feeds(
    connection: Connection, readers: Mapping[str, Reader], ranges: Mapping[Part, tuple[int, int]] | None = None
) -> dict[Slot, Iterator[Read]]:
    """Feeds over the log: all that each topic has as of now, or the ranges [start, end) of each partition."""
    if ranges is None:
        consumer = connection.consumer()
        parts = [(topic, partition) for topic in readers for partition in consumer.partitions(topic)]
        starts, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        consumer.close()
        ranges = {part: (starts[part], ends[part]) for part in parts}
    return {(readers[part[0]].rank, part[1]): _feed(connection, readers[part[0]], part, *bounds) for part, bounds in ranges.items()}


def _feed(connection: Connection, reader: Reader, part: Part, start: int, end: int) -> Iterator[Read]:
    consumer = connection.consumer()
    try:
        log = LogReader(consumer, {part: start})
        at = start
        while at < end:
            upto = min(at + CHUNK, end)
            found = list(log.upto({part: upto}))
            at = upto
            if found:
                yield reader.read(reader.decode(Records.concat(found)), part[1])
    finally:
        consumer.close()
