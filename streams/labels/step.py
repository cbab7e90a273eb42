"""Labels: a prediction and its label are joined by key whenever the label comes, also before the prediction.

A label that is NULL says nothing yet (a cancelled flight): the prediction goes on waiting. `maturity` after the prediction's event time
the outcome is `never`. The first label of a key counts.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from streams.errors import ProjectError
from streams.features.step import plan_of
from streams.labels.expression import Expression
from streams.predictions import records
from streams.predictions.step import segments_of
from streams.project import Project
from streams.settings import did_you_mean
from streams.step import Input, signed
from streams.types import PARTITION, TIME, Batch, Output, Outputs, Schema

LABELLED, NEVER = "labelled", "never"


@dataclass(frozen=True)
class Settings:
    """`maturity` is event time in milliseconds; `on` is the label source's column that holds the key."""

    topic: str
    predictions: Input
    source: Input
    on: str
    maturity: int
    segments: Schema = field(default_factory=dict)
    in_step: bool = False  # drift waits for the outcomes of its event time: tell it how far that has come


class Labels:
    """State: predictions that wait (at most `maturity` old), and labels at most `maturity` old, for predictions yet to come."""

    name = "labels"

    def __init__(self, settings: Settings, expression: Expression) -> None:
        self._settings = settings
        self._expression = expression
        self.signature = signed(settings.on, settings.maturity, dict(settings.segments), expression.sql)
        self.marked = (settings.topic,) if settings.in_step else ()
        schema = records.outcomes(settings.segments)
        self._columns = [*("prediction_id", "label_key", "score", "prediction", "model", "version"), *settings.segments]
        self._arrow = {name: kind.arrow for name, kind in schema.items()}
        self._clock = -(2**62)
        self._number = 0
        self._waiting: dict[int, list[Any]] = {}  # by number: key, time, partition, the columns above
        self._by_key: dict[str, list[int]] = {}
        self._due: list[tuple[int, int]] = []  # (event time at which it is `never`, number)
        self._labels: dict[str, tuple[bool, int]] = {}
        self._forget: list[tuple[int, str]] = []

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (self._settings.predictions, self._settings.source)

    def hold(self) -> int | None:
        return None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def process(self, batch: Batch) -> Outputs:
        predictions, labels = batch.tables.get(self.inputs[0].name), batch.tables.get(self.inputs[1].name)
        merged: list[tuple[int, bool, list[Any]]] = []
        if predictions is not None and predictions.num_rows:
            names = ["label_key", TIME, PARTITION, *self._columns]
            rows = zip(*(predictions.column(name).to_pylist() for name in names), strict=True)
            places = batch.order[self.inputs[0].name].tolist()
            merged += [(place, True, list(row)) for place, row in zip(places, rows, strict=True)]
        if labels is not None and labels.num_rows:
            keys = labels.column(self._settings.on).cast(pa.string()).to_pylist()
            times = labels.column(TIME).cast(pa.int64()).to_pylist()
            values = self._expression.values(labels).to_pylist()
            places = batch.order[self.inputs[1].name].tolist()
            merged += [(place, False, [key, at, value]) for place, key, at, value in zip(places, keys, times, values, strict=True)]
        merged.sort(key=lambda one: one[0])
        found: list[list[Any]] = []
        for _, is_prediction, row in merged:
            if row[1] > self._clock:
                self._expire(row[1], found)
                self._clock = row[1]
            if is_prediction:
                self._predicted(row, found)
            elif row[0] is not None and row[2] is not None:
                self._labelled(row[0], row[2], row[1], found)
        return self._outputs(found)

    def frontier(self, time: int) -> Outputs:
        """Event time has come to `time` without a row there: what is due before it is said."""
        found: list[list[Any]] = []
        if time > self._clock:
            self._expire(time, found)
            self._clock = time
        return self._outputs(found)

    def _predicted(self, row: list[Any], found: list[list[Any]]) -> None:
        known = self._labels.get(row[0])
        if known is not None:
            found.append(self._outcome(row, known[0], known[1], self._clock, LABELLED))
            return
        number = self._number
        self._number += 1
        self._waiting[number] = row
        self._by_key.setdefault(row[0], []).append(number)
        heapq.heappush(self._due, (row[1] + self._settings.maturity, number))

    def _labelled(self, key: str, label: bool, time: int, found: list[list[Any]]) -> None:
        if key in self._labels:
            return
        self._labels[key] = (label, time)
        heapq.heappush(self._forget, (time + self._settings.maturity, key))
        for number in self._by_key.pop(key, ()):
            found.append(self._outcome(self._waiting.pop(number), label, time, self._clock, LABELLED))

    def _expire(self, time: int, found: list[list[Any]]) -> None:
        while self._due and self._due[0][0] < time:
            due, number = heapq.heappop(self._due)
            row = self._waiting.pop(number, None)
            if row is None:
                continue  # it was labelled
            others = [other for other in self._by_key[row[0]] if other != number]
            if others:
                self._by_key[row[0]] = others
            else:
                del self._by_key[row[0]]
            found.append(self._outcome(row, None, None, max(due, self._clock), NEVER))
        while self._forget and self._forget[0][0] < time:
            del self._labels[heapq.heappop(self._forget)[1]]

    @staticmethod
    def _outcome(row: list[Any], label: bool | None, label_time: int | None, known_at: int, state: str) -> list[Any]:
        return [*row[1:], label, label_time, known_at, state]

    def _outputs(self, found: list[list[Any]]) -> Outputs:
        if not found:
            return {}
        names = [TIME, PARTITION, *self._columns, "label", "label_time", "known_at", "state"]
        columns = dict(zip(names, (list(column) for column in zip(*found, strict=True)), strict=True))
        partition = np.array(columns.pop(PARTITION), np.int32)
        known_at = np.array(columns["known_at"], np.int64)
        types = {TIME: pa.int64(), **self._arrow}
        table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
        return {self._settings.topic: Output(table, "label_key", partition, known_at)}

    def snapshot(self) -> Mapping[str, bytes]:
        state = {
            "clock": self._clock,
            "number": self._number,
            "labels": [[key, label, time] for key, (label, time) in self._labels.items()],
        }
        return {"labels": orjson.dumps(state), "waiting": self._written()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        value = orjson.loads(state["labels"])
        self._clock, self._number = value["clock"], value["number"]
        with pa.ipc.open_stream(state["waiting"]) as reader:
            columns = [column.to_pylist() for column in reader.read_all().columns]
        self._waiting = {number: row for number, *row in map(list, zip(*columns, strict=True))}
        self._by_key = {}
        for number, row in self._waiting.items():
            self._by_key.setdefault(row[0], []).append(number)
        self._due = _heap((row[1] + self._settings.maturity, number) for number, row in self._waiting.items())
        self._labels = {key: (label, time) for key, label, time in value["labels"]}
        self._forget = _heap((time + self._settings.maturity, key) for key, (_, time) in self._labels.items())

    def _written(self) -> bytes:
        """The predictions that wait, typed as they are."""
        types = {"number": pa.int64(), "key": pa.string(), TIME: pa.int64(), PARTITION: pa.int32()}
        types |= {f"column {place}": self._arrow[name] for place, name in enumerate(self._columns)}
        rows = zip(*([number, *row] for number, row in self._waiting.items()), strict=True) if self._waiting else [()] * len(types)
        arrays = [pa.array(values, kind) for values, kind in zip(rows, types.values(), strict=True)]
        table, sink = pa.Table.from_arrays(arrays, list(types)), io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()


def _heap(values: Iterable[Any]) -> list[Any]:
    found = list(values)
    heapq.heapify(found)
    return found


def predictions_input(topic: str, segments: Schema, idle_after: int) -> Input:
    """The predictions as a later step reads them; the record's own time is the event time."""
    return Input("predictions", topic, records.predictions(segments), "_timestamp", idle_after=idle_after)


def build(project: Project) -> Labels:
    """The labels step of a project. ProjectError where [model] labels does not fit the sources."""
    wished = project.model.labels
    if wished is None:
        raise ProjectError("driftline.toml names no [model] labels: there is nothing to join.")
    source = project.input(wished.source)
    if wished.on not in source.schema:
        raise ProjectError(
            f"[model] labels are joined on {wished.on!r}, which {wished.source} does not have.{did_you_mean(wished.on, source.schema)}"
        )
    segments = segments_of(project, plan_of(project).schema)
    # In step, labels must not run past predictions that wait; otherwise a quiet prediction topic holds nothing.
    idle_after = records.NEVER_IDLE if project.promotion.in_step else source.idle_after
    predictions = predictions_input(project.topic("predictions"), segments, idle_after)
    settings = Settings(project.topic("outcomes"), predictions, source, wished.on, wished.maturity_ms, segments, project.promotion.in_step)
    return Labels(settings, Expression(wished.value, source.schema, wished.source))
