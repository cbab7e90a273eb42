"""Retraining: every run with its states and durations, and champion against challenger."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from dashboard import words
from dashboard.queries.window import placed

ACTIVE = ("requested", "building", "training", "evaluating")
ENDED = ("promoted", "rejected", "failed", "cancelled")
FEW = 20  # rows of a segment below which a difference says nothing and would stretch the axis for all
STATES = (*ACTIVE, "waiting")


@dataclass(frozen=True)
class Run:
    """One run as it stands; `states` has state, noted (wall ms), took_ms (None while it lasts)."""

    run_id: str
    number: int
    state: str
    body: dict[str, Any]
    states: list[tuple[str, int, int | None]]

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def started(self) -> int:
        return self.states[0][1]

    @property
    def comparison(self) -> dict[str, Any] | None:
        return self.body.get("comparison")


def runs(cursor: duckdb.DuckDBPyConnection) -> list[Run]:
    """Newest first; numbered from 1 in the order of their requests."""
    made: dict[str, list[tuple[str, int, dict[str, Any]]]] = {}
    for run_id, state, noted, body in cursor.execute("SELECT run_id, state, noted, body FROM runs ORDER BY part, pos").fetchall():
        records = made.setdefault(run_id, [])
        if records and state in ("requested", "cancelling"):
            continue  # a second request joins the run that is there; a wish to stop is not yet a state
        records.append((state, noted, json.loads(body)))  # a request that the drift step made has no wall clock
    answer = []
    for number, (run_id, records) in enumerate(made.items(), start=1):
        merged: dict[str, Any] = {}
        for _, _, body in records:
            merged |= {name: value for name, value in body.items() if value is not None}
        states: list[tuple[str, int, int | None]] = []
        known = [noted for _, noted, _ in records if noted is not None]
        for state, noted, _ in records:
            noted = noted if noted is not None else known[0] if known else int(time.time() * 1000)
            if states and states[-1][0] == state:
                continue
            if states:
                states[-1] = (states[-1][0], states[-1][1], noted - states[-1][1])
            states.append((state, noted, None))
        answer.append(Run(run_id, number, records[-1][0], merged, states))
    return answer[::-1]


def sentence(run: Run, now: int | None = None) -> str:
    now = int(time.time() * 1000) if now is None else now
    by = run.body.get("requested_by")
    start = {
        "manual": f"started by a click{f' of {by}' if by else ''}",
        "first": "the first champion",
        "decay": "started by the alarm on performance",
        "drift": "started by the alarm on drift",
        "quality": "started by the alarm on data quality",
        "schedule": "started by the schedule",
        "data": "started by new labels",
        "code": "started by a change of train.py or features.sql",
    }.get(str(run.body.get("trigger")), f"started by {run.body.get('trigger') or 'a request'}")
    if run.active:
        return f"Run {run.number}: {run.state}, {words.clock(now - run.started)}; {start}."
    if run.state == "waiting":
        return f"Run {run.number} waits for you: {verdict(run)}"
    if run.state == "failed":
        return f"Run {run.number} failed after {words.clock(run.states[-1][1] - run.started)}; the champion goes on serving."
    return f"Run {run.number} was {run.state} after {words.clock(run.states[-1][1] - run.started)}; {start}."


def verdict(run: Run) -> str:
    """Whether the challenger is better, in words, with its interval."""
    comparison = run.comparison
    if not comparison:
        return "it is the first champion, there is nothing to compare with."
    difference, low, high = (comparison["difference"].get(name) for name in ("value", "low", "high"))
    if difference is None:
        return "there are no labelled rows to compare on."
    metric = str(comparison.get("metric", "log_loss")).replace("_", " ")
    between = f" (between {signed(low)} and {signed(high)})" if low is not None and high is not None else ""
    amount = words.figure(abs(difference))
    if amount == words.figure(0.0):
        return f"the challenger is as good as the champion, their {metric} differs by less than .001{between}."
    return f"the challenger is {'better' if difference > 0 else 'worse'} by {amount} {metric}{between}."


def signed(value: float) -> str:
    return ("+" if value > 0 else "−" if value < 0 else "") + words.figure(abs(value))


ADVICE = (
    ("contains nan", "Fill or drop empty features in train.py, or train with a model that takes them (LightGBM does)."),
    ("no module named", "Install that package into the environment that runs Driftline, or drop the import from train.py."),
    ("memoryerror", "Train on a shorter span: set [retraining] window in driftline.toml."),
    ("timeout", "Training took longer than [retraining] timeout allows: raise it in driftline.toml, or fit fewer rows or trees."),
    ("timed out", "Training took longer than [retraining] timeout allows: raise it in driftline.toml, or fit fewer rows or trees."),
    (
        "only one class",
        "The data set has labels of one kind only: train on a longer span, or see whether labels come in (Labels and performance).",
    ),
    ("no label", "No label has come for this span: see Labels and performance, then retrain."),
    ("keyerror", "train.py names a column that features.sql does not give: compare the two."),
)


def advice(run: Run) -> str:
    """What to try after a failure."""
    text = f"{run.body.get('error') or ''} {' '.join(run.body.get('log_tail') or ())}".lower()
    for sign, what in ADVICE:
        if sign in text:
            return what
    return (
        "Mend train.py and click Retrain: the data set of this run is the same for the next one. `driftline train` runs it in a terminal."
    )


def comparison_frames(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The forest (name, rows, difference, low, high; all rows first) and the calibration (side, predicted, observed, rows)."""
    comparison = run.comparison or {}
    whole = comparison.get("difference") or {}
    forest = [
        {
            "name": "all",
            "rows": comparison.get("rows"),
            "difference": whole.get("value"),
            "low": whole.get("low"),
            "high": whole.get("high"),
        }
    ]
    for segment, values in (comparison.get("segments") or {}).items():
        forest += [
            {
                "name": f"{segment} {value}",
                "rows": entry.get("rows"),
                "difference": entry.get("value"),
                "low": entry.get("low"),
                "high": entry.get("high"),
            }
            for value, entry in values.items()
            if (entry.get("rows") or 0) >= FEW
        ]
    calibration = [
        {"side": side, "predicted": point["score"], "observed": point["observed"], "rows": point["rows"]}
        for side, points in (comparison.get("calibration") or {}).items()
        for point in points
    ]
    return pd.DataFrame(forest), pd.DataFrame(calibration, columns=["side", "predicted", "observed", "rows"])


