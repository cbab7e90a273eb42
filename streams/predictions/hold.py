"""How far predictions may go in step: the rule that makes a replay give the same numbers at any speed.

A prediction of event time t waits until every check boundary at or before t - takes_effect_after is recorded, and every automatic run
as of that time or before has ended, its deployment (if it was promoted) included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.predictions.records import ENDED

KEPT = 1000  # ended runs remembered: a run's end may be read before the check that announced it


def first_run(as_of: int) -> str:
    """The id of the run that trains the first champion."""
    return f"first-{as_of}"


def boundary_after(time: int, every: int) -> int:
    """The first check boundary strictly after an event time; boundaries are whole multiples of `every` since the epoch."""
    return (time // every + 1) * every


@dataclass
class Hold:
    """Times in event milliseconds. `every` None: checks are counted in predictions, and only runs are waited for."""

    every: int | None
    takes_effect_after: int
    first_after: int | None
    waits_for_people: bool = False  # a person approves: a run that is `waiting` frees the predictions
    _checked: int | None = None
    _runs: dict[str, int] = field(default_factory=dict)  # announced and not ended: as_of
    _ended: dict[str, int | None] = field(default_factory=dict)  # the version of a promoted one
    _deployed: int = 0  # the greatest version desired so far

    def starts(self, time: int) -> None:
        """The first feature row. Later calls change nothing."""
        if self._checked is not None:
            return
        self._checked = time
        if self.first_after is not None:
            self._checked = time + self.first_after
            self._announce(first_run(self._checked), self._checked)

    def checked(self, end: int, last: bool, run_id: str | None) -> None:
        if run_id:
            self._announce(run_id, end)
        if last:
            self._checked = max(end, self._checked if self._checked is not None else end)

    def ran(self, run_id: str, state: str, version: int | None) -> None:
        if state in ENDED or (state == "waiting" and self.waits_for_people and run_id not in self._ended):
            self._ended[run_id] = version if state == "promoted" else None
            while len(self._ended) > KEPT:
                del self._ended[next(iter(self._ended))]

    def deployed(self, version: int) -> None:
        self._deployed = max(self._deployed, version)

    def _announce(self, run_id: str, as_of: int) -> None:
        self._runs.setdefault(run_id, as_of)

    def until(self) -> int | None:
        """The event time at or past which nothing may be scored yet; None before the first row."""
        if self._checked is None:
            return None
        over = [run_id for run_id in self._runs if self._is_over(run_id)]
        for run_id in over:
            del self._runs[run_id]
        waits = list(self._runs.values())
        if self.every is not None:
            waits.append(boundary_after(self._checked, self.every))
        return min(waits) + self.takes_effect_after if waits else None

    def _is_over(self, run_id: str) -> bool:
        if run_id not in self._ended:
            return False
        version = self._ended[run_id]
        return version is None or version <= self._deployed

    def snapshot(self) -> dict[str, Any]:
        return {"checked": self._checked, "runs": self._runs, "ended": self._ended, "deployed": self._deployed}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._checked, self._runs, self._ended, self._deployed = state["checked"], state["runs"], state["ended"], state["deployed"]
