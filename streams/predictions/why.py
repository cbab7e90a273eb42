"""Why this prediction: its version, what that was trained on, the feature row, and the raw events behind it, each by its place in the log.

The score is computed again from the feature row as it stands in the log, and must be the same bits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from connectors.formats import json as json_format
from streams.errors import EventError
from streams.events.decode import decode
from streams.features.step import PLAN_DIGITS, plan_of
from streams.pipeline import reader
from streams.predictions import log
from streams.predictions.model import digest, load
from streams.predictions.step import features_input
from streams.predictions.store import folder_of
from streams.predictions.windows import window_events
from streams.project import Project
from streams.types import OffsetRange
from streams.worker.connection import Connection, KafkaConnection
from streams.worker.replay import Reader

_ID = re.compile(r"^(?P<source>.+)\[(?P<partition>\d+)\]@(?P<offset>\d+)$")


def why(project: Project, prediction_id: str, connection: Connection | None = None) -> dict[str, Any]:
    """A tree of plain values: prediction, model, features, event, right_rows, windows. EventError when the log no longer has a part.

    The windows of a row that another features.sql made are not known any more, nor its score where the model takes columns that are gone.
    """
    connection = connection or KafkaConnection(project.kafka())
    found = _ID.match(prediction_id)
    if found is None or found["source"] not in project.sources:
        known = ", ".join(f"{name}[0]@1042" for name in project.sources)
        raise EventError(f"{prediction_id!r} is no prediction id; one is the place of the event it was made for, as in {known}.")
    source = project.input(found["source"])
    ends = {one.partition: one.end for one in log.whole(connection, source.topic)}
    if int(found["offset"]) >= ends.get(int(found["partition"]), 0):
        coming = " or ".join(f"{source.name}[{partition}]@{end}" for partition, end in ends.items())
        raise EventError(f"{prediction_id}: no such event has come yet; the next one is {coming}.")
    event = _event(connection, reader(project, 0, source), int(found["partition"]), int(found["offset"]))
    prediction = _prediction(connection, project, prediction_id, int(found["partition"]), event["time"])
    plan = plan_of(project)
    features = features_input(project, plan.schema)
    place = (prediction["features_partition"], prediction["features_offset"])
    record = _one(connection, features.topic, *place)
    row = decode(record, features, json_format.decode, strict=False).table
    if not row.num_rows:
        raise EventError(f"{features.topic}[{place[0]}]@{place[1]}: the feature row cannot be read by features.sql as it is now.")
    raw = json.loads(record.values[0] or b"{}")  # a feature may be NaN, which orjson does not read
    folder = folder_of(project, prediction["version"])
    card = json.loads((folder / "manifest.json").read_text()) if (folder / "manifest.json").exists() else {}
    model = load(folder, digest(folder))
    again = float(model.score(row)[0]) if all(name in features.schema for name in model.card.columns) else None
    values = {name: row.column(name)[0].as_py() for name in plan.schema}
    changed = prediction["_plan"] != plan.hash[:PLAN_DIGITS]
    if changed:
        earlier = f"an earlier features.sql, {prediction['_plan']}; it is {plan.hash[:PLAN_DIGITS]} now, so its windows cannot be told"
        values = {"made_by": earlier, **{name: value for name, value in raw.items() if not name.startswith("_")}}
    return {
        "prediction": {
            **prediction,
            "score_computed_again": again,
            "same_bits": None if again is None else again == prediction["score"],
        },
        "model": {
            "version": prediction["version"],
            "sha256": digest(folder),
            "commit": card.get("commit"),
            "plan": card.get("plan"),
            "data_set": {"features": card.get("features"), "labels": card.get("labels"), "cut_off": card.get("cut_off")},
        },
        "features": {"place": f"{features.topic}[{place[0]}]@{place[1]}", **values},
        "event": event,
        "right_rows": _right_rows(connection, project, raw),
        "windows": [] if changed else window_events(project, connection, plan, event),
    }


def _one(connection: Connection, topic: str, partition: int, offset: int) -> Any:
    """The record at one place."""
    for records in log.chunks(connection, [OffsetRange(topic, partition, offset, offset + 1)]):
        if len(records) and int(records.offsets[0]) == offset:
            return records
    raise EventError(f"{topic}[{partition}]@{offset} is not in the log (any more).")


def _event(connection: Connection, read_as: Reader, partition: int, offset: int) -> dict[str, Any]:
    source = read_as.input
    read = read_as.decode(_one(connection, source.topic, partition, offset))
    if not read.table.num_rows:
        raise EventError(f"{source.topic}[{partition}]@{offset} cannot be read by the source's schema.")
    value = {name: read.table.column(name)[0].as_py() for name in source.schema}
    return {"place": f"{source.name}[{partition}]@{offset}", "time": int(read.times[0]), **value}


def _prediction(connection: Connection, project: Project, prediction_id: str, partition: int, time: int) -> dict[str, Any]:
    topic = project.topic("predictions")
    consumer = connection.consumer()
    try:
        parts = [(topic, one) for one in consumer.partitions(topic)]
        starts, ends = consumer.offsets_at(dict.fromkeys(parts, time)), consumer.end_offsets(parts)
    finally:
        consumer.close()
    # the end of a transaction has the broker's time, so that a replay's predictions are looked for from the first one on
    ranges = [OffsetRange(*part, starts[part], ends[part]) for part in parts if part[1] % len(parts) == partition % len(parts)]
    wanted = prediction_id.encode()
    for records in log.chunks(connection, ranges):
        if wanted not in records.values.buffer.tobytes():
            continue
        for row in range(len(records)):
            text = records.values[row]
            if text is not None and wanted in text:
                value: dict[str, Any] = json.loads(text)
                if value.get("prediction_id") == prediction_id:
                    return {"place": f"{topic}[{records.partition}]@{int(records.offsets[row])}", **value}
    raise EventError(
        f"there is no prediction {prediction_id}: its event came before the first champion served, or its row is still to be scored."
    )


def _right_rows(connection: Connection, project: Project, raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that the LAST JOINs saw."""
    found = []
    for name, offset in raw.items():
        if not (name.startswith("_") and name.endswith("_offset")) or offset is None:
            continue
        right = name[1 : -len("_offset")]
        partition = raw.get(f"_{right}_partition")
        if partition is None or right not in project.sources:
            continue
        found.append(_event(connection, reader(project, 0, project.input(right)), int(partition), int(offset)))
    return found
