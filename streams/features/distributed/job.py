"""The features step as a Flink job: the stages wired, submitted, and watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.kafka.consumer import ColumnarConsumer
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.local import ARRIVE, STAGES
from streams.features.distributed.messages import ORDER, OUT, ROWS, TASKS, Arrived, Written
from streams.project import Project
from streams.worker.connection import Part
from streams.worker.merge import Slot

READ_RECORDS = 20_000  # at most, by one tick of a partition
PARTITIONS = 1024  # keys of the first stage: rank * PARTITIONS + partition


@dataclass(frozen=True)
class Stage:
    """Makes the core of one key; travels to the workers."""

    job: JobPlan
    stage: str

    def __call__(self, key: int) -> Any:
        return STAGES[self.stage](self.job, key)


@dataclass(frozen=True)
class Quiet:
    """Made in the worker that decides the order: asks the broker whether a partition has anything behind what was read."""

    job: JobPlan
    kafka: Mapping[str, Any]

    def __call__(self) -> Callable[[Mapping[Slot, int]], set[Slot]]:
        consumer = ColumnarConsumer(dict(self.kafka))
        since: dict[Slot, tuple[int, float]] = {}

        def quiet(reads: Mapping[Slot, int]) -> set[Slot]:
            now, rested = time.monotonic(), {}
            for slot, read in reads.items():
                if since.setdefault(slot, (read, now))[0] != read:
                    since[slot] = (read, now)
                if (now - since[slot][1]) * 1000 >= self.job.inputs[slot[0]].idle_after:
                    rested[slot] = self.job.inputs[slot[0]].topic, slot[1]
            ends = consumer.end_offsets(list(rested.values())) if rested else {}
            if self.job.ends is not None:
                ends = {part: min(ends[part], self.job.ends[slot]) for slot, part in rested.items()}
            return {slot for slot, part in rested.items() if _nothing_behind(consumer, part, reads[slot], ends[part])}

        return quiet


@dataclass(frozen=True)
class Log:
    """Made in the worker that reads a partition: its records as messages of the first stage."""

    job: JobPlan
    kafka: Mapping[str, Any]

    def __call__(self, key: int, offset: int | None) -> Callable[[], tuple[Arrived, int] | None]:
        rank, partition = divmod(key, PARTITIONS)
        part = self.job.inputs[rank].topic, partition
        consumer = ColumnarConsumer(dict(self.kafka))
        consumer.assign([part], {part: self.job.starts[rank, partition] if offset is None else offset})

        def read() -> tuple[Arrived, int] | None:
            polled = consumer.poll(0, READ_RECORDS)
            if not polled:
                return None
            (records,) = polled
            return Arrived(rank, records), records.next_offset

        return read


def _nothing_behind(consumer: ColumnarConsumer, part: Part, read: int, end: int) -> bool:
    if read >= end:
        return True
    consumer.assign([part], {part: read})
    for _ in range(10):  # only control records may stand there
        if any(len(records) and records.offsets[0] < end for records in consumer.poll(100)):
            return False
        if consumer.position(part) >= end:
            return True
    return False


def job_plan(project: Project, kafka: Mapping[str, Any], *, out: Project | None = None, bounded: bool = False) -> JobPlan:
    """What the stages must know of a project, with the partitions its topics have now. `out`: whose topics are written; its own otherwise.

    `bounded`: up to where the topics reach now.
    """
    from streams import pipeline
    from streams.features.step import build

    step = build(project)
    readers = tuple(pipeline.readers(project, step.inputs).values())
    consumer = ColumnarConsumer(dict(kafka))
    try:
        starts: dict[Slot, int] = {}
        ends: dict[Slot, int] = {}
        for reader in readers:
            parts = [(reader.input.topic, partition) for partition in consumer.partitions(reader.input.topic)]
            starts |= {(reader.rank, partition): offset for (_, partition), offset in consumer.beginning_offsets(parts).items()}
            ends |= {(reader.rank, partition): offset for (_, partition), offset in consumer.end_offsets(parts).items()}
    finally:
        consumer.close()
    topics = {name: (out or project).topic(name) for name in ("features", "commits", "dead-letters", "late")}
    return JobPlan(step.plan, readers, starts, topics, project.flink.buckets, project.partitions, ends if bounded else None)


def submit(tables: Any, job: JobPlan, kafka: Mapping[str, Any], group: str) -> Any:
    """Wire the stages and submit them; Flink's TableResult."""
    from connectors.flink.durable import KEYED, Deciding, Holding, Logged, Reading, in_order, keyed, sent_to
    from connectors.flink.settings import java_settings
    from connectors.flink.tables import BATCH, sink, ticks

    def stage(streams: list[Any], name: str, function: Any) -> Any:
        return keyed(streams).process(function, output_type=BATCH).name(name).uid(name)

    keys = [rank * PARTITIONS + partition for rank, partition in sorted(job.starts)]
    clock = ticks(tables, keys).map(_Tick(keys), output_type=KEYED).name("ticks")
    arrived = stage([clock], ARRIVE, Reading(Stage(job, ARRIVE), OUT, _to_row, Log(job, kafka)))
    order = stage(sent_to(ORDER, arrived), ORDER, Deciding(Stage(job, ORDER), OUT, _to_row, Quiet(job, kafka)))
    order.set_parallelism(1)
    tasks = stage(sent_to(TASKS, arrived, order), TASKS, Logged(Stage(job, TASKS), OUT, _to_row))
    rows = stage(sent_to(ROWS, arrived, order, tasks), ROWS, Holding(Stage(job, ROWS), OUT, _to_row))
    # one producer writes all commits: of several, one may overtake another
    return sink(tables, arrived.union(in_order(order), rows), sorted(job.topics.values()), java_settings(kafka), group)


def _to_row(found: Written) -> Any:
    from connectors.flink.tables import batch

    return batch(found.topic, found.keys, found.values, found.times)


@dataclass(frozen=True)
class _Tick:
    """A tick as a message without content to the key at its place."""

    keys: list[int]

    def __call__(self, row: Any) -> Any:
        from pyflink.common import Row

        return Row(self.keys[row[0]], b"")
