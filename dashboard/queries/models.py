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
from dashboard.queries.window import frame, newest, placed
from streams.project import Project

SPELL = ["version", "since", "until", "predictions", "log_loss", "brier", "by", "commit", "reason"]


@dataclass(frozen=True)
class Models:
    """`versions` has version, trained_from, trained_to, reason, and of all its spells predictions, log_loss, brier, observed, predicted.

    `spells`, in their order, has version, serving, since, until, predictions, log_loss, brier, by, commit, reason; a version that scored nothing
    (yet) has one without times.
    """

    sentence: str
    versions: pd.DataFrame
    spells: pd.DataFrame
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
    made: dict[int, dict[str, Any]] = {}
    for version, body in cursor.execute(
        "SELECT version, body FROM deployments WHERE key = 'desired' AND version IS NOT NULL ORDER BY pos"
    ).fetchall():
        made[version] = {"version": version, **_wish(body)}
    for version, number in cursor.execute("SELECT version, sum(n)::BIGINT FROM scores GROUP BY version").fetchall():
        made.setdefault(version, {"version": version})["predictions"] = number
    for row in by_version(cursor).to_dict("records"):
        made.setdefault(int(row["version"]), {}).update({str(name): value for name, value in row.items()})
    _trained(cursor, made, project)
    serving = live.get("version") or desired.get("version")
    spells = _spells(cursor, made, serving)
    versions = pd.DataFrame([made[version] for version in sorted(made)])
    for column in ("trained_from", "trained_to", "log_loss", "brier", "predictions"):
        if column not in versions:
            versions[column] = None
    since = next(iter(spells.loc[spells["serving"], "since"].dropna()), None)
    previous = _previous(cursor, desired.get("version"))
    return Models(_sentence(serving, since, previous, live, desired, zone), placed(versions, zone, "trained_from", "trained_to"),
                  placed(spells, zone, "since", "until"), serving, previous, live.get("error"), desired,
                  min((entry["trained_from"] for entry in made.values() if entry.get("trained_from") is not None), default=None))  # fmt: skip


def _wish(body: str | None) -> dict[str, Any]:
    """What a desired record says beside its version."""
    wish = json.loads(body) if body else {}
    return {"reason": wish.get("reason"), "by": wish.get("by"), "commit": str(wish.get("commit") or "")[:10]}


def _spells(cursor: duckdb.DuckDBPyConnection, made: dict[int, dict[str, Any]], serving: int | None) -> pd.DataFrame:
    """Each with the wish that began it, those without times last."""
    spells = frame(
        cursor,
        """SELECT s.version, since, coalesce(until, ?) AS until, n AS predictions, log_loss, brier, body FROM spells s
           LEFT JOIN (SELECT spell, sum(n)::BIGINT AS n FROM scores_by_spell GROUP BY spell) p ON p.spell = number
           LEFT JOIN (SELECT spell, sum(log_loss) / nullif(sum(labelled), 0) AS log_loss, sum(brier) / nullif(sum(labelled), 0) AS brier
                      FROM quality_by_spell GROUP BY spell) q ON q.spell = number
           ASOF LEFT JOIN (SELECT version, noted, body FROM deployments WHERE key = 'desired') d ON d.version = s.version AND begun >= noted
           ORDER BY number""",
        [newest(cursor)],
    )
    rows = [{**row, **_wish(row["body"])} for row in spells.to_dict("records")]
    scored = {row["version"] for row in rows}
    if rows and rows[-1]["version"] != serving:
        scored.discard(serving)  # it serves again, and has scored nothing since
    rows += [
        {name: entry.get(name) for name in ("version", "reason", "by", "commit")}
        for entry in made.values()
        if entry["version"] not in scored
    ]
    now = max((place for place, row in enumerate(rows) if row["version"] == serving), default=None)
    return pd.DataFrame(rows, columns=SPELL).assign(serving=[place == now for place in range(len(rows))])


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
    serving: int | None, since: int | None, previous: int | None, live: dict[str, Any], desired: dict[str, Any], zone: str
) -> str:
    if serving is None:
        return "No version serves yet."
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
