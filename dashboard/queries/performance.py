"""Labels and performance: measured against estimated and reference, by version and segment, and how far the labels are behind."""

from __future__ import annotations

import json
from dataclasses import dataclass

import duckdb
import pandas as pd

from dashboard import words
from dashboard.queries.pointer import pointer
from dashboard.queries.window import Window, frame, placed

METRICS = {"log_loss": "Log loss", "brier": "Brier score", "auc": "AUC", "rate": "Rate"}
LOWER_IS_BETTER = ("log_loss", "brier")


@dataclass(frozen=True)
class Performance:
    """`measured` has time, value, low, high; `estimated` time, value; `reference` value, low, high (one row) or is empty."""

    sentence: str
    measured: pd.DataFrame
    estimated: pd.DataFrame
    reference: pd.DataFrame
    marks: pd.DataFrame  # time, kind (alarm, retraining, version), text
    labels: pd.DataFrame  # time, labelled, never, waiting
    behind_ms: int | None
    silent: bool


def performance(
    cursor: duckdb.DuckDBPyConnection,
    window: Window,
    metric: str = "log_loss",
    maturity_ms: int | None = None,
    segment: tuple[str, str] | None = None,
) -> Performance | None:
    """None: no prediction has been made yet."""
    newest, labelled = cursor.execute("SELECT (SELECT max(newest) FROM scores), (SELECT max(newest) FROM quality)").fetchone() or (
        None,
        None,
    )
    if newest is None:
        return None
    name = "observed" if metric == "rate" else metric
    where = ("performance",) if segment is None else ("segments", *segment)
    measured = frame(
        cursor,
        f"""SELECT ends AS time, {_of(where, name)} AS value, {_of(where, name + "_low")} AS low, {_of(where, name + "_high")} AS high, n,
                   check_id FROM checks WHERE kind = 'performance' AND ends BETWEEN ? AND ? AND value IS NOT NULL ORDER BY ends""",
        [window.start, window.end],
    )
    expected = (where, "predicted") if metric == "rate" else (("performance", "estimated"), metric) if segment is None else None
    columns = [_of(expected[0], expected[1] + end) if expected else "CAST(NULL AS DOUBLE)" for end in ("", "_low", "_high")]
    estimated = frame(
        cursor,
        f"""SELECT ends AS time, {columns[0]} AS value, {columns[1]} AS low, {columns[2]} AS high
            FROM checks WHERE kind = 'performance' AND ends BETWEEN ? AND ? AND value IS NOT NULL ORDER BY ends""",
        [window.start, window.end],
    )
    base = ("performance", "reference")
    reference = frame(
        cursor,
        f"""SELECT {_of(base, name)} AS value, {_of(base, name + "_low")} AS low, {_of(base, name + "_high")} AS high
            FROM checks WHERE kind = 'performance' AND value IS NOT NULL ORDER BY ends DESC LIMIT 1""",
    )
    behind = None if labelled is None else max(0, newest - labelled)
    waiting = cursor.execute("SELECT (SELECT sum(n) FROM scores) - (SELECT sum(labelled + never) FROM quality)").fetchone()
    silent = labelled is None or (maturity_ms is not None and behind is not None and behind > maturity_ms)
    return Performance(
        _sentence(metric, measured, reference, behind, int(waiting[0] or 0) if waiting else 0),
        placed(measured, window.zone, "time"),
        placed(estimated, window.zone, "time"),
        reference,
        marks(cursor, window),
        _labels(cursor, window),
        behind,
        silent,
    )


def _of(where: tuple[str, ...], name: str) -> str:
    """A number of the record."""
    place = pointer(*where, name).replace("'", "''")
    return f"TRY_CAST(body->>'{place}' AS DOUBLE)"


def _sentence(metric: str, measured: pd.DataFrame, reference: pd.DataFrame, behind: int | None, waiting: int) -> str:
    if behind is None:
        return "No label has come yet: quality is not known."
    if behind >= 60_000:
        late = f"labels are {words.age(behind)} behind"
    elif waiting > 0:
        late = f"labels come, {words.count(waiting, 'prediction')} without one yet"
    else:
        late = "labels are up to date"
    if measured.empty:
        return f"Quality has not been checked in this window; {late}."
    text = f"{METRICS[metric]} {words.figure(float(measured['value'].iloc[-1]))}"
    if not reference.empty:
        text += f" against {words.figure(float(reference['value'].iloc[0]))} in the reference"
    return f"{text}; {late}."