def facts(run: Run) -> dict[str, str]:
    """The comparison's numbers in words."""
    comparison = run.comparison or {}
    metric = str(comparison.get("metric", "log_loss"))
    name = metric.replace("_", " ")
    found = {f"{name}, {side}": words.figure((comparison.get(side) or {}).get(metric)) for side in ("champion", "challenger")}
    difference = comparison.get("difference") or {}
    if difference.get("value") is not None:
        found["difference"] = signed(difference["value"])
    if difference.get("low") is not None:
        found["95 % interval"] = f"{signed(difference['low'])} to {signed(difference['high'])}"
    flipped = comparison.get("flipped") or {}
    changed = flipped.get("to_true", 0) + flipped.get("to_false", 0)
    if changed:
        right = flipped.get("to_true_right", 0) + flipped.get("to_false_right", 0)
        found["decisions flipped"] = f"{changed:,}, the challenger right in {right / changed:.0%}"
    return found


def table(made: list[Run], zone: str) -> pd.DataFrame:
    rows = pd.DataFrame(
        [
            {
                "run": run.number,
                "state": run.state,
                "trigger": run.body.get("trigger"),
                "reason": run.body.get("reason"),
                "as of": run.body.get("as_of"),
                "took": words.clock((run.states[-1][1] if not run.active else int(time.time() * 1000)) - run.started),
                "version": run.body.get("version"),
                "run_id": run.run_id,
            }
            for run in made
        ]
    )
    return placed(rows, zone, "as of") if len(rows) else rows


__all__ = ["ACTIVE", "ENDED", "STATES", "Run", "advice", "comparison_frames", "facts", "runs", "sentence", "signed", "table", "verdict"]
