"""Predictions: scores over time by version, the newest rows, one found by id or key."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pandas as pd

from dashboard import words
from dashboard.queries.window import Window, frame, placed
from dashboard.store.rows import BINS


@dataclass(frozen=True)
class Predictions:
    sentence: str
    density: pd.DataFrame  # time, low, high (score), n, share of its time bucket
    means: pd.DataFrame  # time, spell, version, n, mean, positive
    spells: pd.DataFrame  # version, since (time), n


def predictions(cursor: duckdb.DuckDBPyConnection, window: Window) -> Predictions | None:
    """None: there is no prediction yet."""
    spells = frame(
        cursor,
        """SELECT version, since, n FROM spells JOIN (SELECT spell, sum(n)::BIGINT AS n FROM scores_by_spell GROUP BY spell) ON spell = number
           ORDER BY number""",
    )
    if spells.empty:
        return None
    bounds = [window.start, window.end]
    density = frame(
        cursor,
        f"""SELECT time, bin / {BINS}.0 AS low, (bin + 1) / {BINS}.0 AS high, n, n / sum(n) OVER (PARTITION BY time) AS share
            FROM (SELECT hour // {window.step} * {window.step} AS time, bin, sum(n) AS n FROM scores WHERE hour BETWEEN ? AND ? GROUP BY ALL)
            ORDER BY ALL""",
        bounds,
    )
    means = frame(
        cursor,
        f"""SELECT time // {window.step} * {window.step} AS time, spell, version, sum(n)::BIGINT AS n, sum(score) / sum(n) AS mean,
                   sum(positive) / sum(n) AS positive FROM scores_by_spell WHERE time BETWEEN ? AND ? GROUP BY 1, 2, 3 ORDER BY ALL""",
        bounds,
    )
    last = spells.iloc[-1]
    sentence = f"{int(last.n):,} predictions by version {int(last.version)} since {words.day(int(last.since), window.zone)}"
    if len(spells) > 1:
        sentence += f", {int(spells.n.sum()):,} in all"
    placed(density, window.zone, "time")
    density["until"] = density["time"] + pd.Timedelta(milliseconds=window.step)
    return Predictions(sentence + ".", density, placed(means, window.zone, "time"), placed(spells, window.zone, "since"))


def any_row(cursor: duckdb.DuckDBPyConnection) -> bool:
    return cursor.execute("SELECT 1 FROM scores LIMIT 1").fetchone() is not None


def newest(cursor: duckdb.DuckDBPyConnection, zone: str, limit: int = 100) -> pd.DataFrame:
    rows = frame(
        cursor,
        """SELECT time, prediction_id, label_key, score, prediction, version FROM predictions
           WHERE time >= (SELECT max(newest) - 86400000 FROM scores) ORDER BY time DESC, prediction_id DESC LIMIT ?""",
        [limit],
    )
    return placed(rows, zone, "time")


def find(cursor: duckdb.DuckDBPyConnection, text: str, zone: str, limit: int = 50) -> pd.DataFrame:
    """Predictions whose id or label key is `text`, with their outcome where it is known."""
    rows = frame(
        cursor,
        """SELECT p.time, p.prediction_id, p.label_key, p.score, p.prediction, p.version, o.state, o.label, o.label_time
           FROM (SELECT * FROM predictions WHERE prediction_id = ? OR label_key = ? ORDER BY time DESC LIMIT ?) p
           LEFT JOIN outcomes o ON o.prediction_id = p.prediction_id ORDER BY p.time DESC""",
        [text.strip(), text.strip(), limit],
    )
    return placed(rows, zone, "time", "label_time")