def any_row(cursor: duckdb.DuckDBPyConnection) -> bool:
    return cursor.execute("SELECT 1 FROM scores LIMIT 1").fetchone() is not None


def segment_names(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """`carrier: UA` and so on, as the newest check has them, those with most rows first."""
    row = cursor.execute("SELECT arg_max(body, ends) FROM checks WHERE kind = 'performance'").fetchone()
    found = (json.loads(row[0]).get("segments") or {}) if row and row[0] else {}
    pairs = [(numbers.get("rows") or 0, f"{segment}: {value}") for segment, values in found.items() for value, numbers in values.items()]
    return [name for _, name in sorted(pairs, reverse=True)[:60]]


def marks(cursor: duckdb.DuckDBPyConnection, window: Window) -> pd.DataFrame:
    """Alarms, retrainings and takeovers, in event time."""
    rows = frame(
        cursor,
        """SELECT ends AS time, 'alarm' AS kind, coalesce(reason, alarm) AS text FROM checks WHERE alarm IS NOT NULL
           UNION ALL SELECT max(as_of), 'retraining', 'Retraining (' || arg_max(state, pos) || ')' FROM runs GROUP BY run_id
           UNION ALL SELECT since, 'version', 'Version ' || version FROM spells""",
    )
    rows = rows[rows["time"].between(window.start, window.end)]
    return placed(rows.reset_index(drop=True), window.zone, "time")


def _labels(cursor: duckdb.DuckDBPyConnection, window: Window) -> pd.DataFrame:
    """Predictions by what is known of them: labelled, never, waiting."""
    rows = frame(
        cursor,
        f"""SELECT p.time, coalesce(labelled, 0)::BIGINT AS labelled, coalesce(never, 0)::BIGINT AS never,
                   greatest(0, n - coalesce(labelled, 0) - coalesce(never, 0))::BIGINT AS waiting
            FROM (SELECT hour // {window.step} * {window.step} AS time, sum(n) AS n FROM scores GROUP BY 1) p
            LEFT JOIN (SELECT hour // {window.step} * {window.step} AS time, sum(labelled) AS labelled, sum(never) AS never
                       FROM quality GROUP BY 1) q ON q.time = p.time WHERE p.time BETWEEN ? AND ? ORDER BY 1""",
        [window.start // window.step * window.step, window.end],
    )
    return placed(rows, window.zone, "time")


def segments(cursor: duckdb.DuckDBPyConnection, window: Window) -> pd.DataFrame:
    """By segment in the newest check of the window, its values with most rows first: segment, value, rows, log_loss, brier, observed, predicted."""
    row = cursor.execute(
        "SELECT arg_max(body, ends) FROM checks WHERE kind = 'performance' AND ends BETWEEN ? AND ?", [window.start, window.end]
    ).fetchone()
    named = (json.loads(row[0]).get("segments") or {}) if row and row[0] else {}
    rows = [
        {"segment": segment, "value": value, **{name: numbers.get(name) for name in ("rows", "log_loss", "brier", "observed", "predicted")}}
        for segment, values in named.items()
        for value, numbers in values.items()
        if numbers.get("rows")
    ]
    found = pd.DataFrame(rows, columns=["segment", "value", "rows", "log_loss", "brier", "observed", "predicted"])
    return found.sort_values(["segment", "rows", "value"], ascending=[True, False, True])


def by_version(cursor: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The quality each version had while it served, all its spells together."""
    return frame(
        cursor,
        """SELECT version, sum(labelled)::BIGINT AS labelled, sum(log_loss) / nullif(sum(labelled), 0) AS log_loss,
                  sum(brier) / nullif(sum(labelled), 0) AS brier, sum(positive) / nullif(sum(labelled), 0) AS observed,
                  sum(predicted) / nullif(sum(labelled), 0) AS predicted FROM quality GROUP BY version ORDER BY version""",
    )


def over_time(cursor: duckdb.DuckDBPyConnection, window: Window) -> pd.DataFrame:
    """Log loss per day and spell of a version."""
    rows = frame(
        cursor,
        """SELECT time // 86400000 * 86400000 AS time, spell, version, sum(labelled)::BIGINT AS n, sum(log_loss) / sum(labelled) AS log_loss
           FROM quality_by_spell WHERE time BETWEEN ? AND ? GROUP BY 1, 2, 3 HAVING sum(labelled) >= 20 ORDER BY ALL""",
        [window.start, window.end],
    )
    return placed(rows, window.zone, "time")
