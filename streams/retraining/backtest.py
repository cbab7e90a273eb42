"""Would another version have been better? Its scores for rows that were served and labelled, against those that were served."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from streams.errors import RunError
from streams.features.step import plan_of
from streams.predictions import log
from streams.predictions.records import outcomes
from streams.predictions.replay import replay
from streams.predictions.step import segments_of
from streams.project import Project
from streams.retraining.evaluate import compare
from streams.types import TIME
from streams.worker.connection import Connection, KafkaConnection


def backtest(project: Project, version: int, start: int, end: int, connection: Connection | None = None) -> dict[str, Any]:
    """Compare a version with what served, on the labelled predictions of event time in [start, end) ms; see `compare`.

    `champion` is what served. Rows that the version was trained on flatter it: its card says up to when that is. RunError without any.
    """
    connection = connection or KafkaConnection(project.kafka())
    again = replay(project, version, start, end, connection)
    segments = segments_of(project, plan_of(project).schema)
    known = log.table(connection, log.whole(connection, project.topic("outcomes")), outcomes(segments))
    known = known.filter(pc.equal(known.column("state"), "labelled"))
    place = pc.index_in(again.column("prediction_id"), value_set=known.column("prediction_id").combine_chunks())
    labelled = place.is_valid()
    if not pc.any(labelled).as_py():
        raise RunError(f"None of the {again.num_rows:,} rows in this time was served and has a label.")
    again, served = again.filter(labelled), known.take(place.filter(labelled).combine_chunks())
    return {
        "version": version,
        **compare(
            again.column(TIME).to_numpy(),
            served.column("label").to_numpy().astype(bool),
            served.column("score").to_numpy(),
            again.column("score").to_numpy(),
            project.model.threshold,
            project.promotion.metric,
            {name: again.column(name).to_pylist() for name in segments},
        ),
    }
