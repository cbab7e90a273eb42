"""The head line: project, serving version, state in a word, age of the newest event, last check."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

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


def head(cursor: duckdb.DuckDBPyConnection) -> Head:
    live = latest(cursor, "live")
    desired = latest(cursor, "desired")
    row = cursor.execute(
        "SELECT (SELECT max(newest) FROM scores), (SELECT max(ends) FROM checks), (SELECT max(wall) FROM scores), (SELECT max(noted) FROM commits)"
    ).fetchone()
    newest, checked, scored, committed = row if row else (None, None, None, None)
    arrived = max((at for at in (scored, committed) if at is not None), default=None)
    state, why = condition(cursor)
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


def condition(cursor: duckdb.DuckDBPyConnection) -> tuple[State, str]:
    """Alarm while an alarm is newer than what serves; watch while the newest checks saw something move; else quiet."""
    if not cursor.execute("SELECT 1 FROM checks LIMIT 1").fetchone():
        return "empty", "no check yet"
    if not cursor.execute("SELECT 1 FROM checks WHERE kind <> 'performance' LIMIT 1").fetchone():
        return "empty", "no champion to compare with yet"
    since = cursor.execute("SELECT max(CAST(body->>'$.effective_from' AS BIGINT)) FROM deployments WHERE key = 'desired'").fetchone()
    alarm = cursor.execute(
        "SELECT alarm, reason, ends FROM checks WHERE alarm IS NOT NULL AND ends > ? ORDER BY alarm = 'decay' DESC, ends DESC LIMIT 1",
        [since[0] if since and since[0] is not None else -1],
    ).fetchone()
    if alarm:
        return "alarm", {"decay": "quality fell", "drift": "features moved", "quality": "data quality fell"}.get(alarm[0], alarm[0])
    moved = cursor.execute(
        """SELECT count(*) FILTER (moved), count(*) FROM check_features
           WHERE ends = (SELECT max(ends) FROM checks WHERE kind = 'data')"""
    ).fetchone()
    if moved and moved[0]:
        return "watch", f"{moved[0]} of {moved[1]} features moved"
    return "quiet", "nothing moved"
