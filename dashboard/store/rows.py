"""Records become rows: one function a topic, each given one batch and a DuckDB connection inside a transaction.

The topics with a row per event (features, predictions, outcomes) come as Arrow tables; the others as facts, one object a record.
Roll-ups are added to in the same transaction, so that a page never sums over a million rows.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from dashboard.store.tables import HOUR, MEASURES

BINS = 20  # of the score distribution
KEPT_FEATURE_ROWS = 2000
KEPT_SAMPLES_MS = 3 * 3_600_000


@dataclass(frozen=True)
class Fact:
    """One record of a low-rate topic. `at` is the record's timestamp; `raw` the value's bytes."""

    partition: int
    offset: int
    at: int
    key: str | None
    value: dict[str, Any] | None
    raw: bytes | None = None


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]], otherwise: str = "") -> None:
    if rows:
        columns = [pa.array(column) for column in zip(*rows, strict=True)]
        cursor.register("batch", pa.table(columns, names=[f"c{place}" for place in range(len(columns))]))
        cursor.execute(f"INSERT INTO {table} SELECT * FROM batch {otherwise}")
        cursor.unregister("batch")


def _text(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def put_predictions(cursor: duckdb.DuckDBPyConnection, table: pa.Table) -> None:
    cursor.register("batch", table)
    cursor.execute(
        """INSERT INTO predictions SELECT prediction_id, label_key, score, prediction, model, version, _time, predicted_at,
                  features_partition, features_offset, _plan FROM batch"""
    )
    cursor.execute(
        f"""INSERT INTO scores
            SELECT _time // {HOUR} * {HOUR}, version, greatest(0, least({BINS - 1}, floor(score * {BINS})))::INT, count(*),
                   count(*) FILTER (prediction), sum(score), max(_time), max(predicted_at)
            FROM batch WHERE score IS NOT NULL AND version IS NOT NULL GROUP BY ALL
            ON CONFLICT DO UPDATE SET n = n + excluded.n, positive = positive + excluded.positive, score = score + excluded.score,
                   newest = greatest(newest, excluded.newest), wall = greatest(wall, excluded.wall)"""
    )
    cursor.execute(
        """INSERT INTO takeovers
           SELECT part, pos, version,
                  greatest(time, (SELECT max(p.time) FROM predictions p WHERE p.features_partition = part AND p.features_offset < pos)), wall
           FROM (SELECT features_partition AS part, features_offset AS pos, version, _time AS time, predicted_at AS wall,
                        lag(version) OVER (PARTITION BY features_partition ORDER BY features_offset) AS before
                 FROM batch WHERE score IS NOT NULL AND version IS NOT NULL)
           LEFT JOIN (SELECT part, arg_max(version, pos) AS last FROM takeovers GROUP BY part) USING (part)
           WHERE version IS DISTINCT FROM coalesce(before, last)"""
    )
    cursor.unregister("batch")


def put_outcomes(cursor: duckdb.DuckDBPyConnection, table: pa.Table) -> None:
    cursor.register("batch", table)
    cursor.execute(
        """INSERT INTO outcomes SELECT prediction_id, label_key, score, prediction, version, _time, label, label_time, state FROM batch"""
    )
    cursor.execute(
        f"""INSERT INTO quality
            SELECT hour, version, sum(labelled), sum(never), sum(positive), sum(predicted), sum(log_loss), sum(brier),
                   max(_time) FILTER (labelled = 1), max(label_time)
            FROM (SELECT _time // {HOUR} * {HOUR} AS hour, version, _time, label_time, {MEASURES} FROM batch WHERE version IS NOT NULL)
            GROUP BY ALL
            ON CONFLICT DO UPDATE SET labelled = labelled + excluded.labelled, never = never + excluded.never,
                   positive = positive + excluded.positive, predicted = predicted + excluded.predicted,
                   log_loss = log_loss + excluded.log_loss, brier = brier + excluded.brier,
                   newest = greatest(newest, excluded.newest), label_newest = greatest(label_newest, excluded.label_newest)"""
    )
    cursor.unregister("batch")


def put_features(cursor: duckdb.DuckDBPyConnection, facts: Sequence[Fact]) -> None:
    """Only the newest rows are kept: what a distribution needs that is older stands in the drift checks."""
    rows = [
        (fact.partition, fact.offset, value.get("_partition"), value.get("_offset"), value.get("_time", fact.at), _text(value))
        for fact in facts[-KEPT_FEATURE_ROWS:]
        if (value := fact.value) is not None
    ]
    _insert(cursor, "feature_rows", rows)
    cursor.execute(
        f"""DELETE FROM feature_rows WHERE pos <= (SELECT max(f.pos) - {KEPT_FEATURE_ROWS} FROM feature_rows f
            WHERE f.part = feature_rows.part)"""
    )


def put_drift(cursor: duckdb.DuckDBPyConnection, facts: Sequence[Fact]) -> None:
    checks, features = [], []
    for fact in facts:
        check = fact.value
        if check is None:
            continue
        alarm = check.get("alarm") or {}
        identity, start, end = check.get("check_id", fact.key), check.get("start"), check.get("end")
        checks.append(
            (
                identity,
                check.get("kind"),
                start,
                end,
                check.get("rows"),
                alarm.get("kind"),
                alarm.get("reason"),
                _text(check),
                fact.partition,
                fact.offset,
            )
        )
        features += [(identity, start, end, *_feature(feature)) for feature in check.get("features") or ()]
    _insert(cursor, "checks", checks)
    _insert(cursor, "check_features", features)


def _feature(feature: dict[str, Any]) -> tuple[Any, ...]:
    """`reach` is the distance in units of the largest one the reference's own weeks ever had: above 1 is unusual."""
    psi, limit = feature.get("psi"), feature.get("limit")
    reach = psi / limit if psi is not None and limit else None
    current = feature.get("current") or {}
    return (
        feature.get("name"),
        reach,
        feature.get("adjusted"),
        bool(feature.get("drifted", feature.get("suspect"))),
        bool(feature.get("ignored")),
        feature.get("missing"),
        feature.get("outside"),
        *(quantile(current, share) for share in (0.1, 0.5, 0.9)),
        quantile(feature.get("reference") or {}, 0.5),
        _text(feature),
    )


def quantile(sketch: dict[str, Any], share: float) -> float | None:
    """A quantile of a recorded sketch of numbers, linear within its bar; None for words, for no rows, and outside the bars.

    Whole where all edges are: there is no half of a flag or a count.
    """
    edges, counts, outside = sketch.get("edges"), sketch.get("counts"), sketch.get("outside") or 0
    if not edges or not counts or not sum(counts) + outside:
        return None
    left = share * (sum(counts) + outside) - (sketch.get("below") or 0)
    if left < 0:
        return None
    for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True):
        if n and left <= n:
            found = low * (1 - left / n) + high * (left / n)
            return float(math.ceil(found)) if all(edge % 1 == 0 for edge in edges) else found
        left -= n
    return None


