"""The program of a plan: batches of rows in the order of the log in, one row of features for each driving row out.

Every node of the plan has a runner with its state; all of them see every batch once. The state as bytes is all a program needs to go on
elsewhere: the same rows give the same answers, however they were cut into batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from streams.errors import StateError
from streams.features.engine import Engine
from streams.features.kinds import Kind
from streams.features.plan import Filter, Join, Plan, Project, Windowed, walk
from streams.features.runners import Rows, Runner, assemble
from streams.features.scalar import Scalar
from streams.types import Batch, Int64


@dataclass(frozen=True)
class Answer:
    """`table`: the columns of the SELECT; `index[i]`: the row of the driving table that row i answers; `seen`: for each LAST JOIN on the
    driving path `_<right>_partition` and `_<right>_offset`, NULL where nothing matched.
    """

    table: pa.Table
    index: Int64
    seen: pa.Table


class Program:
    """Runs one plan. Not for several threads at once.

    `finished`: the one batch to come is all there will ever be, and each window takes its rows in the order of its own ORDER BY, whatever
    the order they came in, as a batch engine does. `spill`: a folder for the rows of long windows, which live in RAM without it.
    """

    def __init__(self, plan: Plan, *, finished: bool = False, spill: Path | None = None) -> None:
        self.plan = plan
        self._engine = Engine(plan.udfs, _scalars(plan))
        self._runners: list[Runner] = []
        self._root = assemble(plan, self._engine, self._runners, finished, spill)

    def process(self, batch: Batch) -> Answer:
        """Answer the driving rows of a batch, in their order."""
        found: dict[int, Rows] = {}
        for runner in self._runners:
            found[id(runner)] = runner.run(batch, found)
        rows = found[id(self._root)]
        names = [name for name, _ in self.plan.columns]
        arrays = [rows.columns[f"p{i}"] for i in range(len(names))]
        schema = pa.schema([pa.field(name, kind.arrow) for name, kind in self.plan.columns])
        table = pa.Table.from_arrays([_as(array, field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema)
        seen = pa.table(dict(rows.seen))
        index = rows.index if rows.index is not None else np.arange(rows.count, dtype=np.int64)
        return Answer(table, index, seen)

    def snapshot(self) -> Mapping[str, bytes]:
        """The state as named byte strings."""
        state = {"plan": json.dumps({"hash": self.plan.hash}).encode()}
        for number, runner in enumerate(self._runners):
            state |= {f"{number}.{name}": value for name, value in runner.snapshot().items()}
        return state

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take a state that `snapshot` gave. Raises StateError where it is of another plan."""
        try:
            made_by = json.loads(state["plan"])["hash"]
        except (KeyError, ValueError) as error:
            raise StateError(f"a features state without a plan ({error}); it is rebuilt from the log") from error
        if made_by != self.plan.hash:
            raise StateError(
                f"met the state of plan {made_by[:12]}, wished that of {self.plan.hash[:12]}: features.sql changed; it is rebuilt from the log"
            )
        for number, runner in enumerate(self._runners):
            start = f"{number}."
            runner.restore({name.removeprefix(start): value for name, value in state.items() if name.startswith(start)})

    @property
    def overflows(self) -> int:
        """How many sums a BIGINT could not hold so far; each was answered as NULL."""
        return sum(getattr(runner, "overflows", 0) for runner in self._runners)


def _as(array: pa.Array, wished: pa.DataType) -> pa.Array:
    return array if array.type == wished else array.cast(wished)


def _scalars(plan: Plan) -> list[Scalar]:
    found: list[Scalar] = []
    for node in walk(plan.root):
        if isinstance(node, Project):
            found += [scalar for _, scalar in node.outputs]
        elif isinstance(node, Filter):
            found.append(node.condition)
        elif isinstance(node, Join):
            found += [s for pair in node.keys for s in pair] + [s for s in (node.order, node.residual) if s is not None]
        elif isinstance(node, Windowed):
            found += [s for keep in node.keeps for s in (*keep.keys, *keep.columns, *((keep.order,) if keep.order else ()))]
    return found


__all__ = ["Answer", "Kind", "Program"]
