"""Models: versions on the time axis, what each was trained on, the quality it had while it served."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from dashboard import words
from dashboard.queries.head import latest
from dashboard.queries.performance import by_version
from dashboard.queries.window import newest, placed
from streams.project import Project


@dataclass(frozen=True)
class Models:
    """`versions` has version, serving, since, until, predictions, log_loss, brier, observed, predicted, reason, by, commit."""

    sentence: str
    versions: pd.DataFrame
    serving: int | None
    previous: int | None
    error: str | None
    desired: dict[str, Any]
    trained_from: int | None  # where the data of the oldest version begin


def models(cursor: duckdb.DuckDBPyConnection, project: Project) -> Models | None:
    """None: no version has been deployed yet."""
    desired = latest(cursor, "desired")
    if desired is None:
        return None
    live = latest(cursor, "live") or {}
    zone = project.timezone
    served = cursor.execute("SELECT version, min(hour), max(newest), sum(n)::BIGINT FROM scores GROUP BY version ORDER BY 2").fetchall()
    quality = {int(row["version"]): row for row in by_version(cursor).to_dict("records")}
    made: dict[int, dict[str, Any]] = {}
    entry: dict[str, Any]
    for version, noted, body in cursor.execute(
        "SELECT version, noted, body FROM deployments WHERE key = 'desired' ORDER BY pos"
    ).fetchall():
        entry = json.loads(body)
        if version is not None:
            made[int(version)] = {
                "version": int(version), "since": entry.get("effective_from"), "deployed": noted, "reason": entry.get("reason"), "by": entry.get("by"),
                "commit": str(entry.get("commit") or "")[:10], "sha256": str(entry.get("sha256") or "")[:12],
            }  # fmt: skip
    for version, since, until, number in served:
        entry = made.setdefault(int(version), {"version": int(version)})
        entry |= {"since": since, "until": until, "predictions": number}
        if int(version) in quality:
            found = quality[int(version)]
            entry |= {name: found[name] for name in ("log_loss", "brier", "observed", "predicted", "labelled")}
    _trained(cursor, made, project)
    serving = live.get("version") or desired.get("version")
    end = newest(cursor)
    for entry in made.values():
        entry["serving"] = entry["version"] == serving
        if entry["serving"] and end is not None:
            entry["until"] = end
    versions = pd.DataFrame([made[version] for version in sorted(made)])
    for column in ("since", "until", "trained_from", "trained_to", "log_loss", "brier", "predictions", "deployed"):
        if column not in versions:
            versions[column] = None
    previous = _previous(cursor, desired.get("version"))
    return Models(_sentence(serving, previous, live, desired, made, zone), placed(versions, zone, "since", "until", "trained_from", "trained_to", "deployed"),
                  serving, previous, live.get("error"), desired, min((entry["trained_from"] for entry in made.values() if entry.get("trained_from") is not None), default=None))  # fmt: skip


def _trained(cursor: duckdb.DuckDBPyConnection, made: dict[int, dict[str, Any]], project: Project) -> None:
    """What each version was trained on, as its run says: up to the labels known at its cut-off, back to the setting's window or the log's beginning."""
    first: int | None = None
    earliest = (cursor.execute("SELECT least((SELECT min(hour) FROM scores), (SELECT min(starts) FROM checks))").fetchone() or (None,))[0]
    for version, as_of, body in cursor.execute(
        "SELECT version, as_of, body FROM runs WHERE version IS NOT NULL AND as_of IS NOT NULL ORDER BY pos"
    ).fetchall():
        run = json.loads(body)
        if run.get("trigger") == "first" and project.retraining.first_after_ms is not None:
            first = as_of - project.retraining.first_after_ms
        back = project.retraining.window_ms
        entry = made.setdefault(int(version), {"version": int(version)})
        entry |= {
            "trained_from": as_of - back if back is not None else first or earliest,
            "trained_to": as_of,
            "run_id": run.get("run_id"),
            "rows": (run.get("dataset") or {}).get("rows"),
        }
        entry["held_out"] = run.get("metrics") or {}


def _previous(cursor: duckdb.DuckDBPyConnection, wished: int | None) -> int | None:
    """The version that was wished before the one that is wished now: what a rollback goes back to."""
    row = cursor.execute(
        "SELECT version FROM deployments WHERE key = 'desired' AND version <> ? ORDER BY pos DESC LIMIT 1", [wished]
    ).fetchone()
    return int(row[0]) if row else None


def _sentence(
    serving: int | None, previous: int | None, live: dict[str, Any], desired: dict[str, Any], made: dict[int, dict[str, Any]], zone: str
) -> str:
    if serving is None:
        return "No version serves yet."
    since = made.get(serving, {}).get("since")
    text = f"Version {serving} serves" + (f" since {words.moment(since, zone)}" if since is not None else "")
    state = live.get("state")
    if state == "Synced" and live.get("version") == desired.get("version"):
        text += ", in sync"
    elif state == "Degraded":
        text += f"; version {desired.get('version')} was wished and could not be loaded"
    elif state is not None:
        text += f"; version {desired.get('version')} is on its way"
    else:
        text += "; the serving worker has not reported yet"
    return text + (f"; version {previous} is one click away." if previous is not None and state != "Degraded" else ".")


def card(cursor: duckdb.DuckDBPyConnection, project: Project, version: int) -> str:
    """What a person asks of a version, as Markdown: what it was trained on, how good it was, who let it serve and why."""
    zone = project.timezone
    row = cursor.execute("SELECT body FROM runs WHERE version = ? ORDER BY pos DESC LIMIT 1", [version]).fetchone()
    run = json.loads(row[0]) if row else {}
    lines = [f"# {project.name}, version {version}", ""]
    dataset, metrics = run.get("dataset") or {}, run.get("metrics") or {}
    facts = {
        "Run": run.get("run_id"),
        "Started by": f"{run.get('trigger')}, {run.get('requested_by') or 'driftline'}" if run else None,
        "Because": run.get("reason"),
        "State": f"{run['state']} by {run['decided_by']}: {run.get('decision') or ''}" if run.get("decided_by") else run.get("state"),
        "Labels known until": words.moment(dataset.get("cut_off"), zone, year=True) if dataset.get("cut_off") else None,
        "Labelled rows": f"{dataset['rows']:,}" if dataset.get("rows") else None,
        "Data set, SHA-256": dataset.get("sha256"),
        "Feature plan": dataset.get("plan"),
        "Model, SHA-256": run.get("sha256"),
    }
    lines += [f"- {name}: {value}" for name, value in facts.items() if value]
    if metrics:
        lines += ["", "## Held-out rows", ""] + [
            f"- {name.replace('_', ' ')}: {words.sensible(value)}" for name, value in metrics.items() if isinstance(value, int | float)
        ]
    comparison = run.get("comparison") or {}
    difference = comparison.get("difference") or {}
    if difference.get("value") is not None:
        lines += ["", f"## Against version {comparison.get('champion_version')}", ""]
        lines.append(
            f"- improvement in {str(comparison['metric']).replace('_', ' ')} {difference['value']:+.4f}, 95 % interval {difference.get('low')} to {difference.get('high')}, on {comparison.get('rows'):,} rows"
        )
    served = by_version(cursor)
    mine = served[served["version"] == version]
    if len(mine) and mine["labelled"].iloc[0]:
        lines += [
            "",
            "## While serving",
            "",
            f"- labelled predictions: {int(mine['labelled'].iloc[0]):,}",
            f"- log loss: {words.figure(float(mine['log_loss'].iloc[0]))}",
            f"- Brier score: {words.figure(float(mine['brier'].iloc[0]))}",
        ]
    return "\n".join(lines) + "\n"
