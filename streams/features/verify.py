"""Parity: served feature rows are computed once more from the log, in the very order of the commits, and compared bit for bit.

Every difference gets one of five reasons: the definition has changed since (another plan), the log no longer has the history a window
needs, an event came late and was not yet there when the row was served, the row is missing (or there is one too many), or none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from connectors.formats import json
from streams.events.late import ledger
from streams.features.offline import Engine
from streams.features.plan import Plan
from streams.features.step import PLAN, PLAN_DIGITS, ROWS, inputs_of, plan_of
from streams.pipeline import readers
from streams.project import Project
from streams.types import OFFSET, PARTITION, TIME, Int64, OffsetRange, Position, Type
from streams.worker.commits import BEGINNING
from streams.worker.connection import Connection, Consumer, KafkaConnection, Part
from streams.worker.recovery import read_commits
from streams.worker.replay import LogReader, replay

REASONS = ("changed definition", "missing history", "late event", "missing row", "unexplained")
SHOWN = 100  # differences that are kept with their values


@dataclass(frozen=True)
class Difference:
    """One value (or row: column is empty) that is not what the log gives. `event` is the driving event's place."""

    event: str
    time: int
    column: str
    served: str
    recomputed: str
    reason: str


@dataclass(frozen=True)
class Verified:
    """`rows` compared, `equal` of them in every bit; `different` counts values, `reasons` the rows by reason. Of `gone` rows the log no longer
    has the event, so that they could not be compared."""

    rows: int
    equal: int
    different: int
    reasons: Mapping[str, int]
    plan: str
    differences: tuple[Difference, ...] = ()
    gone: int = 0


@dataclass
class _Tally:
    plan: Plan
    topic: str
    late: list[tuple[int, int]]  # event time of each late row, and how far behind it was
    history_from: int | None
    last_from: dict[int, int] = field(default_factory=dict)  # by partition: rows of earlier events are not compared
    rows: int = 0
    equal: int = 0
    different: int = 0
    reasons: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    shown: list[Difference] = field(default_factory=list)

    def row(self, reason: str) -> None:
        self.reasons[reason] += 1

    def show(self, difference: Difference) -> None:
        if len(self.shown) < SHOWN:
            self.shown.append(difference)


def verify(
    project: Project, last: int | None = None, connection: Connection | None = None, progress: Callable[[int], None] = lambda events: None
) -> Verified:
    """Compare the served rows (events among the last `last` offsets of each partition) with what the log gives."""
    connection = connection or KafkaConnection(project.kafka())
    plan = plan_of(project)
    inputs = inputs_of(project, plan)
    by_topic = readers(project, inputs)
    topic = project.topic("commits")
    lookup, consumer, served_consumer = connection.consumer(), connection.consumer(), connection.consumer()
    lost: list[OffsetRange] = []
    try:
        start = lookup.beginning_offsets([(topic, 0)])[topic, 0]
        engine, tally = Engine(plan, inputs, project.state_dir / ROWS), _Tally(plan, project.topic(str(plan.driving)), [], None)
        tally.late = [(one["time"], one["behind_ms"]) for one in ledger(connection, project.topic("late"))]
        if last is not None:
            commits = read_commits(lookup, topic, start, "features")
            ends = {(one.topic, one.partition): one.end for commit in commits for one in commit.ranges}
            tally.last_from = {partition: end - last for (topic, partition), end in ends.items() if topic == tally.topic}
        events = [(tally.topic, partition) for partition in consumer.partitions(tally.topic)]
        served = _Served(served_consumer, project.topic("features"), plan, consumer.beginning_offsets(events))
        commits = read_commits(lookup, topic, start, "features")
        for one in replay(consumer, by_topic, BEGINNING, commits, progress, gone=lost.append):
            if one.taken is None:
                continue
            if lost and tally.history_from is None:
                tally.history_from = min(int(table.column(TIME).to_numpy().min()) for table in one.taken.batch.tables.values())
            table = engine.rows(one.taken.batch)
            if table.num_rows:
                _compare(table, served, tally)
        for event in served.left():
            tally.row("missing row")
            tally.different += 1
            tally.show(Difference(event, 0, "", "a row", "no row: it is there twice, or its event is not in the log", "missing row"))
    finally:
        lookup.close()
        consumer.close()
        served_consumer.close()
    return Verified(tally.rows, tally.equal, tally.different, tally.reasons, plan.hash, tuple(tally.shown), served.gone)


