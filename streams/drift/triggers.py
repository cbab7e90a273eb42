"""Which finding asks for a run. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Triggers:
    """`names` are those that are on. `every` is the schedule in event milliseconds, `new_labels` what the trigger `data` counts to."""

    names: frozenset[str] = frozenset()
    every: int | None = None
    new_labels: int = 10_000


def wanted(triggers: Triggers, alarms: dict[str, str], end: int, last_run: int | None, labels: int) -> dict[str, Any] | None:
    """The run to ask for at the check that ended at `end`; at most one. Its id follows from the check, so a restart asks for no other.

    `alarms` are those raised by this check, kind -> reason; `last_run` is the event time of the last automatic run (or of the start),
    `labels` how many came since then.
    """
    for kind in ("decay", "drift", "quality"):
        if kind in alarms and kind in triggers.names:
            return _run(kind, alarms[kind], end)
    if "data" in triggers.names and labels >= triggers.new_labels:
        return _run("data", f"{labels:,} labels since the last run", end)
    if "schedule" in triggers.names and triggers.every is not None and last_run is not None and end >= last_run + triggers.every:
        return _run("schedule", "the schedule", end)
    return None


def _run(trigger: str, reason: str, end: int) -> dict[str, Any]:
    return {"run_id": f"{trigger}-{end}", "trigger": trigger, "reason": reason, "as_of": end}
