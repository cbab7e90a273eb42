"""The head line: project, serving version, state in a word, age of the newest event, last check."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from dashboard import words
from streams.sections import Drift

State = Literal["empty", "quiet", "watch", "alarm"]


@dataclass(frozen=True)
class Head:
    """`why` says in words what the state is made of; `idle_ms` is the wall-clock time since an event arrived."""

    state: State
    why: str
    model: str | None
    version: int | None
    live: str | None  # Synced, OutOfSync, Degraded
    error: str | None
    newest: int | None
    idle_ms: int | None
    checked: int | None
    run: str | None  # a run under way


def head(cursor: duckdb.DuckDBPyConnection, rule: Drift = Drift()) -> Head:
    live = latest(cursor, "live")
    desired = latest(cursor, "desired")
    row = cursor.execute(
        "SELECT (SELECT max(newest) FROM scores), (SELECT max(ends) FROM checks), (SELECT max(wall) FROM scores), (SELECT max(noted) FROM taken WHERE step = 'features')"
    ).fetchone()
    newest, checked, scored, committed = row if row else (None, None, None, None)
    arrived = max((at for at in (scored, committed) if at is not None), default=None)
    state, why = condition(cursor, rule)
    run = cursor.execute(
        """SELECT run_id FROM (SELECT run_id, arg_max(state, pos) AS state, max(pos) AS pos FROM runs WHERE state <> 'cancelling' GROUP BY run_id)
           WHERE state IN ('requested', 'building', 'training', 'evaluating') ORDER BY pos DESC LIMIT 1"""
    ).fetchone()
    return Head(
        state,
        why,
        (live or desired or {}).get("model"),
        (live or desired or {}).get("version"),
        (live or {}).get("state"),
        (live or {}).get("error"),
        newest,
        None if arrived is None else max(0, int(time.time() * 1000) - arrived),
        checked,
        run[0] if run else None,
    )


def latest(cursor: duckdb.DuckDBPyConnection, key: str) -> dict[str, Any] | None:
    """The newest deployment record of a key (`desired`, `live`)."""
    row = cursor.execute("SELECT body FROM deployments WHERE key = ? ORDER BY pos DESC LIMIT 1", [key]).fetchone()
    return json.loads(row[0]) if row else None


OFF = "the rate is"


def off(check: dict[str, Any]) -> str:
    """What decay is, in words; the log loss may be better than ever."""
    points = 100 * float(check["gap"])
    size = f"{abs(points):.1f}" if abs(points) < 10 else f"{abs(points):.0f}"
    return f"{OFF} {size} points {'above' if points > 0 else 'below'} the predicted one"


def condition(cursor: duckdb.DuckDBPyConnection, rule: Drift = Drift()) -> tuple[State, str]:
    """What the newest checks of the version that serves say: alarm where a finding holds in as many checks in a row as the rule asks."""
    live = latest(cursor, "live") or {}
    checks = cursor.execute(
        """SELECT kind, json_object('version', body->'$.version', 'share', body->'$.share', 'drifted', body->'$.drifted',
                  'findings', body->'$.findings', 'decayed', body->'$.performance.decayed', 'gap', body->'$.performance.current.gap')
           FROM checks WHERE rowid IN (SELECT rowid FROM checks QUALIFY row_number() OVER (PARTITION BY kind ORDER BY ends DESC) <= ?)
           ORDER BY ends DESC""",
        [rule.consecutive],
    ).fetchall()
    if not checks:
        return "empty", "no check yet"
    newest: dict[str, list[dict[str, Any]]] = {}
    for kind, body in checks:
        check = json.loads(body)
        if check["version"] is None or live.get("version") in (None, check["version"]):
            newest.setdefault(kind, []).append(check)
    if not newest:
        return "watch", f"version {live.get('version')} has not been checked yet"
    data, performance, quality = newest.get("data", []), newest.get("performance", []), newest.get("quality", [])
    if not data and not newest.get("prediction"):
        return "empty", "no champion to compare with yet"
    decayed = [bool(check["decayed"]) for check in performance]
    if len(decayed) >= rule.consecutive and all(decayed):
        return "alarm", off(performance[0])
    if data and (data[0].get("share") or 0.0) >= rule.share and data[0].get("drifted"):
        return "alarm", words.count(int(data[0]["drifted"]), "feature") + " moved"
    if decayed and decayed[0]:
        return "watch", f"{off(performance[0])} in the newest check"
    if data and data[0].get("drifted"):
        return "watch", words.count(int(data[0]["drifted"]), "feature") + " moved"
    if quality and quality[0].get("findings"):
        finding = quality[0]["findings"][0]
        return "watch", f"{finding['name']}: {finding['what']}"
    return "quiet", "nothing moved"