class _Served:
    """The feature rows as they stand in the log, given out by the places of their events; what is not asked for waits.

    Rows of events before `events`, where the log begins now, are only counted.
    """

    def __init__(self, consumer: Consumer, topic: str, plan: Plan, events: Mapping[Part, int]) -> None:
        self.schema = {**plan.schema, PARTITION: Type.INT, OFFSET: Type.BIGINT, TIME: Type.BIGINT, PLAN: Type.STRING}
        parts = [(topic, partition) for partition in consumer.partitions(topic)]
        begins = consumer.beginning_offsets(parts)
        self._ends = consumer.end_offsets(parts)
        self._log = LogReader(consumer, begins)
        self._at = dict(begins)
        self._begins = np.array([at for _, at in sorted(events.items())], np.int64)
        self.gone = 0
        self._waiting = pa.table({name: pa.array([], kind.arrow) for name, kind in self.schema.items()})

    def find(self, partitions: Int64, offsets: Int64) -> tuple[npt.NDArray[np.bool_], pa.Table]:
        """Which of the places have a row, and those rows in this order."""
        wanted = _codes(partitions, offsets)
        while not np.isin(wanted, found := self._codes()).all() and self._more():
            pass
        order = np.argsort(found, kind="stable")
        at = np.searchsorted(found, wanted, sorter=order)
        there = at < len(found)
        there[there] = found[order[at[there]]] == wanted[there]
        rows = order[at[there]]
        left = np.ones(len(found), bool)
        left[rows] = False
        table = self._waiting.take(pa.array(rows))
        self._waiting = self._waiting.filter(pa.array(left)).combine_chunks()
        return there, table

    def left(self) -> Iterator[str]:
        """The places of the rows that nobody asked for."""
        while self._more():
            pass
        for partition, offset in zip(self._waiting.column(PARTITION).to_pylist(), self._waiting.column(OFFSET).to_pylist(), strict=True):
            yield f"[{partition}]@{offset}"

    def _codes(self) -> Int64:
        return _codes(self._waiting.column(PARTITION).to_numpy(), self._waiting.column(OFFSET).to_numpy())

    def _more(self) -> bool:
        if all(self._at[part] >= end for part, end in self._ends.items()):
            return False
        self._at = {part: min(at + 20_000, self._ends[part]) for part, at in self._at.items()}
        tables = [json.decode(records.values.take(records.values.length > 0), self.schema).table for records in self._log.upto(self._at)]
        came = pa.concat_tables([self._waiting.slice(0, 0), *(table.cast(self._waiting.schema) for table in tables)])
        there = came.column(OFFSET).to_numpy() >= self._begins[came.column(PARTITION).to_numpy()]
        self.gone += int((~there).sum())
        self._waiting = pa.concat_tables([self._waiting, came.filter(pa.array(there))]).combine_chunks()
        return True


def _codes(partitions: Int64, offsets: Int64) -> Int64:
    """A place as one number."""
    return partitions.astype(np.int64) << 48 | offsets.astype(np.int64)


def _compare(table: pa.Table, served: _Served, tally: _Tally) -> None:
    partitions, offsets, times = (table.column(name).to_numpy() for name in (PARTITION, OFFSET, TIME))
    found, theirs = served.find(partitions, offsets)
    chosen = np.ones(len(found), bool)
    for partition, first in tally.last_from.items():
        chosen[(partitions == partition) & (offsets < first)] = False
    tally.rows += int(chosen.sum())
    for row in np.flatnonzero(chosen & ~found).tolist():
        tally.row("missing row")
        tally.different += 1
        place = str(Position(tally.topic, int(partitions[row]), int(offsets[row])))
        tally.show(Difference(place, int(times[row]), "", "no row", "a row", "missing row"))
    there = np.flatnonzero(found & chosen).tolist()
    if not there:
        return
    mine, theirs = table.take(pa.array(there)), theirs.filter(pa.array(chosen[found]))
    wrong = np.zeros(len(there), bool)
    cells: list[tuple[int, str]] = []
    for name in tally.plan.schema:
        unequal = differing(mine.column(name), theirs.column(name))
        wrong |= unequal
        tally.different += int(unequal.sum())
        if unequal.any() and len(tally.shown) < SHOWN:
            cells += [(int(row), name) for row in np.flatnonzero(unequal)[:SHOWN]]
    tally.equal += int((~wrong).sum())
    plans = theirs.column(PLAN)
    why = {int(row): _reason(int(times[there[row]]), plans[int(row)].as_py(), tally) for row in np.flatnonzero(wrong)}
    for reason in why.values():
        tally.row(reason)
    for at, name in sorted(cells):
        row = there[at]
        place = str(Position(tally.topic, int(partitions[row]), int(offsets[row])))
        served_text, text = (str(one.column(name)[at].as_py()) for one in (theirs, mine))
        tally.show(Difference(place, int(times[row]), name, served_text, text, why[at]))


def _reason(time: int, plan: str | None, tally: _Tally) -> str:
    if plan != tally.plan.hash[:PLAN_DIGITS]:
        return "changed definition"
    reach = tally.plan.longest_ms
    if tally.history_from is not None and (reach is None or time - reach < tally.history_from):
        return "missing history"
    if any(at <= time < at + behind and (reach is None or at >= time - reach) for at, behind in tally.late):
        return "late event"
    return "unexplained"


def differing(one: pa.ChunkedArray, other: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where two columns differ in any bit; NULL equals NULL, NaN equals NaN, 0.0 differs from -0.0."""
    left, right = one.combine_chunks(), other.combine_chunks()
    left_null, right_null = (np.asarray(column.is_null()) for column in (left, right))
    if pa.types.is_floating(left.type):
        a, b = (np.asarray(column.cast(pa.float64()).fill_null(0.0)) for column in (left, right))
        unequal = (a.view(np.int64) != b.view(np.int64)) & ~(np.isnan(a) & np.isnan(b))
    else:
        equal = pa.compute.equal(left, right.cast(left.type)).fill_null(True)
        unequal = ~np.asarray(equal)
    return np.asarray(unequal | (left_null != right_null))
