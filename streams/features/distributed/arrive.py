"""First stage, one key a partition: records become typed rows, or dead letters, and go where they are needed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from connectors.kafka.columns import Bytes, Records
from streams.events import dead_letters
from streams.events.decode import KEY, Decoded
from streams.features.distributed.buckets import bucket_of
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.messages import ORDER, OUT, ROWS, TASKS, Arrived, Base, Part, Sent, Written, pack
from streams.features.program import Answer, Program
from streams.types import OFFSET, Batch, Int64
from streams.worker.merge import Read
from streams.worker.reorder import NEVER, place
from streams.worker.snapshots import now_ms
from streams.worker.write import encode


class Arrive:
    """One partition of one input. Its state is the running maximum of its event times."""

    def __init__(self, job: JobPlan, key: int) -> None:
        self._job, self._newest = job, NEVER
        self._base: Program | None = None
        self._routes: dict[tuple[int, str], Program] = {}

    def receive(self, found: Arrived) -> Sent:
        records = found.records
        if self._job.ends is not None:
            records = _before(records, self._job.ends[found.rank, records.partition])
            if not len(records):
                return
        reader = self._job.readers[found.rank]
        decoded = reader.decode(records, now_ms())
        read = reader.read(decoded, records.partition)
        if decoded.refused:
            letters = dead_letters.to_output(decoded.refused, now_ms(), keep=False)  # none that a topic may not take: the job would fail
            yield OUT, 0, written(self._job.topics["dead-letters"], *encode(letters), letters.time)
        yield from self._send(read, decoded, reader.input.name)

    def snapshot(self) -> bytes:
        return str(self._newest).encode()

    def restore(self, state: bytes) -> None:
        self._newest = int(state)

    def _send(self, read: Read, decoded: Decoded, name: str) -> Sent:
        lateness = self._job.inputs[read.rank].lateness
        keyed = place(read.times, read.is_row, self._newest, lateness)
        ahead = tuple(one.offset for one in decoded.refused if one.by_clock)
        yield ORDER, 0, pack(Part(read.rank, read.partition, {}, read.offsets, read.times, read.is_row, read.next_offset, ahead))
        for task, one in enumerate(self._job.cut.tasks):
            if name in one.plan.sources:
                yield from self._to_buckets(task, name, read, keyed.before, keyed.newest)
        self._newest = keyed.newest
        if read.rank == self._job.driving and read.table.num_rows:
            self._base = self._base or Program(self._job.cut.base)
            answer = self._base.process(_alone(name, read.table))
            if answer.table.num_rows:  # WHERE may have left nothing
                yield ROWS, read.partition, pack(self._rows(read, answer))

    def _rows(self, read: Read, answer: Answer) -> Base:
        columns = dict(zip(answer.table.column_names, answer.table.columns, strict=True))
        key = self._job.inputs[read.rank].key
        if key is not None and self._job.key_column == KEY:
            columns[KEY] = read.table.column(key).cast(pa.string()).take(pa.array(answer.index))
        offsets = read.table.column(OFFSET).to_numpy()[answer.index]
        return Base(read.partition, columns, offsets, read.times[read.is_row][answer.index])

    def _to_buckets(self, task: int, name: str, read: Read, before: Int64, newest: int) -> Sent:
        routes = self._job.cut.tasks[task].routes
        keys = self._job.task_keys(task)
        rows, buckets = np.arange(read.table.num_rows), np.zeros(read.table.num_rows, np.int64)
        if routes is not None and read.table.num_rows:
            program = self._routes.setdefault((task, name), Program(routes[name]))
            answer = program.process(_alone(name, read.table))
            rows, buckets = answer.index, bucket_of(answer.table, self._job.buckets)
        asked = self._job.task_columns(task, name)
        columns = {column: read.table.column(column) for column in read.table.column_names if column in asked}
        row_times = read.times[read.is_row]
        for bucket, key in enumerate(keys):
            mine = rows[buckets == bucket]
            times, is_row = _times(row_times[mine], before[mine], newest)
            picked = None if len(mine) == read.table.num_rows else pa.array(mine)
            found = columns if picked is None else {column: values.take(picked) for column, values in columns.items()}
            yield TASKS, key, pack(Part(read.rank, read.partition, found, read.offsets[mine], times, is_row, read.next_offset))


def _times(times: Int64, before: Int64, newest: int) -> tuple[Int64, np.ndarray]:
    """The rows of a bucket with the running maximum that each met in its whole partition, as watermarks between them."""
    both = np.empty(2 * len(times) + 1, np.int64)
    both[0:-1:2], both[1:-1:2], both[-1] = before, times, newest
    is_row = np.zeros(len(both), bool)
    is_row[1:-1:2] = True
    known = both > NEVER
    return both[known | is_row], is_row[known | is_row]


def _before(records: Records, end: int) -> Records:
    count = int(np.searchsorted(records.offsets, end))
    return records if count == len(records) else records.take(slice(0, count), end)


def _alone(name: str, table: pa.Table) -> Batch:
    return Batch({name: table}, {name: np.arange(table.num_rows, dtype=np.int64)})


def written(topic: str, keys: Bytes | None, values: Bytes, times: Int64) -> Written:
    return Written(topic, Bytes.nulls(len(values)) if keys is None else keys, values, times)
