"""Drift: at every boundary of event time, what the last window of events says against the champion's reference; each check is a record.

The window is a sum of counts per stretch of `every` milliseconds, so the answer does not depend on how rows were batched. The reference
changes with the version that scored the predictions. An alarm whose trigger is on asks for a run, in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from streams.drift.alarm import Rule
from streams.drift.check import Limits
from streams.drift.reference import FILE, Reference
from streams.drift.state import State
from streams.drift.triggers import Triggers
from streams.features.step import plan_of
from streams.labels.step import predictions_input
from streams.predictions.hold import boundary_after, first_run
from streams.predictions.records import CONTROL, NEVER_IDLE, TEXT, outcomes
from streams.predictions.step import features_input, segments_of
from streams.predictions.store import folder_of
from streams.project import Project
from streams.step import Input, signed
from streams.types import TIME, Batch, Int64, Output, Outputs, Schema


@dataclass(frozen=True)
class Settings:
    """Times in event milliseconds. `every` divides event time into stretches; `window` is a whole number of them.

    A check stands at the end of each stretch or, with `every_rows`, after so many predictions, once at an event time.
    """

    topic: str
    runs: str
    predictions: Input
    outcomes: Input
    features: Input
    deployments: str  # what people muted stands there
    every: int
    window: int
    every_rows: int | None = None
    threshold: float = 0.5  # of the model: a score at or above it predicts true
    first_after: int | None = None
    segments: Schema = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    rule: Rule = field(default_factory=Rule)
    triggers: Triggers = field(default_factory=Triggers)


class Drift:
    """`reference` gives the reference of a version, None when it has none."""

    name = "drift"

    def __init__(self, settings: Settings, reference: Callable[[int], Reference | None]) -> None:
        self._settings = settings
        self._load = reference
        own = settings
        self.signature = signed(own.every, own.window, own.every_rows, own.threshold, own.first_after, sorted(own.segments))
        self._state = State(settings.every, settings.window, settings.threshold, tuple(settings.segments))

    @property
    def inputs(self) -> tuple[Input, ...]:
        own = self._settings
        muted = Input("deployments", own.deployments, TEXT, "_timestamp", idle_after=CONTROL)
        return (muted, own.predictions, own.outcomes, own.features)

    def hold(self) -> int | None:
        return None

    def process(self, batch: Batch) -> Outputs:
        clock = _clock(batch, self._state.clock)
        places = {name: order for name, order in batch.order.items() if len(order)}
        versions = self._versions(batch)
        full = self._full(batch)
        found: list[tuple[str, dict[str, Any], int]] = []
        start = 0
        while start < len(clock):
            if self._state.first is None and "features" in places:
                self._begin(batch, places["features"], start)
            end = len(clock)
            due = self._due()
            if due is not None:
                end = start + int(np.searchsorted(clock[start:], due))
            if due is not None and end == start:
                self._boundary(due, found)
                continue
            switch, version = next(((place, one) for place, one in versions if place >= start and one != self._state.version), (end, 0))
            if switch == start:
                self._state.serve(version, self._load(version))
                continue
            end = min(end, switch, next((place for place in full if place > start), end))
            for name, order in places.items():
                low, high = np.searchsorted(order, [start, end])
                if high > low:
                    self._state.add(name, batch.tables[name].slice(int(low), int(high - low)))
            self._state.clock = int(clock[end - 1])
            if end in full and self._state.checked != self._state.clock + 1:
                self._boundary(self._state.clock + 1, found)
            start = end
        return self._outputs(found)

    def frontier(self, time: int) -> Outputs:
        """Event time has come to `time` without a row there."""
        found: list[tuple[str, dict[str, Any], int]] = []
        while (due := self._due()) is not None and due <= time:
            self._boundary(due, found)
        if self._state.clock is not None:
            self._state.clock = max(self._state.clock, time)
        return self._outputs(found)

    def _full(self, batch: Batch) -> list[int]:
        """Places behind every `every_rows`-th prediction."""
        table = batch.tables.get("predictions")
        if self._settings.every_rows is None or table is None or not table.num_rows:
            return []
        before, self._state.predicted = self._state.predicted, self._state.predicted + table.num_rows
        order = batch.order["predictions"]
        numbers = np.arange(before + 1, self._state.predicted + 1)
        return [int(place) + 1 for place in order[numbers % self._settings.every_rows == 0]]

    def _versions(self, batch: Batch) -> list[tuple[int, int]]:
        """Places at which the version that scores changes, within the batch."""
        table = batch.tables.get("predictions")
        if table is None or not table.num_rows:
            return []
        version = table.column("version").to_numpy()
        changes = np.flatnonzero(np.concatenate([[True], version[1:] != version[:-1]]))
        order = batch.order["predictions"]
        return [(int(order[change]), int(version[change])) for change in changes]

    def _begin(self, batch: Batch, order: Int64, start: int) -> None:
        """Checks are counted from the first feature row; with `first_after`, from the first champion's run."""
        first = int(batch.tables["features"].column(TIME)[0].as_py())
        state = self._state
        state.first = first
        state.checked = first
        if self._settings.first_after is not None:
            state.checked = first + self._settings.first_after
            state.first_due = state.checked

    def _due(self) -> int | None:
        state = self._state
        if state.first_due is not None:
            return state.first_due
        return (
            None if state.checked is None or self._settings.every_rows is not None else boundary_after(state.checked, self._settings.every)
        )

    def _boundary(self, end: int, found: list[tuple[str, dict[str, Any], int]]) -> None:
        state, own = self._state, self._settings
        if state.first_due is not None:
            state.first_due = None
            run = {"run_id": first_run(end), "trigger": "first", "reason": "the first champion", "as_of": end}
            found.append((own.runs, _request(run), end))
            return
        state.checked = end
        records, run_asked = state.check(end, own.limits, own.rule, own.triggers)
        for record in records:
            found.append((own.topic, record, end))
        if run_asked is not None:
            found.append((own.runs, _request(run_asked), end))

    def _outputs(self, found: Sequence[tuple[str, dict[str, Any], int]]) -> Outputs:
        outputs: dict[str, Output] = {}
        for topic, key in ((self._settings.topic, "check_id"), (self._settings.runs, "run_id")):
            mine = [(record, end) for to, record, end in found if to == topic]
            if mine:
                table = pa.table({"_key": [record[key] for record, _ in mine], "_value": [json.dumps(record) for record, _ in mine]})
                outputs[topic] = Output(table, "_key", np.zeros(len(mine), np.int32), np.array([end for _, end in mine], np.int64))
        return outputs

    def snapshot(self) -> Mapping[str, bytes]:
        return self._state.snapshot()

    def restore(self, state: Mapping[str, bytes]) -> None:
        self._state.restore(state, self._load)


