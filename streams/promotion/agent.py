"""The agent: makes the live state follow the desired one, and decides over automatic runs by the rule.

What the head of the deployment repository wishes becomes a record in `deployments`; the predictions step reports what is live. A run of an
automatic trigger is promoted (a commit) or rejected by its interval, where [promotion] approve is auto.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from streams.errors import DriftlineError, PromotionError
from streams.predictions import log
from streams.predictions.store import folder_of, registry
from streams.project import Project
from streams.promotion.decide import may_promote
from streams.promotion.desired import Deployments, Desired
from streams.retraining.runs import Run, latest
from streams.retraining.service import serve
from streams.sensors import Sensor
from streams.worker.connection import Connection, KafkaConnection

HEAL_S = (5.0, 15.0, 60.0, 300.0)  # waits between attempts to heal a degraded live state
FETCH_S = 5.0  # between looks at a remote repository
_log = logging.getLogger(__name__)


class Agent:
    """Reconciles one project."""

    def __init__(self, project: Project, connection: Connection) -> None:
        self._project, self._connection = project, connection
        self._deployments = Deployments.of(project)
        self._follower = log.Follower(connection, [project.topic("runs"), project.topic("deployments")])
        self._runs: list[dict[str, Any]] = []
        self._desired: dict[str, Any] | None = None
        self._live: dict[str, Any] | None = None
        self._quiet: str | None = None  # a head that wishes nothing
        self._fetched = 0.0
        self._heals = 0
        self._heal_at = 0.0

    def close(self) -> None:
        self._follower.close()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        while not stop.is_set():
            self.work(200)

    def work(self, timeout_ms: int = 0) -> None:
        """Take what is new, decide, reconcile."""
        for record in self._follower.poll(timeout_ms):
            if record.value is None:
                continue
            if record.topic == self._project.topic("runs"):
                self._runs.append(record.value)
            elif record.value.get("role") == "desired":
                self._desired = record.value
            elif record.value.get("role") == "live":
                self._live = record.value
        if not self._follower.caught_up:
            return
        for run in latest(self._runs).values():
            if run.state == "waiting" and run.is_automatic and (self._project.promotion.approve == "auto" or run.trigger == "first"):
                self._decide(run)
        self.reconcile()

    def _decide(self, run: Run) -> None:
        wish = self._deployments.now()
        found = may_promote(run, self._project.promotion.margin, wish.version if wish is not None else None)
        why_not = found.reason if not found.allowed else wish.suspension if wish is not None else None
        if why_not is not None:
            self._ended(run, "rejected", why_not)
            return
        try:
            promote_run(self._project, self._deployments, run, found.reason, "driftline")
        except PromotionError as error:
            _log.warning("run %s is not promoted: %s", run.run_id, error)
            self._ended(run, "failed", error.message)
            return
        self._ended(run, "promoted", found.reason)

    def _ended(self, run: Run, state: str, reason: str) -> None:
        # The deployment comes first: predictions in step wait for both.
        if state == "promoted":
            self.reconcile()
            if latest(self._runs)[run.run_id].state == "promoted":
                return
        value = run.to(state, _now(), decision=reason, decided_by="driftline").value()
        log.append(self._connection, self._project.topic("runs"), [(run.run_id, value, run.as_of or 0)])
        self._runs.append(value)

    def reconcile(self) -> None:
        """Say what the repository wishes, once per commit; say it again, with growing pauses, while the live state is degraded."""
        if time.monotonic() - self._fetched >= FETCH_S:
            self._deployments.repository.fetch()
            self._fetched = time.monotonic()
        head = self._deployments.repository.head()
        same = self._desired is not None and self._desired.get("commit") == head
        if head is None or head == self._quiet or (same and not self._is_degraded()):
            return
        wish = self._deployments.at(head)
        if wish is None or wish.suspended:
            self._quiet = head
            return
        if same:
            if not self._is_degraded() or time.monotonic() < self._heal_at:
                return
            self._heal_at = time.monotonic() + HEAL_S[min(self._heals, len(HEAL_S) - 1)]
            self._heals += 1
        else:
            self._heals, self._heal_at = 0, time.monotonic() + HEAL_S[0]
        try:
            folder_of(self._project, wish.version, wish.sha256)  # fetched here, so that predictions need not wait for the registry
        except DriftlineError as error:
            _log.warning("version %s cannot be fetched: %s", wish.version, error)
        self._say(head, wish)
        self._accepted(wish)

    def _accepted(self, wish: Desired) -> None:
        """A commit that came by another way (a merge, a hand) ends the run it names."""
        run = latest(self._runs).get(wish.run_id)
        if run is not None and run.state == "waiting" and run.version == wish.version:
            value = run.to("promoted", _now(), decision=wish.reason or "merged", decided_by=wish.by).value()
            log.append(self._connection, self._project.topic("runs"), [(run.run_id, value, run.as_of or 0)])
            self._runs.append(value)

    def _is_degraded(self) -> bool:
        live = self._live
        return live is not None and self._desired is not None and live.get("state") == "Degraded"

    def _say(self, head: str, wish: Desired) -> None:
        value = {
            "role": "desired",
            "model": wish.model,
            "version": wish.version,
            "sha256": wish.sha256,
            "run_id": wish.run_id,
            "commit": head,
            "effective_from": wish.effective_from,
            "reason": wish.reason,
            "by": wish.by,
            "at": _now(),
        }
        log.append(self._connection, self._project.topic("deployments"), [("desired", value, _record_time(wish, self._project))])
        self._desired = value
        try:
            registry(self._project).alias(self._project.name, "champion", wish.version)
        except DriftlineError as error:  # an alias is a courtesy to people who look into MLflow
            _log.warning("%s", error)


def _record_time(wish: Desired, project: Project) -> int:
    """The event time of the decision: never ahead of the predictions, which would keep the record from being taken."""
    return 0 if wish.effective_from is None else wish.effective_from - project.promotion.takes_effect_after_ms


def promote_run(project: Project, deployments: Deployments, run: Run, reason: str, by: str) -> str:
    """Commit a run's version as the desired one; returns the commit. Doing it twice changes nothing."""
    if run.version is None or run.sha256 is None:
        raise PromotionError(f"run {run.run_id} is {run.state} and has no version; only a finished run can be promoted.")
    in_step = project.promotion.in_step and run.is_automatic and run.as_of is not None
    effective = run.as_of + project.promotion.takes_effect_after_ms if in_step and run.as_of is not None else None
    desired = Desired(project.name, run.version, run.sha256, run.run_id, effective, reason, by)
    return deployments.write(desired, f"Promote version {run.version}")


def _now() -> int:
    return time.time_ns() // 1_000_000


def register(app: Any, project: Project, sensor: Sensor) -> None:
    """Run beside a Faust app's agents, in a thread of its own."""
    lock = project.state_dir / "locks" / "promotion"
    serve(app, "promotion", lambda: Agent(project, KafkaConnection(project.kafka())), lock, sensor)
