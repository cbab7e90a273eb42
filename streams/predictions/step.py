"""Predictions: each feature row is scored once by the version that serves at its event time.

Inputs are the deployments (and, in step, the drift checks and runs) and, driving, the features. A new version is taken between two
rows without a restart. One that cannot be loaded changes nothing: the champion goes on and the live record says why. Whether it could
be loaded is a fact of the log from then on: a replay, in which it may go otherwise, is put right when it comes to that record.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.errors import ModelError, ProjectError
from streams.features.step import plan_of
from streams.predictions.deployment import Deployment, Versions, Wish
from streams.predictions.hold import Hold
from streams.predictions.model import Card, Model
from streams.predictions.records import CONTROL, TEXT
from streams.predictions.store import model_of
from streams.project import Project
from streams.settings import did_you_mean
from streams.step import Input, signed
from streams.types import OFFSET, PARTITION, TIME, Batch, Int64, Output, Outputs, Schema, Type

SYNCED, OUT_OF_SYNC, DEGRADED = "Synced", "OutOfSync", "Degraded"

EVENT_PARTITION = "_event_partition"  # of the driving event, in a feature row
EVENT_OFFSET = "_event_offset"

Load = Callable[[Deployment], Model]


@dataclass(frozen=True)
class Settings:
    """What the step takes from the project. `source` is the driving source, `label_key` the column that labels are joined by."""

    topic: str
    features: Input
    deployments: str
    source: str
    label_key: str
    segments: Schema = field(default_factory=dict)
    hold: Hold | None = None  # None: never wait
    drift: str = ""
    runs: str = ""


class Predictions:
    """`load` gives the model of a deployment or raises ModelError; `clock` is the wall time in milliseconds, for `predicted_at` only."""

    name = "predictions"

    def __init__(self, settings: Settings, load: Load, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._settings = settings
        self._load = load
        self._clock = clock
        self._hold = settings.hold
        self.signature = signed("wishes", self._hold)  # the latter as it is before anything has come
        self.marked = (settings.topic,) if settings.hold is not None else ()
        self._time: int | None = None  # the greatest event time scored so far
        self._versions = Versions()
        self._models: dict[Deployment, Model] = {}  # of these versions
        self._live: dict[str, Any] = {}
        self._wishes: dict[int, Wish] = {}  # by offset, the oldest first

    @property
    def inputs(self) -> tuple[Input, ...]:
        own = self._settings
        controls = [Input("deployments", own.deployments, TEXT, "_timestamp", idle_after=CONTROL)]
        if own.hold is not None:
            controls.append(Input("drift", own.drift, TEXT, "_timestamp", idle_after=CONTROL))
            controls.append(Input("runs", own.runs, TEXT, "_timestamp", idle_after=CONTROL))
        return (*controls, own.features)

    @property
    def serving(self) -> Deployment | None:
        return self._versions.serving

    def hold(self) -> int | None:
        return self._hold.until() if self._hold is not None else None

    def process(self, batch: Batch) -> Outputs:
        rows = batch.tables.get("features")
        times = np.empty(0, np.int64)
        places = np.empty(0, np.int64)
        if rows is not None and rows.num_rows:
            times = rows.column(TIME).cast(pa.int64()).to_numpy()
            places = batch.order["features"]
            if self._hold is not None:
                self._hold.starts(int(times[0]))
        clock = np.maximum.accumulate(times)
        if self._time is not None:
            clock = np.maximum(clock, self._time)
        scored: list[pa.Table] = []
        reports: list[tuple[dict[str, Any], int]] = []
        start = 0
        for place, kind, record in self._controls(batch):
            end = int(np.searchsorted(places, place))
            self._score(rows, clock, start, end, scored, reports)
            self._time = int(clock[end - 1]) if end else self._time
            start = end
            self._control(kind, record, reports)
        self._score(rows, clock, start, len(times), scored, reports)
        if len(clock):
            self._time = int(clock[-1])
        return self._outputs(scored, reports)

    def _controls(self, batch: Batch) -> list[tuple[int, str, dict[str, Any]]]:
        found: list[tuple[int, str, dict[str, Any]]] = []
        for kind in ("deployments", "drift", "runs"):
            table = batch.tables.get(kind)
            if table is not None and table.num_rows:
                columns = (table.column(name).to_pylist() for name in ("_value", TIME, OFFSET))
                for place, text, at, offset in zip(batch.order[kind], *columns, strict=True):
                    found.append((int(place), kind, {**json.loads(text), TIME: at, OFFSET: offset}))
        return sorted(found, key=lambda one: one[0])

    def _control(self, kind: str, record: dict[str, Any], reports: list[tuple[dict[str, Any], int]]) -> None:
        if kind == "deployments" and record.get("role") == "desired":
            if self._hold is not None:
                self._hold.deployed(record["version"])
            self._desire(record, reports)
        elif kind == "deployments" and record.get("role") == "live":
            self._said(record)
        elif kind == "drift" and self._hold is not None:
            self._hold.checked(record["end"], bool(record.get("last")), record.get("run_id"))
        elif kind == "runs" and self._hold is not None:
            self._hold.ran(record["run_id"], record["state"], record.get("version"))

    def _desire(self, record: dict[str, Any], reports: list[tuple[dict[str, Any], int]]) -> None:
        wished = Deployment(record["model"], record["version"], record["sha256"], record.get("effective_from"), record.get("run_id") or "")
        wish = self._wishes[record[OFFSET]] = Wish(wished, self._time, self._versions)
        try:
            self._models[wished] = self._fitting(wished)
        except ModelError as error:
            wish.loaded = False
            self._report(reports, DEGRADED, wished, record, error.message)
            return
        self._stand(wish.after)
        self._report(reports, OUT_OF_SYNC if self._versions.coming else SYNCED, wished, record)

    def _said(self, record: dict[str, Any]) -> None:
        """What this step said to a wish, read back. Undisturbed it is what the step knows already."""
        wish = self._wishes.pop(record["wished"], None)
        if wish is None or wish.loaded == (record["state"] != DEGRADED):
            return
        if not wish.loaded:
            raise ModelError(
                f"Version {record['desired_version']} served from here on and cannot be loaded any more: its rows would be another version's."
                " Put the model back into the registry."
            )
        versions = wish.before
        for later in self._wishes.values():
            later.before = versions.at(later.time)
            versions = later.after
        self._stand(versions)

    def _stand(self, versions: Versions) -> None:
        """ModelError when the version that served cannot be loaded any more: going on would leave rows unscored."""
        self._versions = versions
        models = self._models
        self._models = {one: models[one] if one in models else self._load(one) for one in (versions.serving, versions.coming) if one}

    def _fitting(self, wished: Deployment) -> Model:
        model = self._load(wished)
        fits(model.card, self._settings.features.schema)
        return model

    def _report(
        self, reports: list[tuple[dict[str, Any], int]], state: str, wished: Deployment, of: Mapping[str, Any], error: str | None = None
    ) -> None:
        """Say how it stands, `of` a desired record or, where none is just being answered, of an event time."""
        serving = self._versions.serving
        self._live = {
            "role": "live",
            "model": serving.model if serving else None,
            "version": serving.version if serving else None,
            "sha256": serving.sha256 if serving else None,
            "state": state,
            "desired_version": wished.version,
            "wished": of.get(OFFSET),
            "effective_from": wished.effective_from,
            "run_id": serving.run_id if serving else None,
            "error": error,
        }
        reports.append((self._live, of[TIME]))

    def _score(
        self,
        rows: pa.Table | None,
        clock: Int64,
        start: int,
        end: int,
        scored: list[pa.Table],
        reports: list[tuple[dict[str, Any], int]],
    ) -> None:
        while start < end and rows is not None:
            stop = end
            if coming := self._versions.coming:
                cut = start + int(np.searchsorted(clock[start:end], coming.effective_from or 0))
                if cut == start:
                    self._stand(Versions(coming))
                    self._report(reports, SYNCED, coming, {TIME: int(clock[start])})
                    continue
                stop = cut
            if serving := self._versions.serving:
                scored.append(predicted(rows.slice(start, stop - start), self._models[serving], serving, self._settings))
            start = stop

    def _outputs(self, scored: list[pa.Table], reports: list[tuple[dict[str, Any], int]]) -> Outputs:
        outputs: dict[str, Output] = {}
        now = self._clock()
        if scored:
            table = pa.concat_tables(scored)
            partition = table.column("features_partition").to_numpy().astype(np.int32)
            times = table.column(TIME).to_numpy()
            place = table.column_names.index("features_partition")
            table = table.add_column(place, "predicted_at", pa.array(np.full(table.num_rows, now, np.int64)))
            outputs[self._settings.topic] = Output(table, "label_key", partition, times)
        if reports:
            values = [json.dumps({**report, TIME: time, "at": now}) for report, time in reports]
            table = pa.table({"_key": ["live"] * len(values), "_value": values})
            zeros = np.zeros(len(values), np.int32)
            outputs[self._settings.deployments] = Output(table, "_key", zeros, np.array([time for _, time in reports], np.int64))
        return outputs

    def snapshot(self) -> Mapping[str, bytes]:
        state = {
            "time": self._time,
            "versions": asdict(self._versions),
            "wishes": [[offset, asdict(wish)] for offset, wish in self._wishes.items()],
            "hold": self._hold.snapshot() if self._hold else None,
        }
        return {"predictions": json.dumps(state).encode()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        value = json.loads(state["predictions"])
        self._time = value["time"]
        self._stand(Versions.from_json(value["versions"]))
        self._wishes = {offset: Wish.from_json(wish) for offset, wish in value["wishes"]}
        if self._hold is not None and value["hold"] is not None:
            self._hold.restore(value["hold"])


def fits(card: Card, schema: Schema) -> None:
    """ModelError where a model takes a column that the features do not give, or one of another type."""
    missing = [name for name in card.columns if name not in schema]
    changed = [name for name in card.columns if name in schema and (schema[name] == Type.STRING) != (name in card.categories)]
    if not missing and not changed:
        return
    what = (
        f"The model takes {', '.join(missing[:5])}, which features.sql no longer gives."
        if missing
        else f"The model was fitted on another type of {changed[0]} than {schema[changed[0]]}, as it is now."
    )
    raise ModelError(
        f"{what} Give it as it was; to be rid of it, drop it in train.py, retrain, promote, and then take it out of features.sql."
    )


def predicted(rows: pa.Table, model: Model, deployment: Deployment, settings: Settings) -> pa.Table:
    """The prediction columns of feature rows, all but `predicted_at`."""
    count = rows.num_rows
    score = model.score(rows)
    place = [rows.column(EVENT_PARTITION).cast(pa.string()), rows.column(EVENT_OFFSET).cast(pa.string())]
    columns: dict[str, Any] = {
        "prediction_id": pc.binary_join_element_wise(settings.source + "[", place[0], "]@", place[1], ""),
        "label_key": rows.column(settings.label_key).cast(pa.string()),
        "score": pa.array(score),
        "prediction": pa.array(score >= model.card.threshold),
        "model": pa.array([deployment.model] * count, pa.string()),
        "version": pa.array(np.full(count, deployment.version, np.int64)),
        TIME: rows.column(TIME).cast(pa.int64()),
        "features_partition": rows.column(PARTITION).cast(pa.int64()),
        "features_offset": rows.column(OFFSET).cast(pa.int64()),
        "_plan": rows.column("_plan"),
    }
    for name in settings.segments:
        columns.setdefault(name, rows.column(name))
    return pa.table(columns)


def features_input(project: Project, schema: Schema, idle_after: int = 1000) -> Input:
    """The features as a later step reads them; the record's own time is the event time."""
    places = {EVENT_PARTITION: Type.BIGINT, EVENT_OFFSET: Type.BIGINT, "_plan": Type.STRING}
    return Input("features", project.topic("features"), {**schema, **places}, "_timestamp", idle_after=idle_after)


