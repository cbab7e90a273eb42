"""A muted feature is shown and raises no alarm until an event time: a record with a reason and a name, kept by feature."""

from __future__ import annotations

import time
from typing import Any

from streams.errors import ProjectError
from streams.features.step import plan_of
from streams.predictions import log
from streams.project import Project
from streams.settings import did_you_mean
from streams.worker.connection import Connection, KafkaConnection

ROLE = "mute"


def mute_feature(
    project: Project, feature: str, *, until_ms: int, reason: str, by: str, connection: Connection | None = None
) -> dict[str, Any]:
    """Keep a feature from raising alarms in checks that end before `until_ms`; a time in the past ends that."""
    known = plan_of(project).schema
    if feature not in known:
        raise ProjectError(f"features.sql does not give {feature!r}.{did_you_mean(feature, known)}")
    value = {"role": ROLE, "feature": feature, "until": until_ms, "reason": reason, "by": by, "at": time.time_ns() // 1_000_000}
    log.append(connection or KafkaConnection(project.kafka()), project.topic("deployments"), [(f"{ROLE}:{feature}", value, 0)])
    return value
