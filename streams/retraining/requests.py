"""What people ask of retraining: start a run, join the one under way, cancel it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from streams.errors import RunError
from streams.predictions import log
from streams.project import Project
from streams.retraining.runs import ACTIVE, OPEN, Run, latest
from streams.worker.connection import Connection, KafkaConnection


def list_runs(project: Project, connection: Connection | None = None) -> list[Run]:
    """All runs in their newest states, oldest request first."""
    found = log.records(connection or KafkaConnection(project.kafka()), project.topic("runs"))
    return list(latest(record.value for record in found if record.value is not None).values())


def request_retrain(project: Project, reason: str, by: str, connection: Connection | None = None) -> Run:
    """Ask for a run; the one that is under way when somebody asked before. RunError when the project has no labels."""
    if project.model.labels is None:
        raise RunError("driftline.toml names no [model] labels; without labels nothing can be trained.")
    connection = connection or KafkaConnection(project.kafka())
    active = [run for run in list_runs(project, connection) if run.state in ACTIVE]
    if active:
        return active[0]
    now = time.time_ns() // 1_000_000
    run = Run(f"manual-{now}-{secrets.token_hex(2)}", "requested", "manual", reason, by, at=now)
    log.append(connection, project.topic("runs"), [(run.run_id, run.value(), 0)])
    return run


def cancel_run(project: Project, run_id: str, by: str, connection: Connection | None = None) -> Run:
    """Ask for the end of a run. RunError when it has ended, or there is none of that id."""
    connection = connection or KafkaConnection(project.kafka())
    run = find(list_runs(project, connection), run_id)
    if run.state not in OPEN:
        raise RunError(f"run {run_id} is {run.state}; there is nothing to cancel.")
    now = time.time_ns() // 1_000_000
    ended = run.state == "waiting"
    state = "cancelled" if ended else "cancelling"
    value = {**run.value(), "state": state, "decided_by": by, "at": now}
    log.append(connection, project.topic("runs"), [(run_id, value, run.as_of or 0)])
    return Run.of(value)


def find(runs: Sequence[Run], run_id: str) -> Run:
    """RunError names the newest runs when there is none of that id."""
    for run in runs:
        if run.run_id == run_id:
            return run
    known = ", ".join(run.run_id for run in runs[-5:]) or "none"
    raise RunError(f"there is no run {run_id!r}; the newest are {known}.")
