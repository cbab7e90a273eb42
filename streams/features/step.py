"""Step 2, an event becomes a feature row: one row per event, windows as of this event, by the one kernel."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.errors import FeatureError
from streams.events.decode import KEY, nothing
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME, Batch, Output, Outputs

if TYPE_CHECKING:
    from streams.features.plan import Node, Plan
    from streams.features.program import Answer, Program
    from streams.project import Project

PLAN = "_plan"  # column of a feature row: the first 12 hex digits of the plan's hash
PLAN_DIGITS = 12
_OWN = re.compile("_(partition|offset|time|timestamp|plan|key|value|.*_partition|.*_offset)")
ROWS = "rows"  # folder of the rows of long windows, in the project's state


class Features:
    """The step over a program. `partitions` is the number of the features topic's: an event's row keeps its partition's number."""

    name = "features"

    def __init__(
        self, program: Program, plan: Plan, inputs: tuple[Input, ...], topic: str, partitions: int = 1, in_step: bool = False
    ) -> None:
        self.plan, self.inputs = plan, inputs
        self.marked = (topic,) if in_step else ()  # predictions that wait must know how far event time has come
        self._program, self._topic, self._partitions = program, topic, partitions
        self.signature = plan.hash
        self.reach = reach(plan)
        self._empty = {one.name: nothing(one.schema) for one in inputs}

    def process(self, batch: Batch) -> Outputs:
        answer = self._program.process(filled(batch, self._empty))
        if not answer.table.num_rows:
            return {}
        driving = batch.tables[self.inputs[-1].name]
        table = feature_rows(answer, driving, self.plan)
        key = self.inputs[-1].key
        if key is not None:
            keys = driving.column(key)
            table = table.append_column(
                KEY, (keys if len(answer.index) == len(keys) else keys.take(pa.array(answer.index))).cast(pa.string())
            )
        partitions = (table.column(PARTITION).to_numpy() % self._partitions).astype(np.int32)
        return {self._topic: Output(table, KEY if key is not None else None, partitions, table.column(TIME).to_numpy())}

    def hold(self) -> int | None:
        return None

    def snapshot(self) -> Mapping[str, bytes]:
        return self._program.snapshot()

    def restore(self, state: Mapping[str, bytes]) -> None:
        self._program.restore(state)


def reach(plan: Plan) -> dict[str, dict[str, int | None]]:
    """By input, the windows over its rows and how far each goes back: milliseconds, None where it counts rows or has no end."""
    from streams.features.plan import Scan, Single, Windowed, children, walk

    def rows_of(node: Node) -> str | None:
        """The input whose rows they are; what is joined to them comes from elsewhere."""
        while not isinstance(node, Scan):
            if isinstance(node, Single):
                return None
            node = children(node)[0]  # the driving path
        return node.table

    found: dict[str, dict[str, int | None]] = {}
    for node in walk(plan.root):
        for keep in node.keeps if isinstance(node, Windowed) else ():
            inners = (children(node)[0], *(union.node for union in keep.unions))
            tables = {rows_of(inner) for inner in inners}
            for table in tables - {None}:
                for name, window in zip(keep.names, keep.spec.windows, strict=True):
                    found.setdefault(str(table), {})[name] = None if window.frame.rows else window.frame.start
    return found


def filled(batch: Batch, empty: Mapping[str, pa.Table]) -> Batch:
    """The batch with a table, maybe without rows, for every input."""
    if len(batch.tables) == len(empty):
        return batch
    none = np.empty(0, np.int64)
    return Batch({**empty, **batch.tables}, {**dict.fromkeys(empty, none), **batch.order})


def feature_rows(answer: Answer, driving: pa.Table, plan: Plan) -> pa.Table:
    """The columns of a feature row: the SELECT's, the driving event's place and time, the right-hand places seen, the plan."""
    table = answer.table
    for place, field in enumerate(table.schema):
        if pa.types.is_date(field.type):
            table = table.set_column(place, field, _with_four_digits(table.column(place)))
    all_rows = len(answer.index) == driving.num_rows
    for name in (PARTITION, OFFSET, TIME):
        column = driving.column(name)
        table = table.append_column(name, column if all_rows else column.take(pa.array(answer.index)))
    for name in answer.seen.column_names:
        table = table.append_column(name, answer.seen.column(name))
    return table.append_column(PLAN, pa.repeat(plan.hash[:PLAN_DIGITS], table.num_rows))


def _with_four_digits(dates: pa.ChunkedArray) -> pa.ChunkedArray:
    """NULL for a date that is not of the years 1 to 9999: neither JSON's YYYY-MM-DD nor Python has it."""
    known = pc.and_(pc.greater_equal(dates, pa.scalar(dt.date.min)), pc.less_equal(dates, pa.scalar(dt.date.max)))
    return pc.if_else(known, dates, pa.scalar(None, dates.type))


def build(project: Project) -> Features:
    """The features step of a project. FeatureError where features.sql is refused."""
    from streams.features.program import Program

    plan = plan_of(project)
    inputs = inputs_of(project, plan)
    return Features(
        Program(plan, spill=project.state_dir / ROWS), plan, inputs, project.topic("features"), width(project), project.promotion.in_step
    )


def inputs_of(project: Project, plan: Plan) -> tuple[Input, ...]:
    """The sources a plan reads, in order of rank. FeatureError for a plan that reads none."""
    if plan.driving is None:
        raise FeatureError(f"{plan.path}: a SELECT without FROM has no events to answer; name a source.")
    return tuple(project.input(name) for name in [*(name for name in plan.sources if name != plan.driving), plan.driving])


def width(project: Project) -> int:
    """Partitions of the topics whose records stand in the partition of their driving event."""
    return max([project.partitions, *(source.partitions for source in project.sources.values())])


def plan_of(project: Project) -> Plan:
    """The compiled features.sql of a project."""
    from streams.features.plan import compile_features
    from streams.features.udf import of_project

    udfs = of_project(project.root, project.model.functions)
    plan = compile_features(
        project.features_sql,
        project.schemas,
        path=str(project.model.features),
        timezone=project.timezone,
        udfs=udfs,
        history_ms=project.model.history_ms,
    )
    _refuse_names(plan, str(project.model.features))
    return plan


def _refuse_names(plan: Plan, path: str) -> None:
    """Each column of a feature row has a name of its own, and none that says where the row comes from."""
    for name, times in Counter(name for name, _ in plan.columns).items():
        if times > 1:
            raise FeatureError(f"{path}: met {times} columns called {name}, wished a name each. Give them one with AS.")
        if _OWN.fullmatch(name):
            raise FeatureError(
                f"{path}: met a column called {name}, wished another name: each feature row says by this one where it comes from."
            )