def put_runs(cursor: duckdb.DuckDBPyConnection, facts: Sequence[Fact]) -> None:
    _insert(
        cursor,
        "runs",
        [
            (
                run.get("run_id", fact.key),
                run.get("state"),
                run.get("at"),
                run.get("as_of"),
                run.get("version"),
                _text(run),
                fact.partition,
                fact.offset,
            )
            for fact in facts
            if (run := fact.value) is not None
        ],
    )


def put_deployments(cursor: duckdb.DuckDBPyConnection, facts: Sequence[Fact]) -> None:
    _insert(
        cursor,
        "deployments",
        [
            (body.get("role", fact.key), body.get("version"), body.get("at") or fact.at, _text(body), fact.partition, fact.offset)
            for fact in facts
            if (body := fact.value) is not None
        ],
    )


def put_commits(cursor: duckdb.DuckDBPyConnection, facts: Sequence[Fact]) -> None:
    """Only the newest commits are kept; beside them, of each topic how many rows a step took in all and when the newest, and the offsets reached."""
    commits = []
    taken: dict[tuple[str, str], tuple[str, str, int, int]] = {}
    reached: dict[tuple[str, str, int], tuple[str, str, int, int, int]] = {}
    for fact in facts:
        commit = fact.value
        if commit is None:
            continue
        step, noted = str(commit.get("step", fact.key)), commit.get("at") or fact.at
        for topic, part, _, end in commit.get("ranges") or ():
            reached[step, topic, part] = (step, topic, part, end, noted)
        for topic, rows in (commit.get("taken") or {"": 0}).items():  # one without rows is a commit too
            commits.append((noted, step, topic, rows))
            if rows:
                _, _, before, newest = taken.get((step, topic), (step, topic, 0, noted))
                taken[step, topic] = (step, topic, before + rows, max(newest, noted))
    _insert(cursor, "commits", commits)
    _insert(cursor, "taken", list(taken.values()), "ON CONFLICT DO UPDATE SET n = n + excluded.n, noted = greatest(noted, excluded.noted)")
    _insert(
        cursor, "reached", list(reached.values()), "ON CONFLICT DO UPDATE SET next = greatest(next, excluded.next), noted = excluded.noted"
    )
    cursor.execute("DELETE FROM commits WHERE noted < (SELECT max(noted) FROM commits) - ?", [KEPT_SAMPLES_MS])


def put_dead_letters(cursor: duckdb.DuckDBPyConnection, facts: Sequence[Fact]) -> None:
    _insert(
        cursor,
        "dead_letters",
        [
            (
                fact.partition,
                fact.offset,
                letter.get("at", fact.at),
                letter.get("source"),
                letter.get("reason"),
                _shown(letter.get("value")),
            )
            for fact in facts
            if (letter := fact.value) is not None
        ],
    )


def _shown(value: str | None) -> str | None:
    """The bytes of a dead letter as text, cut where a table would be."""
    if value is None:
        return None
    text = base64.b64decode(value).decode("utf-8", "replace")
    return text if len(text) <= 2000 else text[:2000] + "…"


def put_late(cursor: duckdb.DuckDBPyConnection, facts: Sequence[Fact]) -> None:
    _insert(
        cursor,
        "late",
        [
            (
                fact.partition,
                fact.offset,
                late.get("at", fact.at),
                late.get("place"),
                late.get("time"),
                late.get("behind_ms"),
                ", ".join(late.get("missed") or ()),
            )
            for fact in facts
            if (late := fact.value) is not None
        ],
    )


FACTS: dict[str, Callable[[duckdb.DuckDBPyConnection, Sequence[Fact]], None]] = {
    "features": put_features,
    "drift": put_drift,
    "runs": put_runs,
    "deployments": put_deployments,
    "commits": put_commits,
    "dead-letters": put_dead_letters,
    "late": put_late,
}
TABLES: dict[str, Callable[[duckdb.DuckDBPyConnection, pa.Table], None]] = {
    "predictions": put_predictions,
    "outcomes": put_outcomes,
}
