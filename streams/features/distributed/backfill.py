"""`driftline backfill --on flink`: a job over all that the topics (or files) hold now, into topics of its own, and from there to Parquet."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from connectors.flink.rest import ENDED, Rest
from connectors.formats import json
from connectors.kafka.admin import delete_topics, ensure_topics
from connectors.kafka.columns import Records
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer
from streams.errors import BrokerError, DriftlineError
from streams.events.dead_letters import DeadLetter, read
from streams.events.decode import nothing
from streams.features.distributed.order import DONE
from streams.features.distributed.run import WATCH_S, folder_of, launch
from streams.features.offline import Backfilled, Engine, Refusals, check_files, write
from streams.features.step import inputs_of, plan_of
from streams.project import Project
from streams.supervisor.topics import wanted_topics
from streams.types import OFFSET, PARTITION, TIME, Batch, Int64, Schema, Type
from streams.worker.reorder import NEVER, place
from streams.worker.replay import LogReader

ROWS_A_GROUP = 100_000
_OF_ARROW = {pa.int64(): Type.BIGINT, pa.int32(): Type.INT, pa.string(): Type.STRING}  # the columns beside the plan's


def backfill_on_flink(project: Project, path: Path, files: Mapping[str, Sequence[str]] | None = None) -> Backfilled:
    """All feature rows of the log as of now, or of files, computed by Flink, as one Parquet file: that of the embedded backfill.

    Raises BrokerError when the job fails, DriftlineError where there is no event.
    """
    from streams.features.distributed.job import job_plan

    side = replace(project, prefix=f"{project.prefix or project.name}.backfill{time.time_ns():x}")
    wanted = wanted_topics(side)
    if files is None:
        wanted = {name: one for name, one in wanted.items() if name not in map(side.topic, side.sources)}
    ensure_topics(project.kafka(), wanted)
    folder = folder_of(project).with_name("flink-backfill") / side.prefix
    try:
        begins = _send(side, files) if files is not None else []
        job = job_plan(side if files is not None else project, project.kafka(), out=side, bounded=True)
        assert job.ends is not None
        events = sum(end - job.starts[slot] for slot, end in job.ends.items())
        if not events:
            raise DriftlineError(f"{path}: there is no event, so no row was written.")
        checkpoints = project.flink.checkpoints or folder.as_uri()
        found, _ = launch(project, job, side.prefix, checkpoints)
        rest = Rest(found.rest)
        _wait(side, rest, found.job)
        rest.stop(found.job, f"{checkpoints.rstrip('/')}/savepoints")  # commits what stands in the sinks
        rows = write(_tables(side, project), path)
        refused = _refused(side)
        return Backfilled(rows, events - len(refused), plan_of(project).hash, path, _of_files(refused, begins))
    finally:
        delete_topics(project.kafka(), wanted)
        shutil.rmtree(folder, ignore_errors=True)


def _send(side: Project, files: Mapping[str, Sequence[str]]) -> list[tuple[str, int, str]]:
    """The files' rows into the side topics, each source's into its first partition, as a backfill of files has them.

    Answers where each file begins: topic, offset, file.
    """
    from streams.produce.reader import read_file

    check_files(inputs_of(side, plan_of(side)), files)
    producer = ColumnarProducer(side.kafka())
    begins: list[tuple[str, int, str]] = []
    try:
        for name, paths in files.items():
            offset = 0
            for file in paths:
                begins.append((side.topic(name), offset, file))
                for chunk in read_file(file, side.source(name)):
                    producer.send(side.topic(name), 0, chunk.times, chunk.keys, chunk.values)
                    offset += len(chunk)
        producer.flush()
    finally:
        producer.close()
    return begins


def _wait(side: Project, rest: Rest, job: str) -> None:
    """Until the record after the last commit is there: what the job wrote before it is committed, or will be with its end."""
    part = (side.topic("commits"), 0)
    with ColumnarConsumer(side.kafka()) as consumer:
        consumer.assign([part], consumer.beginning_offsets([part]))
        while True:
            if any(DONE in records.keys.to_list() for records in consumer.poll(int(WATCH_S * 1000))):
                return
            now = rest.job(job)
            if now.state in ENDED:
                raise BrokerError(f"The backfill on Flink ended as {now.state} after {now.restarts} restarts: {now.failure}")


def _tables(side: Project, project: Project) -> Iterator[pa.Table]:
    """The rows as the embedded backfill gives them: their types, and their order."""
    plan = plan_of(project)
    inputs = inputs_of(project, plan)
    none = np.empty(0, np.int64)
    empty = Batch({one.name: nothing(one.schema) for one in inputs}, {one.name: none for one in inputs})
    target = Engine(plan, inputs).rows(empty).schema
    schema = {field.name: plan.schema.get(field.name) or _OF_ARROW[field.type] for field in target}
    table = _read(side, schema)
    if not table.num_rows:
        return
    table = table.select(target.names).cast(target)
    partitions, offsets, times = (table.column(name).to_numpy() for name in (PARTITION, OFFSET, TIME))
    order = np.lexsort((offsets, partitions, _keys(partitions, offsets, times, inputs[-1].lateness)))
    for start in range(0, len(order), ROWS_A_GROUP):
        yield table.take(pa.array(order[start : start + ROWS_A_GROUP]))


def _keys(partitions: Int64, offsets: Int64, times: Int64, lateness: int) -> Int64:
    """The place of each row in the merged order: its event time, or the watermark it met where that is greater."""
    found = np.empty(len(times), np.int64)
    for partition in np.unique(partitions):
        mine = np.flatnonzero(partitions == partition)
        mine = mine[np.argsort(offsets[mine])]
        found[mine] = place(times[mine], np.ones(len(mine), bool), NEVER, lateness).key
    return found


def _read(side: Project, schema: Schema) -> pa.Table:
    found = [json.decode(records.values, schema) for records in _written(side, "features")]
    refused = [reason for one in found for _, reason in one.errors]
    if refused:
        raise BrokerError(f"{len(refused)} feature rows of the backfill cannot be read back: {refused[0]}")
    return pa.concat_tables([one.table for one in found]) if found else pa.table({name: [] for name in schema})


def _refused(side: Project) -> list[DeadLetter]:
    return [read(value) for records in _written(side, "dead-letters") for value in records.values.to_list() if value is not None]


def _of_files(refused: list[DeadLetter], begins: list[tuple[str, int, str]]) -> Refusals:
    """What was refused of files, each with its place there; none of a backfill of the log, where `begins` is empty."""
    found = Refusals()
    for letter in refused:
        stood = letter.source
        mine = [(begin, file) for topic, begin, file in begins if topic == stood.topic and begin <= stood.offset]
        if mine:
            begin, file = mine[-1]
            found.add(f"{file}, row {stood.offset - begin + 1}", letter.reason)
    return found


def _written(side: Project, name: str) -> Iterator[Records]:
    topic = side.topic(name)
    with ColumnarConsumer(side.kafka()) as consumer:
        parts = [(topic, partition) for partition in consumer.partitions(topic)]
        yield from LogReader(consumer, consumer.beginning_offsets(parts)).upto(consumer.end_offsets(parts))
