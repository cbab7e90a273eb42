"""The features step as a Flink job: the stages wired, submitted, and watched."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from connectors.kafka.consumer import ColumnarConsumer
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.local import ARRIVE, STAGES
from streams.features.distributed.messages import ORDER, OUT, ROWS, TASKS, Records, pack, unpack
from streams.project import Project
from streams.worker.merge import Slot

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
            now, found = time.monotonic(), set()
            for slot, read in reads.items():
                if since.setdefault(slot, (read, now))[0] != read:
                    since[slot] = (read, now)
                if (now - since[slot][1]) * 1000 >= self.job.inputs[slot[0]].idle_after and _nothing_behind(consumer, self.job, slot, read):
                    found.add(slot)
            return found

        return quiet


def _nothing_behind(consumer: ColumnarConsumer, job: JobPlan, slot: Slot, read: int) -> bool:
    part = (job.inputs[slot[0]].topic, slot[1])
    end = consumer.end_offsets([part])[part]
    if read >= end:
        return True
    consumer.assign([part], {part: read})
    for _ in range(10):  # only control records may stand there
        if any(len(records) for records in consumer.poll(100)):
            return False
        if consumer.position(part) >= end:
            return True
    return False


def job_plan(project: Project, kafka: Mapping[str, Any]) -> JobPlan:
    """What the stages must know of a project, with the partitions its topics have now."""
    from streams import pipeline
    from streams.features.step import build

    step = build(project)
    readers = tuple(pipeline.readers(project, step.inputs).values())
    consumer = ColumnarConsumer(dict(kafka))
    try:
        starts: dict[Slot, int] = {}
        for reader in readers:
            parts = [(reader.input.topic, partition) for partition in consumer.partitions(reader.input.topic)]
            starts |= {(reader.rank, partition): offset for (_, partition), offset in consumer.beginning_offsets(parts).items()}
    finally:
        consumer.close()
    topics = {name: project.topic(name) for name in ("features", "commits", "dead-letters", "late")}
    return JobPlan(step.plan, readers, starts, topics, project.flink.buckets, project.partitions)


def submit(tables: Any, job: JobPlan, kafka: Mapping[str, Any], group: str) -> Any:
    """Wire the stages and submit them; Flink's TableResult."""
    from pyflink.common import Types

    from connectors.flink.durable import Deciding, Durable, tag
    from connectors.flink.settings import java_settings
    from connectors.flink.tables import BATCH, batch, sink, source

    java = java_settings(kafka)
    arrivals = None
    for reader in job.readers:
        stream = source(tables, f"input_{reader.rank}", reader.input.topic, java, group)
        keyed = stream.map(_Arrival(reader.rank), output_type=Types.PICKLED_BYTE_ARRAY()).name(reader.input.name)
        arrivals = keyed if arrivals is None else arrivals.union(keyed)

    def stage(stream: Any, name: str, function: Any) -> Any:
        return stream.key_by(_key, key_type=Types.INT()).process(function, output_type=Types.PICKLED_BYTE_ARRAY()).name(name).uid(name)

    arrived = stage(arrivals, ARRIVE, Durable(Stage(job, ARRIVE), OUT))
    order = stage(arrived.get_side_output(tag(ORDER)), ORDER, Deciding(Stage(job, ORDER), OUT, Quiet(job, kafka)))
    order.set_parallelism(1)
    tasks = stage(arrived.get_side_output(tag(TASKS)).union(order.get_side_output(tag(TASKS))), TASKS, Durable(Stage(job, TASKS), OUT))
    rows = stage(arrived.get_side_output(tag(ROWS)).union(tasks.get_side_output(tag(ROWS))), ROWS, Durable(Stage(job, ROWS), OUT))

    def to_row(message: bytes) -> Any:
        found = unpack(message)
        return batch(found.topic, found.keys, found.values, found.times)  # type: ignore[union-attr,arg-type]

    written = arrived.union(order).union(rows).map(to_row, output_type=BATCH).name("write")
    return sink(tables, written, sorted(job.topics.values()), java, group)


def _key(element: tuple[int, bytes]) -> int:
    return element[0]


@dataclass(frozen=True)
class _Arrival:
    """A batch of raw records as the first stage's message."""

    rank: int

    def __call__(self, row: Any) -> tuple[int, bytes]:
        from connectors.flink.tables import records

        offsets, times, keys, values, marks = records(row[1])
        stamps = np.array([_ms(text) for text in times], np.int64)
        message = Records(self.rank, row[0], np.array(offsets, np.int64), stamps, keys, values, marks)
        return self.rank * PARTITIONS + row[0], pack(message)


def _ms(text: str) -> int:
    """'2013-01-01 05:15:00.123' in UTC to milliseconds since the epoch."""
    whole, _, part = text.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%d %H:%M:%S")) * 1000 + int((part + "000")[:3])
