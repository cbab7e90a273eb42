"""Would another version have been better? Its scores for rows that were served and labelled, against those that were served."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streams.drift.reference import FILE as REFERENCE
from streams.features.step import plan_of
from streams.predictions import log
from streams.predictions.records import outcomes
from streams.predictions.step import segments_of
from streams.predictions.store import folder_of
from streams.project import Project
from streams.retraining.evaluate import compare
from streams.types import TIME
from streams.worker.connection import Connection, KafkaConnection


def backtest(project: Project, version: int, again: pa.Table, connection: Connection | None = None) -> dict[str, Any] | None:
    """Compare `again`, what a version would have predicted (see `replay`), with what served, on the rows that have a label; see `compare`.

    `champion` is what served. `seen` are the rows of the time that the version was trained on, which flatter it. None where no row was
    served and has a label.
    """
    connection = connection or KafkaConnection(project.kafka())
    segments = segments_of(project, plan_of(project).schema)
    known = log.table(connection, log.whole(connection, project.topic("outcomes")), outcomes(segments))
    known = known.filter(pc.equal(known.column("state"), "labelled"))
    place = pc.index_in(again.column("prediction_id"), value_set=known.column("prediction_id").combine_chunks())
    labelled = place.is_valid()
    if not pc.any(labelled).as_py():
        return None
    again, served = again.filter(labelled), known.take(place.filter(labelled).combine_chunks())
    times = again.column(TIME).to_numpy()
    trained = json.loads((folder_of(project, version) / REFERENCE).read_text(encoding="utf-8"))
    return {
        "seen": int(((times >= trained["start"]) & (times <= trained["end"])).sum()),
        **compare(
            times,
            served.column("label").to_numpy().astype(bool),
            served.column("score").to_numpy(),
            again.column("score").to_numpy(),
            project.model.threshold,
            project.promotion.metric,
            {name: again.column(name).to_pylist() for name in segments},
        ),
    }
