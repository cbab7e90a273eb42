"""Live: the way of an event, with rates, lag and age per step."""

from __future__ import annotations

import time
from collections import Counter
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
SHORT = "regexp_replace(topic, '^.*\\.', '')"  # of a topic's name


@dataclass(frozen=True)
class Stage:
    """One box of the way. `lag` is records waiting on the broker, None where it is not known. Features count the events they took."""

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
    reads = _reads(cursor, ends)
    waiting: Counter[str] = Counter()
    for read in reads:
        waiting[read.step] += read.waiting
    newest = cursor.execute("SELECT max(noted) FROM commits").fetchone()
    until = min(now, newest[0] + 5_000) if newest and newest[0] is not None else now
    rates = {
        (step, topic): n / max(1.0, min(RECENT_MS, now - first) / 1000)
        for step, topic, n, first in cursor.execute(
            f"SELECT step, {SHORT}, sum(n), min(min(noted)) OVER (PARTITION BY step) FROM commits WHERE noted > ? GROUP BY step, topic",
            [now - RECENT_MS],
        ).fetchall()
    }
    # commits are kept for some hours only: a step may have been silent for longer
    taken = {(step, topic): n for step, topic, n in cursor.execute(f"SELECT step, {SHORT}, n FROM taken").fetchall()}
    newest_of = dict(cursor.execute("SELECT step, max(noted) FROM taken GROUP BY step").fetchall())
    totals = dict(
        cursor.execute(
            """SELECT 'predictions', sum(n) FROM scores UNION ALL SELECT 'labels', sum(labelled + never) FROM quality
               UNION ALL SELECT 'drift', count(*) FROM checks UNION ALL SELECT 'retraining', count(DISTINCT run_id) FROM runs
               UNION ALL SELECT 'promotion', count(DISTINCT version) FROM deployments WHERE key = 'desired'"""
        ).fetchall()
    )
    totals["features"] = sum(n for (step, _), n in taken.items() if step == "features")
    stages = []
    for name in WAY:
        rate = sum(rate for (step, _), rate in rates.items() if step == name)
        last = newest_of.get(name)
        stages.append(Stage(name, rate, waiting.get(name), None if last is None else now - last, int(totals.get(name) or 0)))
    stages.insert(0, _events(cursor, sources, ends, reads, rates, taken, now))
    letters = _recent(cursor, "dead_letters", now)
    drawn = frame(
        cursor,
        """SELECT s.step, b.slot AS noted, coalesce(sum(c.n), 0) / 15.0 AS rate
           FROM (SELECT unnest(range(0, 40)) AS slot) b CROSS JOIN (SELECT DISTINCT step FROM commits) s
           LEFT JOIN commits c ON c.step = s.step AND (c.noted - ?) // 15000 = b.slot GROUP BY ALL ORDER BY ALL""",
        [until - 10 * 60_000],
    )
    return Live(_sentence(stages, letters), stages, drawn, letters, _recent(cursor, "late", now))


@dataclass(frozen=True)
class _Read:
    """A topic that a step reads, and the records there that it has not read yet."""

    step: str
    topic: str
    waiting: int


def _reads(cursor: duckdb.DuckDBPyConnection, ends: dict[str, int]) -> list[_Read]:
    found = cursor.execute(f"SELECT step, {SHORT}, sum(next)::BIGINT, count(*) FROM reached GROUP BY ALL").fetchall()
    # a topic written in transactions ends with a mark that is no record
    return [_Read(step, topic, max(0, ends.get(topic, 0) - reached - marks)) for step, topic, reached, marks in found]


def _events(
    cursor: duckdb.DuckDBPyConnection,
    sources: list[str],
    ends: dict[str, int],
    reads: list[_Read],
    rates: dict[tuple[str, str], float],
    taken: dict[tuple[str, str], int],
    now: int,
) -> Stage:
    """Counted by the steps that read the sources, as offsets count the marks of transactions too; those that wait, by offsets.

    `rates` and `taken` have the rows that a step takes of a topic in a second, and took in all.
    """
    rate, total = 0.0, 0
    unread = set(sources)
    for read in sorted((read for read in reads if read.topic in unread), key=lambda read: WAY.index(read.step)):
        if read.topic in unread:
            rate += rates.get((read.step, read.topic), 0.0)
            total += taken.get((read.step, read.topic), 0) + read.waiting
            unread.remove(read.topic)
    grew = cursor.execute(
        f"""SELECT max(noted) FROM (SELECT noted, n > lag(n) OVER (PARTITION BY topic ORDER BY noted) AS grew FROM ends
            WHERE topic IN ({", ".join("?" * len(sources))})) WHERE grew""",
        sources,
    ).fetchone()
    idle = now - grew[0] if grew and grew[0] is not None else None
    return Stage("events", rate, None, idle, total + sum(ends.get(source, 0) for source in unread))


def _recent(cursor: duckdb.DuckDBPyConnection, table: str, now: int) -> int:
    row = cursor.execute(f"SELECT count(*) FROM {table} WHERE noted > ?", [now - 86_400_000]).fetchone()
    return row[0] if row else 0


def _sentence(stages: list[Stage], letters: int) -> str:
    features = next(stage for stage in stages if stage.name == "features")
    waiting = sum(stage.lag or 0 for stage in stages)
    dead = f"; {words.count(letters, 'dead letter')} today" if letters else "; no dead letters today"
    if stages[0].total == 0:
        return "Nothing has come in yet."
    if features.idle_ms is None:
        return f"No event has been taken yet, {stages[0].total:,} waiting{dead}."
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
