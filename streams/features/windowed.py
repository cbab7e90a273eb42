"""Windows of a plan on the kernel: rows of a SELECT and of its UNIONs in one order, one kernel for all windows of a key and order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streams.features.engine import Engine, Query
from streams.features.host import rows_udaf
from streams.features.kernel.column import Column
from streams.features.kernel.keys import KeyIndex
from streams.features.kernel.windows import WindowKernel
from streams.features.kinds import Kind
from streams.features.plan import Keep, Plan, Union_, Windowed
from streams.features.runners import Found, Rows, Runner
from streams.features.scalar import Scalar
from streams.types import Batch, Int64, Type


@dataclass(frozen=True)
class _Input:
    """One source of a keep's rows: the SELECT itself, or a UNION. `names` maps its columns to those of the SELECT."""

    runner: Runner
    query: Query
    names: Mapping[str, str] | None
    refs: tuple[str, ...]


class _KeepRunner:
    def __init__(self, keep: Keep, inputs: list[_Input], index: KeyIndex, plan: Plan, finished: bool, spill: Path | None) -> None:
        self._finished = finished
        self.keep = keep
        self.inputs = inputs
        self.index = index
        udafs = {name: udf.udaf for name, udf in plan.udfs.aggregates.items()} | {"_rows": rows_udaf()}
        self.kernel = WindowKernel(keep.spec, udafs, timezone=_zone(plan.timezone), spill=spill if keep.on_disk else None)
        self._types = [column.kind.column or Type.STRING for column in keep.columns]

    def run(self, found: Found, evaluated: Mapping[int, Mapping[str, pa.Array]]) -> dict[str, pa.Array]:
        parts = [(found[id(one.runner)], evaluated[id(one)]) for one in self.inputs]
        own = parts[0][0]
        parts = [part for i, part in enumerate(parts) if i == 0 or part[0].count]
        names = self.inputs[0].refs
        count, keyed = len(self.keep.columns), len(self.keep.keys)
        arrays = [[values[name] for name in names] for _, values in parts]
        ids = [self.index.ids(row[count : count + keyed]) for row in arrays]
        times = [
            _times(row[count + keyed]) if self.keep.order is not None else np.zeros(part.count, np.int64)
            for row, (part, _) in zip(arrays, parts, strict=True)
        ]
        stored = [np.full(part.count, i > 0 or self.keep.stored, np.bool_) for i, (part, _) in enumerate(parts)]
        answered = [np.full(part.count, i == 0, np.bool_) for i, (part, _) in enumerate(parts)]
        back: Int64 | None = None
        if len(parts) == 1 and not self._finished:
            columns = [Column.from_arrow(array, kind) for array, kind in zip(arrays[0][:count], self._types, strict=True)]
            results = self.kernel.process(ids[0], times[0], stored[0], answered[0], columns)
        else:
            place = np.concatenate([part.order for part, _ in parts])
            rank = np.concatenate([np.full(part.count, -i, np.int64) for i, (part, _) in enumerate(parts)])
            merged = np.lexsort((place, rank, np.concatenate(times))) if self._finished else np.lexsort((rank, place))
            if self._finished:
                back = np.argsort(merged[merged < own.count], kind="stable")
            joined = [pa.concat_arrays([row[c] for row in arrays]).take(pa.array(merged)) for c in range(count)]
            columns = [Column.from_arrow(array, kind) for array, kind in zip(joined, self._types, strict=True)]
            results = self.kernel.process(
                np.concatenate(ids)[merged],
                np.concatenate(times)[merged],
                np.concatenate(stored)[merged],
                np.concatenate(answered)[merged],
                columns,
            )
        given = {}
        for window, refs, columns_of in zip(self.keep.spec.windows, self.keep.refs, results, strict=True):
            for aggregate, ref, value in zip(window.aggregates, refs, columns_of, strict=True):
                given[ref] = value.to_arrow(aggregate.type)
                if back is not None:
                    given[ref] = given[ref].take(pa.array(back))
                assert len(given[ref]) == own.count
        return given


