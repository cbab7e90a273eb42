"""The window of event time a page looks at, and how event time is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

DAY = 86_400_000
PERIODS: dict[str, int | None] = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY, "all": None}
STEPS = (3_600_000, 3 * 3_600_000, 6 * 3_600_000, 12 * 3_600_000, DAY, 2 * DAY, 7 * DAY)


@dataclass(frozen=True)
class Window:
    """[start, end) in milliseconds of event time; `step` is the width of one time bucket of a picture."""

    start: int
    end: int
    step: int
    zone: str

    def holds(self, at: int | None) -> bool:
        return at is not None and self.start <= at <= self.end


def newest(cursor: duckdb.DuckDBPyConnection) -> int | None:
    """Event time of the newest prediction, or of the newest check where there is none yet."""
    row = cursor.execute("SELECT greatest((SELECT max(newest) FROM scores), (SELECT max(ends) FROM checks))").fetchone()
    return row[0] if row else None


def window(cursor: duckdb.DuckDBPyConnection, period: str, zone: str, buckets: int = 45) -> Window:
    """The last `period` up to the newest event."""
    end = newest(cursor) or 0
    span = PERIODS.get(period)
    if span is None:
        row = cursor.execute("SELECT least((SELECT min(hour) FROM scores), (SELECT min(starts) FROM checks))").fetchone()
        span = max(DAY, end - (row[0] if row and row[0] is not None else end))
    step = next((step for step in STEPS if span / step <= buckets), STEPS[-1])
    return Window(end - span, end, step, zone)


def frame(cursor: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> pd.DataFrame:
    return cursor.execute(query, parameters or []).df()


def placed(table: pd.DataFrame, zone: str, *columns: str) -> pd.DataFrame:
    """Milliseconds become wall-clock times of the zone, without a zone: what an axis shows."""
    for column in columns:
        if column in table:
            times = pd.to_datetime(table[column], unit="ms", utc=True)
            table[column] = times.dt.tz_convert(zone).dt.tz_localize(None)
    return table
