"""Everything the stages of one job must know, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from streams.events.decode import KEY
from streams.features.distributed.split import Cut, cut
from streams.features.plan import Plan, Project, Scan, origin, walk
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME, Type
from streams.worker.merge import Merge, Slot
from streams.worker.replay import Reader


@dataclass(frozen=True)
class JobPlan:
    """`readers` in order of rank, the driving one last; `starts[rank, partition]` is the first offset there; `buckets` of keys a task."""

    plan: Plan
    readers: tuple[Reader, ...]
    starts: Mapping[Slot, int]
    topics: Mapping[str, str]  # features, commits, dead-letters, late
    buckets: int
    partitions: int = 1  # of the features topic
    ends: Mapping[Slot, int] | None = None  # of a bounded job: what stands at or past them does not exist

    @cached_property
    def cut(self) -> Cut:
        return cut(self.plan)

    @property
    def inputs(self) -> tuple[Input, ...]:
        return tuple(reader.input for reader in self.readers)

    @property
    def driving(self) -> int:
        return len(self.readers) - 1

    def rank(self, name: str) -> int:
        return next(reader.rank for reader in self.readers if reader.input.name == name)

    @cached_property
    def key_column(self) -> str | None:
        """Where a base row has the driving input's key: among its own columns, else in a column `_key` beside them; None: there is none."""
        key, base = self.inputs[-1].key, self.cut.base
        assert isinstance(base.root, Project)
        if key is None:
            return None
        found = (name for name, kind in base.columns if kind == Type.STRING and origin(base.root.child, name) == (base.driving, key))
        return next(found, KEY)

    def merge(self, *, of: tuple[str, ...] | None = None) -> Merge:
        """A merge over all partitions, or those of some inputs."""
        merge = Merge(self.inputs)
        for (rank, partition), start in self.starts.items():
            if of is None or self.inputs[rank].name in of:
                merge.open(rank, partition, offset=start)
        return merge

    def task_columns(self, task: int, table: str) -> frozenset[str]:
        """The columns of an input that a task reads, without the meta columns."""
        scans = (node for node in walk(self.cut.tasks[task].plan.root) if isinstance(node, Scan) and node.table == table)
        return frozenset().union(*({f.name for f in node.fields} for node in scans)) - {PARTITION, OFFSET, TIME}

    def task_keys(self, task: int) -> range:
        """The keys of a task's buckets among all tasks' keys."""
        count = self.buckets if self.cut.tasks[task].routes is not None else 1
        return range(task * self.buckets, task * self.buckets + count)

    @property
    def all_task_keys(self) -> list[int]:
        return [key for task in range(len(self.cut.tasks)) for key in self.task_keys(task)]
