"""What a replay came to, from the topics alone: counts, alarms, and how good the first champion would have been all along."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streams.drift.performance import Measured
from streams.features.step import plan_of
from streams.predictions import log, records
from streams.predictions.model import Model
from streams.predictions.step import EVENT_OFFSET, EVENT_PARTITION
from streams.predictions.store import model_of
from streams.project import Project
from streams.types import TIME, Schema, Type
from streams.worker.connection import Connection


def moment(time: int | None) -> str | None:
    """Event milliseconds as text, UTC."""
    return None if time is None else datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counted(connection: Connection, topic: str) -> int:
    """Records of a topic, watermarks and tombstones aside."""
    return sum(int((part.values.length >= 0).sum()) for part in log.chunks(connection, log.whole(connection, topic)))


def report(project: Project, connection: Connection) -> dict[str, Any]:
    """Everything but the seconds; the first champion is measured on all that any version served."""
    topic = project.topic
    outcomes = _rows(connection, topic("outcomes"), records.outcomes({}), "_timestamp")
    checks = [one.value for one in log.records(connection, topic("drift")) if one.value is not None]
    runs = [one.value for one in log.records(connection, topic("runs")) if one.value is not None]
    promoted = sorted((run for run in runs if run["state"] == "promoted"), key=lambda run: int(run["version"]))
    served = {run["version"]: run for run in promoted}
    labelled = outcomes.filter(pc.equal(outcomes.column("state"), "labelled"))
    again = [run for run in served.values() if run["trigger"] != "first"]
    champion = next((run for run in served.values() if run["trigger"] == "first"), None)
    first = model_of(project, champion["version"], champion["sha256"]) if champion else None
    log_loss, auc = _months(project, connection, labelled, first)
    return {
        "events": sum(counted(connection, topic(name)) for name in project.sources),
        "feature_rows": counted(connection, topic("features")),
        "predictions": counted(connection, topic("predictions")),
        "outcomes": outcomes.num_rows,
        "labels_never": outcomes.num_rows - labelled.num_rows,
        "dead_letters": counted(connection, topic("dead-letters")),
        "drift_checks": len(checks),
        "alarms": [
            {"time": moment(check["end"]), "kind": check["alarm"]["kind"], "reason": check["alarm"]["reason"]}
            for check in checks
            if check["alarm"]
        ],
        "first_champion": moment(champion["as_of"]) if champion else None,
        "retrained_at": moment(again[0]["as_of"]) if again else None,
        "serving_version": _serving(connection, topic("deployments")),
        "log_loss": log_loss,
        "auc": auc,
    }


def _serving(connection: Connection, topic: str) -> int | None:
    """The version that the serving step itself says it serves."""
    live = [one.value for one in log.records(connection, topic) if one.key == "live" and one.value is not None]
    return int(live[-1]["version"]) if live and live[-1]["version"] is not None else None


def _months(
    project: Project, connection: Connection, labelled: pa.Table, first: Model | None
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Log loss and AUC by month of event time (UTC), of the scores that were served and of what `first` says of the same feature rows."""
    log_loss: dict[str, dict[str, float]] = {"static": {}, "served": {}}
    auc: dict[str, dict[str, float]] = {"static": {}, "served": {}}
    if not labelled.num_rows:
        return log_loss, auc
    rows = _behind(project, connection, labelled)
    months = pc.strftime(rows.column(TIME).cast(pa.timestamp("ms")), format="%Y-%m").to_numpy(zero_copy_only=False)
    labels = labelled.column("label").to_numpy().astype(bool)
    scores = {"served": labelled.column("score").to_numpy()}
    if first is not None:
        scores["static"] = first.score(rows)
    for name, values in scores.items():
        for month in sorted(set(months.tolist())):
            here = months == month
            numbers = Measured.of(values[here], labels[here]).numbers()
            log_loss[name][month] = round(float(numbers["log_loss"] or 0.0), 4)
            if numbers["auc"] is not None:
                auc[name][month] = round(float(numbers["auc"]), 4)
    return log_loss, auc


def _behind(project: Project, connection: Connection, labelled: pa.Table) -> pa.Table:
    """The feature row behind each outcome, in their order."""
    plan = plan_of(project)
    schema: Schema = {**plan.schema, EVENT_PARTITION: Type.INT, EVENT_OFFSET: Type.BIGINT}
    rows = _rows(connection, project.topic("features"), schema, "_timestamp")
    places = [rows.column(name).cast(pa.string()) for name in (EVENT_PARTITION, EVENT_OFFSET)]
    identifiers = pc.binary_join_element_wise(f"{plan.driving}[", places[0], "]@", places[1], "")
    return rows.take(pc.index_in(labelled.column("prediction_id"), value_set=identifiers.combine_chunks()).combine_chunks())


def _rows(connection: Connection, topic: str, schema: Schema, time: str) -> pa.Table:
    return log.table(connection, log.whole(connection, topic), schema, time)