def _request(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "state": "requested", "requested_by": "driftline", "at": None, "version": None, "error": None}


def _clock(batch: Batch, before: int | None) -> Int64:
    """The greatest event time at or before each place of the merged order."""
    times = np.empty(batch.rows, np.int64)
    for name, order in batch.order.items():
        if len(order):
            times[order] = batch.tables[name].column(TIME).cast(pa.int64()).to_numpy()
    clock = np.maximum.accumulate(times)
    return clock if before is None else np.maximum(clock, before)


def reference_loader(project: Project) -> Callable[[int], Reference | None]:
    """The reference kept beside a version's model."""

    def load(version: int) -> Reference | None:
        path = folder_of(project, version) / FILE
        return Reference.read(path.read_text(encoding="utf-8")) if path.exists() else None

    return load


def build(project: Project) -> Drift:
    """The drift step of a project."""
    schema = plan_of(project).schema
    segments = segments_of(project, schema)
    wished = project.drift
    idle_after = NEVER_IDLE if project.promotion.in_step else 1000
    # Checks counted in predictions still sum stretches of event time: 28 to a window.
    every = wished.check_every_ms or max(wished.window_ms // 28, 1)
    settings = Settings(
        topic=project.topic("drift"),
        runs=project.topic("runs"),
        predictions=predictions_input(project.topic("predictions"), segments, idle_after),
        outcomes=Input("outcomes", project.topic("outcomes"), outcomes(segments), "_timestamp", idle_after=idle_after),
        features=features_input(project, schema, idle_after),
        deployments=project.topic("deployments"),
        every=every,
        window=max(wished.window_ms // every, 1) * every,
        every_rows=wished.check_every_rows if wished.check_every_ms is None else None,
        threshold=project.model.threshold,
        first_after=project.retraining.first_after_ms,
        segments=segments,
        limits=Limits(wished.min_rows, wished.alpha, wished.share, wished.threshold, frozenset(wished.ignore)),
        rule=Rule(wished.consecutive, wished.cooldown_ms),
        triggers=Triggers(frozenset(project.retraining.triggers), project.retraining.every_ms, project.retraining.new_labels),
    )
    return Drift(settings, reference_loader(project))