class WindowedRunner:
    """All windows of one SELECT."""

    def __init__(
        self,
        node: Windowed,
        child: Runner,
        unions: Mapping[tuple[Keep, Union_], Runner],
        engine: Engine,
        plan: Plan,
        finished: bool,
        spill: Path | None,
    ) -> None:
        self._child = child
        self._queries: list[_Input] = []
        self._keeps: list[_KeepRunner] = []
        self._indexes: dict[tuple[Scalar, ...], KeyIndex] = {}
        own_scalars: dict[tuple[str, Kind], tuple[str, Scalar]] = {}
        refs_of: dict[Keep, tuple[str, ...]] = {}
        for keep in node.keeps:
            refs_of[keep] = tuple(own_scalars.setdefault((s.sql, s.kind), (f"a{len(own_scalars)}", s))[0] for s in _asked(keep))
        query = engine.query(list(own_scalars.values()), child.kinds)
        for keep in node.keeps:
            inputs = [_Input(child, query, None, refs_of[keep])]
            for union in keep.unions:
                runner = unions[keep, union]
                names = dict(union.columns)
                kinds = {own: runner.kinds[other] for own, other in names.items() if other in runner.kinds}
                asked = [(ref, scalar) for ref, scalar in zip(refs_of[keep], _asked(keep), strict=True)]
                inputs.append(_Input(runner, engine.query(list(dict(asked).items()), kinds), names, refs_of[keep]))
            index = self._indexes.setdefault(keep.keys, KeyIndex())
            self._keeps.append(_KeepRunner(keep, inputs, index, plan, finished, spill))
        results = {
            ref: Kind(str(aggregate.type))
            for keep in node.keeps
            for w, refs in zip(keep.spec.windows, keep.refs, strict=True)
            for aggregate, ref in zip(w.aggregates, refs, strict=True)
        }
        self.kinds = {**child.kinds, **results}

    @property
    def overflows(self) -> int:
        return sum(keep.kernel.overflows for keep in self._keeps)

    def run(self, batch: Batch, found: Found) -> Rows:
        rows = found[id(self._child)]
        given: dict[str, pa.Array] = {}
        own: Mapping[str, pa.Array] | None = None
        for keep in self._keeps:
            evaluated: dict[int, Mapping[str, pa.Array]] = {}
            for one in keep.inputs:
                there = found[id(one.runner)]
                if one.names is None:
                    own = own if own is not None else one.query.run(there.columns, there.count)
                    evaluated[id(one)] = own
                else:
                    columns = {mine: there.columns[theirs] for mine, theirs in one.names.items() if theirs in there.columns}
                    evaluated[id(one)] = one.query.run(columns, there.count)
            given |= keep.run(found, evaluated)
        return replace(rows, columns={**rows.columns, **given})

    def snapshot(self) -> Mapping[str, bytes]:
        state = {f"keys{i}": index.snapshot() for i, index in enumerate(self._indexes.values())}
        return state | {f"keep{i}": keep.kernel.snapshot() for i, keep in enumerate(self._keeps)}

    def restore(self, state: Mapping[str, bytes]) -> None:
        for i, index in enumerate(self._indexes.values()):
            index.restore(state[f"keys{i}"])
        for i, keep in enumerate(self._keeps):
            keep.kernel.restore(state[f"keep{i}"])


def _asked(keep: Keep) -> list[Scalar]:
    return [*keep.columns, *keep.keys, *([keep.order] if keep.order is not None else [])]


def _times(array: pa.Array) -> Int64:
    """Event times; a row without one is older than all others."""
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    values: npt.NDArray[np.int64]
    if array.null_count:
        filled = array.cast(pa.int64()).fill_null(-(2**62))
        values = filled.to_numpy(zero_copy_only=False)
    else:
        values = array.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values


def _zone(name: str) -> str:
    """The zone database's name of a fixed offset: `+08:00` is `Etc/GMT-8` there."""
    if name[:1] not in "+-":
        return name
    hours = int(name[:3])
    return f"Etc/GMT{-hours:+d}" if hours else "UTC"
