"""What a click does: each calls one public function of a step and answers with a value or with the reason why not. No Streamlit here."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.kept import Kept
from streams.errors import DriftlineError
from streams.predictions.store import place
from streams.project import Project
from streams.promotion import actions as promotion
from streams.promotion.decide import may_promote
from streams.retraining.requests import cancel_run, request_retrain
from streams.retraining.runs import Run
from streams.retraining.train import tail


@dataclass(frozen=True)
class Answer:
    """Either a value or an error in words."""

    value: Any = None
    error: str | None = None


def _answered(action: Callable[..., Any]) -> Callable[..., Answer]:
    @functools.wraps(action)
    def answer(*arguments: Any, **named: Any) -> Answer:
        try:
            return Answer(action(*arguments, **named))
        except (DriftlineError, OSError, ImportError) as error:
            return Answer(error=str(error))

    return answer


_kept: dict[Path, Kept] = {}


def kept_open(project: Project) -> Kept:
    """The clients that all clicks of this process share."""
    return _kept.setdefault(project.root, Kept(project))


def warm(project: Project) -> None:
    """Open what the first click will ask for; where the broker does not answer, the click says so."""
    with contextlib.suppress(DriftlineError, OSError):
        kept_open(project).warm(project.topic("runs"), project.topic("deployments"))


@_answered
def retrain(project: Project, reason: str, by: str) -> str:
    """Ask for a run; its id. While one is under way, that one's id."""
    return request_retrain(project, reason, by, kept_open(project)).run_id


@_answered
def cancel(project: Project, run_id: str, by: str) -> str:
    return cancel_run(project, run_id, by, kept_open(project)).state


@_answered
def promote(project: Project, run_id: str, reason: str, by: str) -> str:
    commit = promotion.promote(project, run_id, reason, by, connection=kept_open(project))
    return f"Promoted, commit {commit[:10]}: the new version serves as soon as the predictions worker has loaded it."


@_answered
def reject(project: Project, run_id: str, reason: str, by: str) -> str:
    promotion.reject(project, run_id, reason, by, connection=kept_open(project))
    return "Rejected: the champion goes on serving."


@_answered
def rollback(project: Project, reason: str, by: str) -> str:
    commit = promotion.rollback(project, reason, by)
    return f"Rolled back, commit {commit[:10]}: the earlier version serves as soon as the predictions worker has loaded it."


def hindrance(project: Project, run: Mapping[str, Any], champion: int | None) -> str | None:
    """Why promoting a run's version over this champion is off, or None."""
    if run.get("state") not in ("waiting", None):
        return f"The run is {run['state']}."
    found = may_promote(Run.of(run), project.promotion.margin, champion)
    return None if found.allowed else f"Promoting is off: {found.reason}."


def log_tail(project: Project, run_id: str, lines: int = 12) -> list[str]:
    """The last lines the trainer of a run has printed so far."""
    return list(tail(project.state_dir / "runs" / run_id / "train.log", lines))


@_answered
def mute(project: Project, feature: str, until: date, reason: str, by: str) -> None:
    from streams.drift.mutes import mute_feature

    end = datetime(until.year, until.month, until.day, tzinfo=ZoneInfo(project.timezone))
    mute_feature(project, feature, until_ms=int(end.timestamp() * 1000), reason=reason, by=by, connection=kept_open(project))


_reports: dict[Path, Answer | None] = {}  # by project; None while the report is made


def report(project: Project) -> None:
    """Begin Evidently's report in the background; `reported` has the answer."""
    if _reports.get(project.root, Answer()) is not None:
        _reports[project.root] = None
        threading.Thread(target=_report, args=(project,), name="report", daemon=True).start()


def reported(project: Project) -> tuple[bool, Answer | None]:
    """Whether a report is being made, and the last one: the HTML file's path, or why there is none."""
    under_way = project.root in _reports and _reports[project.root] is None
    return under_way, _reports.get(project.root)


def _report(project: Project) -> None:
    from streams.drift.report import report as make

    _reports[project.root] = _answered(make)(project)


def kept(project: Project, version: int) -> Path | None:
    """The folder a version is served from, where this machine has it."""
    folder = place(project, version)
    return folder if folder.is_dir() else None


def packed(folder: Path) -> bytes:
    """A model's files as one zip."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return found.getvalue()


@_answered
def why(project: Project, prediction_id: str) -> dict[str, Any]:
    from streams.predictions.why import why as _why

    return dict(_why(project, prediction_id))


_plans: dict[Path, tuple[str, str]] = {}  # by project: the SQL, and what it was compiled to


def plan(project: Project) -> str:
    """What the feature SQL was compiled to, in words; the refusal where it is refused. Once for a text: it takes a while."""
    sql = project.features_sql
    if _plans.get(project.root, ("", ""))[0] != sql:
        _plans[project.root] = sql, _plan(project)
    return _plans[project.root][1]


def _plan(project: Project) -> str:
    try:
        from streams.features.explain import explain
        from streams.features.step import plan_of

        return str(explain(plan_of(project)))
    except (DriftlineError, ImportError) as error:
        return str(error)


_verifying: dict[Path, int] = {}  # projects whose rows are compared now, and how many events were replayed so far


def verified(project: Project) -> dict[str, Any] | None:
    """The last comparison of served feature rows with their offline values: rows, different, at (wall ms), differences, or error."""
    try:
        found: dict[str, Any] = json.loads((project.state_dir / "verified.json").read_text())
        return found
    except (OSError, ValueError):
        return None


def verifying(project: Project) -> int | None:
    """Events replayed so far by a comparison under way, None when there is none."""
    return _verifying.get(project.root)


def verify(project: Project, rows: int = 10_000) -> None:
    """Begin to compare the newest rows in the background; `verified` has the answer."""
    if project.root not in _verifying:
        _verifying[project.root] = 0
        threading.Thread(target=_verify, args=(project, rows), name="verify", daemon=True).start()


def _verify(project: Project, rows: int) -> None:
    from streams.features.verify import verify as compare

    def progress(events: int) -> None:
        _verifying[project.root] = events

    answer: dict[str, Any]
    try:
        found = compare(project, last=rows, progress=progress)
        shown = [
            f"{one.event}, {one.column}: served {one.served}, offline {one.recomputed} ({one.reason})" for one in found.differences[:20]
        ]
        answer = {"rows": found.rows, "different": found.different, "differences": shown}
    except (DriftlineError, OSError) as error:
        answer = {"error": str(error)}
    finally:
        _verifying.pop(project.root, None)
    project.state_dir.mkdir(exist_ok=True)
    (project.state_dir / "verified.json").write_text(json.dumps({**answer, "at": int(time.time() * 1000)}))
