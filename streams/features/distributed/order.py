"""The one that decides the order: it sees the times of all partitions and says, turn by turn, what is taken. Each turn is a commit record."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping

import numpy as np

from connectors.kafka.columns import Bytes
from streams.events import late
from streams.features.distributed.arrive import written
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.messages import OUT, ROWS, TASKS, Part, Sent, Tick, Turn, Upto, pack, unpack
from streams.types import OffsetRange
from streams.worker.commits import Commit
from streams.worker.merge import Merge, Slot, Taken
from streams.worker.snapshots import now_ms
from streams.worker.write import encode

DONE = b"done"  # key of the record after the last commit of a bounded job
Quiet = Callable[[Mapping[Slot, int]], set[Slot]]  # of partitions and how far each is read, those that no longer hold the others


class Order:
    """One for the whole job. `reach` as the late ledger wants it."""

    def __init__(self, job: JobPlan, reach: Mapping[str, late.Reach] | None = None) -> None:
        self._job, self._reach = job, reach or {}
        self._topics = {one.name: one.topic for one in job.inputs}
        self._merge = job.merge()
        self._number = 0
        self._done = False  # all of a bounded job's rows are taken, and it was said
        self._read: dict[Slot, int] = dict(job.starts)
        self._ahead: list[tuple[str, int, int]] = []

    def receive(self, message: bytes) -> Sent:
        found = unpack(message)
        if isinstance(found, Tick):
            yield from self._turn(set(found.idle), found.at)
            if found.done:
                self._done = True
                yield OUT, 0, written(self._job.topics["commits"], Bytes.of([DONE]), Bytes.of([b"{}"]), np.array([found.at], np.int64))
        else:
            assert isinstance(found, Part)
            self._merge.add(found.read)
            self._ahead += [(self._job.inputs[found.rank].topic, found.partition, offset) for offset in found.ahead]

    def tick(self, quiet: Quiet) -> bytes | None:
        """The message that lets waiting rows go on, without the partitions that are quiet; None when none waits.

        Turns are made by the clock and not by each message, so that they are few and large under load.
        """
        if not self._merge.rows and (self._job.ends is None or self._done):
            return None
        idle = frozenset(quiet({slot: one.read for slot, one in self._merge.progress().items()}))
        if not self._merge.rows and len(idle) < len(self._job.starts):
            return None
        return pack(Tick(idle, now_ms(), done=not self._merge.rows))

    def end(self) -> bytes:
        """The message that no more records will come: it takes all that waits."""
        return pack(Tick(frozenset(self._job.starts), now_ms()))

    def snapshot(self) -> bytes:
        return pickle.dumps((self._merge, self._number, self._read, self._ahead, self._done))

    def restore(self, state: bytes) -> None:
        found = pickle.loads(state)
        assert isinstance(found[0], Merge)
        self._merge, self._number, self._read, self._ahead, self._done = found

    def _turn(self, idle: set[Slot], now: int) -> Sent:
        taken = self._merge.take(idle)
        if taken is None:
            return
        self._number += 1
        standing = self._merge.progress()
        progress = {slot: one.read for slot, one in standing.items()}
        changed = {slot: end for slot, end in progress.items() if end > self._read[slot]}
        ranges = tuple(OffsetRange(self._topic(slot), slot[1], self._read[slot], end) for slot, end in changed.items())
        self._read = progress
        turn = pack(Turn(self._number, self._merge.frontier, progress))
        for key in self._job.all_task_keys:
            yield TASKS, key, turn
        for (rank, partition), one in standing.items():
            if rank == self._job.driving and one.low < one.read:
                yield ROWS, partition, pack(Upto(one.low))
        names = tuple((self._topic(slot), slot[1]) for slot in sorted(idle))
        counts = taken.batch.counts(self._topics)
        commit = Commit("features", self._number, ranges, self._merge.frontier, counts, taken.disordered, names, tuple(self._ahead), now)
        self._ahead = []
        record = Bytes.of([commit.to_json().encode()])
        yield OUT, 0, written(self._job.topics["commits"], Bytes.of([b"features"]), record, np.array([now], np.int64))
        yield from self._late(taken, now)

    def _late(self, taken: Taken, now: int) -> Sent:
        if taken.late:
            output = late.to_output(taken.batch, taken.late, self._topics, self._reach, now)
            yield OUT, 0, written(self._job.topics["late"], *encode(output), output.time)

    def _topic(self, slot: Slot) -> str:
        return self._job.inputs[slot[0]].topic