def segments_of(project: Project, schema: Schema) -> Schema:
    """The columns checks are split by. ProjectError when the features do not have one."""
    for name in project.drift.segments:
        if name not in schema:
            raise ProjectError(f"[drift] segments names {name!r}, which features.sql does not give.{did_you_mean(name, schema)}")
    return {name: schema[name] for name in project.drift.segments}


def hold_of(project: Project) -> Hold | None:
    """What predictions wait for; None where they never wait."""
    promotion = project.promotion
    if not promotion.in_step:
        return None
    if project.drift.check_every_ms is None:
        raise ProjectError('[promotion] in_step waits for checks by event time: give [drift] check_every as a duration, as in "6h".')
    by_people = promotion.approve == "manual"
    return Hold(project.drift.check_every_ms, promotion.takes_effect_after_ms, project.retraining.first_after_ms, by_people)


def settings_of(project: Project) -> Settings:
    """ProjectError where the project has no labels, or the features lack their key."""
    labels = project.model.labels
    if labels is None:
        raise ProjectError("driftline.toml names no [model] labels; predictions are joined with their labels by a key: name it there.")
    plan = plan_of(project)
    if labels.on not in plan.schema:
        raise ProjectError(f"[model] labels are joined on {labels.on!r}, which features.sql does not give. Add it to the SELECT.")
    return Settings(
        topic=project.topic("predictions"),
        features=features_input(project, plan.schema),
        deployments=project.topic("deployments"),
        source=str(plan.driving),
        label_key=labels.on,
        segments=segments_of(project, plan.schema),
        hold=hold_of(project),
        drift=project.topic("drift"),
        runs=project.topic("runs"),
    )


def build(project: Project) -> Predictions:
    """The predictions step of a project."""
    return Predictions(settings_of(project), lambda wished: model_of(project, wished.version, wished.sha256))
