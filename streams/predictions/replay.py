"""Score a past range of feature rows with any version, as if it had served."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streams.errors import ModelError
from streams.features.step import plan_of
from streams.predictions import log
from streams.predictions.deployment import Deployment
from streams.predictions.model import digest, load
from streams.predictions.step import EVENT_OFFSET, EVENT_PARTITION, features_input, predicted, settings_of
from streams.predictions.store import folder_of
from streams.project import Project
from streams.types import TIME, OffsetRange
from streams.worker.connection import Connection, KafkaConnection


def replay(project: Project, version: int, start: int, end: int, connection: Connection | None = None) -> pa.Table:
    """The predictions that `version` would have made for the rows of event time in [start, end) ms: the columns of a prediction but
    `predicted_at`. The same bits as if it had served. ModelError where there are no rows, or it takes columns they lack."""
    connection = connection or KafkaConnection(project.kafka())
    folder = folder_of(project, version)
    model = load(folder, digest(folder))
    source = features_input(project, plan_of(project).schema)
    missing = [name for name in model.card.columns if name not in source.schema]
    if missing:
        raise ModelError(f"version {version} takes {', '.join(missing[:5])}, which features.sql no longer gives.")
    consumer = connection.consumer()
    try:
        parts = [(source.topic, partition) for partition in consumer.partitions(source.topic)]
        starts, ends = consumer.offsets_at(dict.fromkeys(parts, start)), consumer.end_offsets(parts)
    finally:
        consumer.close()
    rows = log.table(connection, [OffsetRange(*part, starts[part], ends[part]) for part in parts], source.schema)
    times = rows.column(TIME).to_numpy()
    rows = rows.filter(pa.array((times >= start) & (times < end)))
    if not rows.num_rows:
        raise ModelError("there are no feature rows of this event time; driftline status says how far the features have come.")
    order = np.lexsort((rows.column(EVENT_OFFSET).to_numpy(), rows.column(EVENT_PARTITION).to_numpy(), rows.column(TIME).to_numpy()))
    return predicted(rows.take(pa.array(order)), model, Deployment(project.name, version, digest(folder)), settings_of(project))
