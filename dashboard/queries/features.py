"""Features: what is served now, and the history of the one chosen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from dashboard import words
from dashboard.queries.pointer import pointer
from dashboard.queries.window import Window, frame, placed


@dataclass(frozen=True)
class Features:
    """`table` has feature, kind, empty (share of the newest rows), lowest, middle, highest, moved."""

    table: pd.DataFrame
    rows: int
    newest: int | None
    plan: str | None


def features(cursor: duckdb.DuckDBPyConnection, limit: int = 2000) -> Features | None:
    """None: no feature row has been written yet."""
    rows = cursor.execute("SELECT body FROM feature_rows ORDER BY pos DESC LIMIT ?", [limit]).fetchall()
    if not rows:
        return None
    bodies = [json.loads(body) for (body,) in rows]
    names = [name for name in bodies[0] if not name.startswith("_")]
    moved = dict(cursor.execute("SELECT feature, moved FROM check_features WHERE ends = (SELECT max(ends) FROM check_features)").fetchall())
    lines = []
    for name in names:
        values = [body.get(name) for body in bodies]
        known = [value for value in values if value is not None]
        numeric = bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
        line: dict[str, Any] = {
            "feature": name,
            "kind": "number" if numeric else "text" if known else "empty",
            "empty": 1 - len(known) / len(values),
        }
        if numeric:
            series = pd.Series(known, dtype=float)
            line |= {
                "lowest": words.sensible(series.min()),
                "middle": words.sensible(series.median()),
                "highest": words.sensible(series.max()),
            }
        elif known:
            common = pd.Series([str(value) for value in known]).value_counts()
            line |= {"lowest": "", "middle": str(common.index[0]), "highest": words.count(len(common), "value")}
        line["moved"] = "moved" if moved.get(name) else "" if name in moved else "not watched"
        lines.append(line)
    newest = cursor.execute("SELECT max(time) FROM feature_rows").fetchone()
    return Features(pd.DataFrame(lines), len(bodies), newest[0] if newest else None, bodies[0].get("_plan"))


def sentence(number: int, verified: dict[str, Any] | None) -> str:
    """`verified` is the last answer of a verification, None where there was none."""
    if not verified or "rows" not in verified:
        return f"{number} features; not compared with their offline values yet."
    if verified.get("different"):
        return f"{number} features; {words.count(verified['different'], 'value')} of the last {verified['rows']:,} rows differ from their offline values."
    return f"{number} features, all equal to their offline values in the last {verified['rows']:,} rows."


def any_row(cursor: duckdb.DuckDBPyConnection) -> bool:
    return cursor.execute("SELECT 1 FROM feature_rows LIMIT 1").fetchone() is not None


def names(cursor: duckdb.DuckDBPyConnection, key: str | None = None) -> list[str]:
    """The columns of the newest row, those that moved most first; `key`, which identifies a row, last."""
    row = cursor.execute("SELECT body FROM feature_rows ORDER BY time DESC LIMIT 1").fetchone()
    known = [name for name in json.loads(row[0]) if not name.startswith("_")] if row else []
    reach = dict(cursor.execute("SELECT feature, reach FROM check_features WHERE ends = (SELECT max(ends) FROM check_features)").fetchall())
    return sorted(known, key=lambda name: (name == key, name not in reach, -(reach.get(name) or 0.0)))


def values(cursor: duckdb.DuckDBPyConnection, feature: str, limit: int = 2000) -> pd.DataFrame:
    """The newest values of one feature: column `value`, numbers where they are numbers."""
    rows = frame(cursor, "SELECT time, body->>? AS value FROM feature_rows ORDER BY pos DESC LIMIT ?", [pointer(feature), limit])
    numbers = pd.to_numeric(rows["value"], errors="coerce")
    if numbers.notna().sum() == rows["value"].notna().sum() and len(rows):
        rows["value"] = numbers
    return rows


def history(cursor: duckdb.DuckDBPyConnection, feature: str, window: Window) -> pd.DataFrame:
    """Per check: middle value with the band of the middle 80 %, share of empty ones; from the sketches the drift step recorded."""
    rows = frame(
        cursor,
        """SELECT ends AS time, low, middle, high, usual, missing, reach, moved FROM check_features
           WHERE feature = ? AND ends BETWEEN ? AND ? ORDER BY ends""",
        [feature, window.start, window.end],
    )
    return placed(rows, window.zone, "time")


def findings(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """What the newest check of data quality met: name, what (missing, new words, out of range), share, usual."""
    row = cursor.execute("SELECT arg_max(body, ends) FROM checks WHERE kind = 'quality'").fetchone()
    return list(json.loads(row[0]).get("findings") or ()) if row and row[0] else []
