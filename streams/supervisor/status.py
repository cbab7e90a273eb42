"""What runs for a project, and how it is: one value for people, --json and scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.broker import EmbeddedBroker
from connectors.kafka.admin import topics as list_topics
from connectors.kafka.consumer import ColumnarConsumer
from streams.errors import BrokerError
from streams.project import TOPICS, Project
from streams.supervisor.child import lives
from streams.supervisor.state import read_state
from streams.supervisor.topic_tail import tail
from streams.worker.status import read_statuses

STALE_MS = 10_000
PATIENCE_MS = 3_000  # with a broker that does not answer


@dataclass(frozen=True)
class ProcessStatus:
    name: str
    state: str  # running, waiting (to start again), ended, stopped, gone
    pid: int
    restarts: int
    last_error: str | None = None


@dataclass(frozen=True)
class StepStatus:
    """`lag`: records on the broker it has not read. `freshness_ms`: age of the newest record when its result was committed."""

    step: str
    state: str
    message: str
    rows_per_second: float
    lag: int
    freshness_ms: int | None
    event_time: int | None
    dead_letters: int
    late: int


@dataclass(frozen=True)
class TopicStatus:
    """`offsets` are those between its beginning and its end: a record each, and each mark of a transaction."""

    name: str
    partitions: int
    offsets: int


@dataclass(frozen=True)
class Status:
    """With `trouble`, topics, live, desired, alarms and runs are not known, and the steps are as they last said."""

    project: str
    running: bool
    trouble: str | None  # why the broker could not be asked
    bootstrap: str | None
    url: str | None
    processes: tuple[ProcessStatus, ...]
    steps: tuple[StepStatus, ...]
    topics: tuple[TopicStatus, ...]
    live: Mapping[str, Any] | None  # what the predictions worker says it serves
    desired: Mapping[str, Any] | None
    alarms: tuple[Mapping[str, Any], ...]  # newest last
    runs: tuple[Mapping[str, Any], ...]  # that are under way

    @property
    def sentence(self) -> str:
        """How it is, in one sentence."""
        if not self.running:
            return f"{self.project} does not run. Start it with: driftline up" + (f"\n{self.trouble}" if self.trouble else "")
        if self.trouble:
            return f"{self.project}: {self.trouble}"
        rate = sum(step.rows_per_second for step in self.steps if step.step == "features")
        waiting = sum(step.lag for step in self.steps)
        troubled = [one.name for one in self.processes if one.state != "running" and one.state != "ended"]
        words = [f"{rate:,.0f} events/s", "nothing waiting" if not waiting else f"{waiting:,} waiting"]
        words.append(
            f"version {self.live['version']} serves" if self.live and self.live.get("version") is not None else "no model serves yet"
        )
        if self.alarms:
            words.append("1 alarm" if len(self.alarms) == 1 else f"{len(self.alarms)} alarms")
        if troubled:
            words.append(f"trouble: {', '.join(troubled)}")
        return f"{self.project}: {', '.join(words)}."


def read_status(project: Project) -> Status:
    """How it is; what needs the broker is left out where that does not answer."""
    state = read_state(project)
    if state is not None and not state.alive:
        state = None
    bootstrap: str | None = None
    trouble: str | None = None
    processes = []
    if project.embedded:
        broker = EmbeddedBroker(project.state_dir)
        running = broker.running()
        bootstrap = running.bootstrap if running else None
        if running is not None or state is not None:
            restarts, error = (state.broker_restarts, state.broker_error) if state else (0, None)
            processes.append(ProcessStatus("broker", "running" if running else "gone", running.pid if running else 0, restarts, error))
        if running is None and state is not None:
            trouble = f"The broker has ended, and starts again. Its log: {broker.log}"
    else:
        bootstrap = project.bootstrap()
    processes += [
        ProcessStatus(
            one.name,
            one.state if one.state != "running" or lives(one.pid, one.created) else "gone",
            one.pid,
            one.restarts,
            one.last_error,
        )
        for one in (state.children if state else ())
    ]
    found = _Found()
    if bootstrap is not None:
        try:
            found = _from_broker(project)
        except BrokerError as error:
            trouble = (
                f"The broker at {bootstrap} gives no answer within {PATIENCE_MS // 1000} s. Its log: {broker.log}"
                if project.embedded
                else error.message
            )
    return Status(
        project=project.name,
        running=state is not None,
        trouble=trouble,
        bootstrap=bootstrap,
        url=state.url if state else None,
        processes=tuple(processes),
        steps=tuple(_steps(project)),
        topics=found.topics,
        live=found.live,
        desired=found.desired,
        alarms=found.alarms,
        runs=found.runs,
    )


@dataclass(frozen=True)
class _Found:
    topics: tuple[TopicStatus, ...] = ()
    live: Mapping[str, Any] | None = None
    desired: Mapping[str, Any] | None = None
    alarms: tuple[Mapping[str, Any], ...] = ()
    runs: tuple[Mapping[str, Any], ...] = ()


def _from_broker(project: Project) -> _Found:
    settings = {**project.kafka(), "bootstrap_timeout_ms": PATIENCE_MS}
    there = list_topics(settings, f"{project.prefix or project.name}.")
    names = [project.topic(name) for name in (*project.sources, *TOPICS) if project.topic(name) in there]
    with ColumnarConsumer(settings) as consumer:
        parts = [(name, partition) for name in names for partition in range(there[name].partitions)]
        ends = consumer.end_offsets(parts)
        begins = consumer.beginning_offsets(parts)
        counts = {name: sum(ends[part] - begins[part] for part in parts if part[0] == name) for name in names}
        topics = tuple(TopicStatus(name, there[name].partitions, counts[name]) for name in names)
        deployments = dict(tail(consumer, project.topic("deployments"))) if project.topic("deployments") in there else {}
        checks = [value for _, value in tail(consumer, project.topic("drift"))] if project.topic("drift") in there else []
        runs = dict(tail(consumer, project.topic("runs"), 2000)) if project.topic("runs") in there else {}
    alarms = tuple(
        {
            "kind": check["alarm"].get("kind"),
            "reason": check["alarm"].get("reason"),
            "end": check.get("end"),
            "check_id": check.get("check_id"),
        }
        for check in checks
        if check.get("alarm")
    )
    open_runs = tuple(
        {"run_id": key, "state": run.get("state"), "reason": run.get("reason")}
        for key, run in runs.items()
        if run.get("state") in ("requested", "building", "training", "evaluating", "waiting")
    )
    return _Found(topics, deployments.get("live"), deployments.get("desired"), alarms, open_runs)


def _steps(project: Project) -> list[StepStatus]:
    now = time.time_ns() // 1_000_000
    steps = []
    for figures in read_statuses(project):
        alive = lives(int(figures.get("pid", 0)), float(figures.get("created", 0)))
        fresh = now - int(figures.get("updated_at", 0)) < STALE_MS
        steps.append(
            StepStatus(
                step=figures["step"],
                state=figures.get("state", "") if alive and fresh else "gone" if not alive else "silent",
                message=figures.get("message", ""),
                rows_per_second=float(figures.get("rows_per_second") or 0) if alive else 0.0,
                lag=int(figures.get("lag") or 0),
                freshness_ms=figures.get("freshness_ms"),
                event_time=figures.get("last_event_time"),
                dead_letters=int(figures.get("dead_letters") or 0),
                late=int(figures.get("late") or 0),
            )
        )
    return steps
