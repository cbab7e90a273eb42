"""One bucket of keys of one task: rows wait here for their turn, then the kernel answers them."""

from __future__ import annotations

import pickle
from collections import deque

import numpy as np
import pyarrow as pa

from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.messages import ROWS, Part, Piece, Sent, Turn, pack, unpack
from streams.features.program import Program
from streams.types import OFFSET, PARTITION
from streams.worker.merge import Merge, Slot


class Bucket:
    """`key` is the task's bucket among all tasks' keys."""

    def __init__(self, job: JobPlan, key: int) -> None:
        self._job, self._task = job, key // job.buckets
        task = job.cut.tasks[self._task]
        self._program = Program(task.plan)
        self._sources = task.plan.sources
        self._merge = job.merge(of=self._sources)
        self._come: dict[Slot, int] = {slot: start for slot, start in job.starts.items() if job.inputs[slot[0]].name in self._sources}
        self._turns: deque[Turn] = deque()

    def receive(self, message: bytes) -> Sent:
        found = unpack(message)
        if isinstance(found, Turn):
            self._turns.append(found)
        else:
            assert isinstance(found, Part)
            self._merge.add(found.read)
            self._come[found.rank, found.partition] = found.next_offset
        while self._turns and all(self._come[slot] >= end for slot, end in self._turns[0].ends.items() if slot in self._come):
            yield from self._take(self._turns.popleft())

    def snapshot(self) -> bytes:
        return pickle.dumps((dict(self._program.snapshot()), self._merge, self._come, self._turns))

    def restore(self, state: bytes) -> None:
        program, merge, self._come, self._turns = pickle.loads(state)
        assert isinstance(merge, Merge)
        self._merge = merge
        self._program.restore(program)

    def _take(self, turn: Turn) -> Sent:
        taken = self._merge.advance(turn.frontier)
        if taken is None:
            return
        answer = self._program.process(taken.batch)
        driving = taken.batch.tables.get(self._job.plan.driving or "")
        if driving is None or not len(answer.index):
            return
        index = pa.array(answer.index)
        partitions, offsets = (driving.column(name).take(index).to_numpy() for name in (PARTITION, OFFSET))
        for partition in np.unique(partitions):
            rows = np.flatnonzero(partitions == partition)
            picked = pa.array(rows)
            table, seen = (t.take(picked) if len(rows) < len(offsets) and t.num_columns else t for t in (answer.table, answer.seen))
            yield ROWS, int(partition), pack(Piece(self._task, offsets[rows].astype(np.int64), table, seen))
