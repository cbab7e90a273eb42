"""Live: the way of an event, with rates, lag and age per step."""

from __future__ import annotations

import time
from dataclasses import dataclass

import duckdb
import pandas as pd

from dashboard import words
from dashboard.queries.window import frame
from streams.project import Project
from streams.supervisor.status import STALE_MS
from streams.worker.status import read_statuses

WAY = ("features", "predictions", "labels", "drift", "retraining", "promotion")
RECENT_MS = 60_000


@dataclass(frozen=True)
class Stage:
    """One box of the way. `lag` is records waiting on the broker, None where it is not known."""

    name: str
    rate: float
    lag: int | None
    idle_ms: int | None
    total: int


@dataclass(frozen=True)
class Live:
    sentence: str
    stages: list[Stage]
    rates: pd.DataFrame  # step, noted (slots of 15 s of wall clock), rate
    dead_letters: int
    late: int


def live(cursor: duckdb.DuckDBPyConnection, sources: list[str], now: int | None = None) -> Live:
    now = int(time.time() * 1000) if now is None else now
    ends = dict(cursor.execute("SELECT topic, arg_max(n, noted) FROM ends GROUP BY topic").fetchall())
    waiting = dict(
        cursor.execute(
            # a topic written in transactions ends with a mark that is no record
            """SELECT step, sum(greatest(0, e.n - r.next - r.marks)) FROM (SELECT step, topic, sum(next) AS next, count(*) AS marks FROM reached GROUP BY step, topic) r
               JOIN (SELECT topic, arg_max(n, noted) AS n FROM ends GROUP BY topic) e ON e.topic = regexp_replace(r.topic, '^.*\\.', '') GROUP BY step"""
        ).fetchall()
    )
    newest = cursor.execute("SELECT max(noted) FROM commits").fetchone()
    until = min(now, newest[0] + 5_000) if newest and newest[0] is not None else now
    stages = [_source(cursor, sources, ends, now)]
    seen = {
        step: (n, first, last)
        for step, n, first, last in cursor.execute(
            "SELECT step, sum(n) FILTER (noted > ?), min(noted) FILTER (noted > ?), max(noted) FROM commits GROUP BY step",
            [now - RECENT_MS] * 2,
        ).fetchall()
    }
    totals = dict(
        cursor.execute(
            """SELECT 'predictions', sum(n) FROM scores UNION ALL SELECT 'labels', sum(labelled + never) FROM quality
               UNION ALL SELECT 'drift', count(*) FROM checks UNION ALL SELECT 'retraining', count(DISTINCT run_id) FROM runs
               UNION ALL SELECT 'promotion', count(DISTINCT version) FROM deployments WHERE key = 'desired'"""
        ).fetchall()
    )
    totals["features"] = ends.get("features", 0)
    for name in WAY:
        n, first, last = seen.get(name, (None, None, None))
        rate = (n or 0) / max(1.0, min(RECENT_MS, now - (first or now)) / 1000) if n else 0.0
        lag = waiting.get(name)
        stages.append(
            Stage(name, rate, None if lag is None else int(lag), None if last is None else now - last, int(totals.get(name) or 0))
        )
    letters = _recent(cursor, "dead_letters", now)
    rates = frame(
        cursor,
        """SELECT s.step, b.slot AS noted, coalesce(sum(c.n), 0) / 15.0 AS rate
           FROM (SELECT unnest(range(0, 40)) AS slot) b CROSS JOIN (SELECT DISTINCT step FROM commits) s
           LEFT JOIN commits c ON c.step = s.step AND (c.noted - ?) // 15000 = b.slot GROUP BY ALL ORDER BY ALL""",
        [until - 10 * 60_000],
    )
    return Live(_sentence(stages, letters), stages, rates, letters, _recent(cursor, "late", now))


def _source(cursor: duckdb.DuckDBPyConnection, sources: list[str], ends: dict[str, int], now: int) -> Stage:
    spans = cursor.execute(
        """SELECT topic, arg_min(n, noted), arg_max(n, noted), min(noted), max(noted) FROM ends WHERE noted > ? GROUP BY topic""",
        [now - RECENT_MS],
    ).fetchall()
    rate = sum((last - first) / max(1.0, (until - since) / 1000) for topic, first, last, since, until in spans if topic in sources)
    grew = cursor.execute(
        f"""SELECT max(noted) FROM (SELECT noted, n > lag(n) OVER (PARTITION BY topic ORDER BY noted) AS grew FROM ends
            WHERE topic IN ({", ".join("?" * len(sources))})) WHERE grew""",
        sources,
    ).fetchone()
    idle = now - grew[0] if grew and grew[0] is not None else None
    return Stage("events", rate, None, idle, sum(ends.get(source, 0) for source in sources))


def _recent(cursor: duckdb.DuckDBPyConnection, table: str, now: int) -> int:
    row = cursor.execute(f"SELECT count(*) FROM {table} WHERE noted > ?", [now - 86_400_000]).fetchone()
    return row[0] if row else 0


def _sentence(stages: list[Stage], letters: int) -> str:
    features = next(stage for stage in stages if stage.name == "features")
    waiting = sum(stage.lag or 0 for stage in stages)
    dead = f"; {words.count(letters, 'dead letter')} today" if letters else "; no dead letters today"
    if features.idle_ms is None:
        return "Nothing has come in yet."
    behind = f"{waiting:,} waiting" if waiting else "nothing waiting"
    if features.idle_ms > RECENT_MS or max(stages[0].rate, features.rate) == 0:
        return f"No event for {words.age(features.idle_ms)}, {behind}{dead}."
    return f"{words.rate(max(stages[0].rate, features.rate))}, {words.age(features.idle_ms)} old, {behind}{dead}."


def on_flink(project: Project, now: int | None = None) -> str | None:
    """What is said of the features' job on Flink: state, checkpoints, restarts, lag; None where they run elsewhere."""
    now = int(time.time() * 1000) if now is None else now
    figures = next((one for one in read_statuses(project) if one.get("step") == "features" and "flink" in one), None)
    if figures is None:
        return None
    silent = now - int(figures.get("updated_at", 0))
    if silent > STALE_MS:
        return f"The features' job on Flink: no word for {words.age(silent)}. The last was: {figures['message']}."
    return f"The features run {figures['message']}; {int(figures.get('lag') or 0):,} records behind the last checkpoint."


def dead_letters(cursor: duckdb.DuckDBPyConnection, limit: int = 200) -> pd.DataFrame:
    return frame(cursor, "SELECT noted, source, reason, value FROM dead_letters ORDER BY noted DESC LIMIT ?", [limit])


def late(cursor: duckdb.DuckDBPyConnection, limit: int = 200) -> pd.DataFrame:
    """`missed` names the windows that had gone by without the event."""
    return frame(cursor, "SELECT noted, place, time, behind_ms, missed FROM late ORDER BY noted DESC LIMIT ?", [limit])
