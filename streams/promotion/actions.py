"""What people do with versions: promote, reject, roll back, suspend, look. Every change is a commit with a reason and a name."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from streams.errors import PromotionError
from streams.predictions import log
from streams.predictions.model import digest
from streams.predictions.store import folder_of, registry
from streams.project import Project
from streams.promotion.agent import promote_run
from streams.promotion.decide import may_promote
from streams.promotion.desired import Deployments
from streams.promotion.merge_request import propose
from streams.retraining.requests import find, list_runs
from streams.retraining.runs import Run
from streams.worker.connection import Connection, KafkaConnection


@dataclass(frozen=True)
class ModelVersion:
    """One version with what a person asks about it. `created` is wall-clock ms; `serving` what the predictions report."""

    version: int
    sha256: str
    run_id: str
    created: int
    metrics: dict[str, float]
    tags: dict[str, str]
    desired: bool
    serving: bool


@dataclass(frozen=True)
class Status:
    """`sync`: Synced, OutOfSync, Unknown; `health`: Healthy, Progressing, Degraded. Versions None where there is none."""

    desired: int | None
    live: int | None
    sync: str
    health: str
    suspended: bool
    error: str | None
    commit: str | None


def promote(
    project: Project, what: str | int, reason: str, by: str, *, override: bool = False, connection: Connection | None = None
) -> str:
    """Make a run's version, or a version, the desired one; returns the commit, or the merge request's address where [promotion] gitlab
    is set: then the run waits until somebody merges it.

    PromotionError while the comparison's interval reaches below the margin or the champion is another by now, unless `override`, and while
    deployments are suspended.
    """
    connection = connection or KafkaConnection(project.kafka())
    deployments = Deployments.of(project)
    run = _run_of(project, what, connection)
    if run.state not in ("waiting", "promoted", "rejected"):
        raise PromotionError(f"run {run.run_id} is {run.state}; only a finished run can be promoted.")
    wish = deployments.now()
    # who promotes a version that was decided on before knows what it was compared with
    champion = wish.version if wish is not None and run.state == "waiting" else None
    found = may_promote(run, project.promotion.margin, champion)
    if not found.allowed and not override:
        raise PromotionError(f"version {run.version} is not promoted: {found.reason}.")
    if wish is not None and wish.suspension is not None:
        raise PromotionError(f"version {run.version} is not promoted: {wish.suspension}. Resume them with: driftline suspend --off")
    if project.promotion.gitlab:
        return propose(project, deployments, run, found.reason, reason, by).url
    # A person's promotion takes effect at once, whatever the run was for.
    commit = promote_run(project, deployments, replace(run, trigger="manual"), reason, by)
    _decided(project, run, "promoted", reason, by, connection)
    return commit


def reject(project: Project, run_id: str, reason: str, by: str, *, connection: Connection | None = None) -> Run:
    """Say that a waiting run's version is not wanted."""
    connection = connection or KafkaConnection(project.kafka())
    run = find(list_runs(project, connection), run_id)
    if run.state != "waiting":
        raise PromotionError(f"run {run_id} is {run.state}; only one that waits can be rejected.")
    return _decided(project, run, "rejected", reason, by, connection)


def rollback(project: Project, reason: str, by: str) -> str:
    """Go back to the version that was desired before; returns the commit."""
    deployments = Deployments.of(project)
    earlier = deployments.before()
    folder_of(project, earlier.version, earlier.sha256)
    wish = replace(earlier, effective_from=None, reason=reason, by=by, suspended=False)
    return deployments.write(wish, f"Roll back to version {earlier.version}")


def suspend(project: Project, on: bool, reason: str, by: str) -> str:
    """Keep the agent from acting on the repository, or let it act again; returns the commit."""
    deployments = Deployments.of(project)
    _, wish = deployments.read()
    if wish is None:
        raise PromotionError("Nothing was promoted yet: there is nothing to suspend.")
    return deployments.write(replace(wish, suspended=on, reason=reason, by=by), "Suspend" if on else "Resume")


def list_models(project: Project, *, connection: Connection | None = None) -> list[ModelVersion]:
    """All versions, oldest first."""
    status = deployment_status(project, connection=connection)
    found = []
    for one in registry(project).versions(project.name):
        tags = dict(one.tags)
        mine = (one.version == status.desired, one.version == status.live)
        found.append(ModelVersion(one.version, tags.get("sha256", ""), one.run_id, one.created, dict(one.metrics), tags, *mine))
    return found


def deployment_status(project: Project, *, connection: Connection | None = None) -> Status:
    """Desired against live, as the repository and the predictions step have it."""
    head, wish = Deployments.of(project).read()
    found = [record.value for record in log.records(connection or KafkaConnection(project.kafka()), project.topic("deployments"))]
    lives = [value for value in found if value is not None and value.get("role") == "live"]
    return status_of(head, wish.version if wish else None, wish.suspended if wish else False, lives[-1] if lives else None)


def status_of(head: str | None, desired: int | None, suspended: bool, live: dict[str, Any] | None) -> Status:
    """Values in, values out; `live` is the newest live record."""
    serving = live.get("version") if live else None
    error = live.get("error") if live else None
    if desired is None or live is None:
        sync = "Unknown"
    else:
        sync = "Synced" if serving == desired else "OutOfSync"
    health = "Degraded" if live is not None and live.get("state") == "Degraded" else "Healthy" if sync == "Synced" else "Progressing"
    return Status(desired, serving, sync, health, suspended, error, head)


def _run_of(project: Project, what: str | int, connection: Connection) -> Run:
    runs = list_runs(project, connection)
    if isinstance(what, str) and not what.isdigit():
        return find(runs, what)
    version = int(what)
    for run in runs:
        if run.version == version:
            return run
    known = {one.version: one for one in registry(project).versions(project.name)}
    if version not in known:
        raise PromotionError(f"there is no version {version}; there are {', '.join(map(str, known)) or 'none'}.")
    sha256 = known[version].tags.get("sha256") or digest(folder_of(project, version))
    return Run(known[version].run_id, "promoted", version=version, sha256=sha256)


def _decided(project: Project, run: Run, state: str, reason: str, by: str, connection: Connection) -> Run:
    ended = run.to(state, time.time_ns() // 1_000_000, decision=reason, decided_by=by)
    log.append(connection, project.topic("runs"), [(run.run_id, ended.value(), run.as_of or 0)])
    return ended
