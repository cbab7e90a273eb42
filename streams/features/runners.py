"""What runs the nodes of a plan: scans, projections, filters, limits and windows. LAST JOIN is in `joined.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.features.engine import Engine, flat
from streams.features.kinds import Kind
from streams.features.plan import Filter, Join, Keep, Limit, Node, Plan, Project, Scan, Single, Windowed
from streams.features.scalar import Scalar, column
from streams.types import OFFSET, PARTITION, Batch, Int64


@dataclass(frozen=True)
class Rows:
    """Rows between two nodes. `order`: their places in the merged order, ascending; `index`: rows of the input they come from.

    `partition` and `offset` are where they were read (None where that is not known), `seen` what they saw in joins.
    """

    columns: Mapping[str, pa.Array]
    order: Int64
    index: Int64 | None = None
    partition: pa.Array | None = None
    offset: pa.Array | None = None
    seen: Mapping[str, pa.Array] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.order)

    def take(self, mask: pa.Array) -> Rows:
        """The rows where `mask` is true."""
        keep = mask.to_numpy(zero_copy_only=False)
        return Rows(
            {name: array.filter(mask) for name, array in self.columns.items()},
            self.order[keep],
            self.index[keep] if self.index is not None else None,
            self.partition.filter(mask) if self.partition is not None else None,
            self.offset.filter(mask) if self.offset is not None else None,
            {name: array.filter(mask) for name, array in self.seen.items()},
        )


Found = Mapping[int, Rows]


class Runner(Protocol):
    """The state of one node. `kinds` are the types of the columns it gives."""

    @property
    def kinds(self) -> Mapping[str, Kind]: ...

    def run(self, batch: Batch, found: Found) -> Rows: ...

    def snapshot(self) -> Mapping[str, bytes]: ...

    def restore(self, state: Mapping[str, bytes]) -> None: ...


class _Stateless:
    def snapshot(self) -> Mapping[str, bytes]:
        return {}

    def restore(self, state: Mapping[str, bytes]) -> None:
        pass


class ScanRunner(_Stateless):
    def __init__(self, node: Scan, needed: frozenset[str]) -> None:
        self._table = node.table
        self._fields = [f for f in node.fields if f.ref in needed]
        self.kinds = {f.ref: f.kind for f in self._fields}

    def run(self, batch: Batch, found: Found) -> Rows:
        table = batch.tables.get(self._table)
        if table is None or not table.num_rows:
            none = np.empty(0, np.int64)
            empty = pa.array([], pa.int64())
            return Rows({f.ref: pa.array([], f.kind.arrow) for f in self._fields}, none, none, empty, empty)
        columns = {}
        for f in self._fields:
            array = flat(table.column(f.name))
            columns[f.ref] = array if array.type == f.kind.arrow else array.cast(f.kind.arrow)
        names = table.column_names
        partition = flat(table.column(PARTITION)) if PARTITION in names else None
        offset = flat(table.column(OFFSET)) if OFFSET in names else None
        order = np.asarray(batch.order[self._table], np.int64)
        return Rows(columns, order, np.arange(table.num_rows, dtype=np.int64), partition, offset)


class SingleRunner:
    """The one row of a SELECT without FROM: in the first batch."""

    kinds: Mapping[str, Kind] = {}

    def __init__(self) -> None:
        self._given = False

    def run(self, batch: Batch, found: Found) -> Rows:
        count = 0 if self._given else 1
        self._given = True
        return Rows({}, np.zeros(count, np.int64))

    def snapshot(self) -> Mapping[str, bytes]:
        return {"given": b"1" if self._given else b"0"}

    def restore(self, state: Mapping[str, bytes]) -> None:
        self._given = state.get("given") == b"1"


class ProjectRunner(_Stateless):
    def __init__(self, node: Project, child: Runner, engine: Engine, needed: frozenset[str] | None) -> None:
        outputs = [(ref, scalar) for ref, scalar in node.outputs if needed is None or ref in needed]
        self._child = child
        self._query = engine.query(outputs, child.kinds)
        self.kinds = {ref: scalar.kind for ref, scalar in outputs}

    def run(self, batch: Batch, found: Found) -> Rows:
        rows = found[id(self._child)]
        return replace(rows, columns=self._query.run(rows.columns, rows.count))


class FilterRunner(_Stateless):
    def __init__(self, node: Filter, child: Runner, engine: Engine) -> None:
        self._child = child
        self._query = engine.query([("keep", node.condition)], child.kinds)
        self.kinds = child.kinds

    def run(self, batch: Batch, found: Found) -> Rows:
        rows = found[id(self._child)]
        if not rows.count:
            return rows
        return rows.take(pc.fill_null(self._query.run(rows.columns, rows.count)["keep"], False))


class LimitRunner:
    def __init__(self, node: Limit, child: Runner) -> None:
        self._child, self._rows, self._given = child, node.rows, 0
        self.kinds = child.kinds

    def run(self, batch: Batch, found: Found) -> Rows:
        rows = found[id(self._child)]
        left = max(0, min(rows.count, self._rows - self._given))
        self._given += left
        return rows if left == rows.count else rows.take(pa.array(np.arange(rows.count) < left))

    def snapshot(self) -> Mapping[str, bytes]:
        return {"given": str(self._given).encode()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        self._given = int(state.get("given", b"0"))


@dataclass(frozen=True)
class Needs:
    """The columns each node must give."""

    @staticmethod
    def of(scalars: Sequence[Scalar | None]) -> frozenset[str]:
        return frozenset().union(*(scalar.refs for scalar in scalars if scalar is not None)) if scalars else frozenset()

    @staticmethod
    def keep(keep: Keep) -> frozenset[str]:
        return Needs.of([*keep.keys, keep.order, *keep.columns])


def assemble(plan: Plan, engine: Engine, runners: list[Runner], finished: bool, spill: Path | None) -> Runner:
    """The runners of a plan, those that others read first; gives the one of the root. Equal nodes share a runner."""
    shared: dict[tuple[Node, frozenset[str] | None], Runner] = {}

    def build(node: Node, needed: frozenset[str] | None) -> Runner:
        if (node, needed) not in shared:
            shared[node, needed] = made = _make(node, needed)
            runners.append(made)
        return shared[node, needed]

    def _make(node: Node, needed: frozenset[str] | None) -> Runner:
        if isinstance(node, Scan):
            return ScanRunner(node, needed if needed is not None else frozenset(f.ref for f in node.fields))
        if isinstance(node, Single):
            return SingleRunner()
        if isinstance(node, Project):
            wanted = [scalar for ref, scalar in node.outputs if needed is None or ref in needed]
            return ProjectRunner(node, build(node.child, Needs.of(wanted)), engine, needed)
        if isinstance(node, Filter):
            return FilterRunner(node, build(node.child, None if needed is None else needed | node.condition.refs), engine)
        if isinstance(node, Limit):
            return LimitRunner(node, build(node.child, needed))
        if isinstance(node, Join):
            from streams.features.joined import JoinRunner

            used = (needed or frozenset()) | Needs.of([node.residual])
            own = frozenset(ref for ref in used if not ref.startswith(node.prefix)) | Needs.of([left for left, _ in node.keys])
            theirs = frozenset(ref.removeprefix(node.prefix) for ref in used if ref.startswith(node.prefix))
            theirs |= Needs.of([right for _, right in node.keys]) | Needs.of([node.order])
            kept = frozenset(ref.removeprefix(node.prefix) for ref in used if ref.startswith(node.prefix))
            return JoinRunner(node, build(node.left, own), build(node.right, theirs), engine, kept)
        assert isinstance(node, Windowed)
        from streams.features.windowed import WindowedRunner

        refs = {ref for keep in node.keeps for window in keep.refs for ref in window}
        passed = frozenset((needed or frozenset()) - refs)
        child = build(node.child, passed.union(*(Needs.keep(keep) for keep in node.keeps)))
        unions = {}
        for keep in node.keeps:
            for union in keep.unions:
                names = dict(union.columns)
                unions[keep, union] = build(union.node, frozenset(names[ref] for ref in Needs.keep(keep)))
        return WindowedRunner(node, child, unions, engine, plan, finished, spill)

    return build(plan.root, None)


__all__ = ["Found", "Rows", "Runner", "assemble", "column"]
