"""A run and its states: requested, building, training, evaluating, waiting, promoted, rejected, failed, cancelled. Each change is a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

ACTIVE = ("requested", "building", "training", "evaluating")
OPEN = (*ACTIVE, "waiting")
AUTOMATIC = ("first", "decay", "drift", "quality", "schedule", "data", "code")


@dataclass(frozen=True)
class Run:
    """`as_of` is the event time (ms) up to which the log counts, None until the run begins; `at` wall-clock ms of this state."""

    run_id: str
    state: str
    trigger: str = "manual"
    reason: str = ""
    requested_by: str = ""
    as_of: int | None = None
    at: int | None = None
    started_at: int | None = None
    version: int | None = None
    sha256: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    comparison: Mapping[str, Any] | None = None
    dataset: Mapping[str, Any] | None = None
    log_tail: tuple[str, ...] = ()
    error: str | None = None
    attempt: int = 0
    decided_by: str | None = None
    decision: str | None = None

    @property
    def is_automatic(self) -> bool:
        return self.trigger in AUTOMATIC

    def to(self, state: str, at: int, **changes: Any) -> Run:
        return replace(self, state=state, at=at, **changes)

    def value(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @staticmethod
    def of(value: Mapping[str, Any]) -> Run:
        """From a record; fields it lacks or this version does not know change nothing."""
        known = {one.name for one in fields(Run)}
        found = {name: one for name, one in value.items() if name in known and one is not None}
        found["log_tail"] = tuple(found.get("log_tail", ()))
        return Run(**found)


def latest(values: Iterable[Mapping[str, Any]]) -> dict[str, Run]:
    """The newest state of each run, in order of their first records. A request for a run that is known changes nothing.

    The wish to cancel a run holds until the run has ended, or waits for a decision.

    >>> latest([{"run_id": "a", "state": "failed"}, {"run_id": "a", "state": "requested"}])["a"].state
    'failed'
    """
    found: dict[str, Run] = {}
    for value in values:
        run = Run.of(value)
        if run.run_id in found and run.state == "requested":
            continue
        if run.state == "cancelling":
            if run.run_id in found:
                found[run.run_id] = replace(found[run.run_id], decision="cancel", decided_by=run.decided_by)
            continue
        before = found.get(run.run_id)
        if before is not None and before.decision == "cancel" and run.state in ACTIVE:  # the runner had not read the wish yet
            run = replace(run, decision="cancel", decided_by=before.decided_by)
        found[run.run_id] = run
    return found
