"""The features of the flights project by DuckDB, as joins of every flight with what had happened in each span before it: another engine
and another way than the one under test."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

KEYS = {"origin": ("origin",), "carrier": ("carrier",), "hub": ("origin", "carrier"), "dest": ("dest",), "plane": ("tailnum",)}
DELAY = {"dep": ("departures", "dep_delay", "departed_at"), "arr": ("arrivals", "arr_delay", "arrived_at")}


def features(tables: Mapping[str, pa.Table]) -> pa.Table:
    """One row per flight, ordered by announcement, with the columns of examples/flights/features.sql in any order."""
    con = duckdb.connect()
    for name, table in tables.items():
        con.register(name, table)
    con.execute("CREATE TABLE f AS SELECT *, row_number() OVER (ORDER BY known_at, flight_id) AS place FROM flights")
    con.execute(_weather())
    parts = ["w"]
    for key, columns in KEYS.items():
        for kind in DELAY:
            con.execute(f"CREATE TABLE {key}_{kind} AS {_windows(key, columns, kind)}")
            parts.append(f"{key}_{kind}")
    con.execute(f"CREATE TABLE announced AS {_announced()}")
    joins = " ".join(f"JOIN {part} USING (place)" for part in [*parts, "announced"])
    answer = con.sql(
        f"""SELECT * EXCLUDE (place, known_at, tailnum, flight, scheduled_departure, scheduled_arrival),
                   (epoch_ms(scheduled_arrival) - epoch_ms(scheduled_departure)) / 60000.0 AS planned_minutes
            FROM f {joins} ORDER BY f.place"""
    )
    return answer.to_arrow_table()


def _weather() -> str:
    values = "temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib"
    return f"""CREATE TABLE w AS SELECT place, {values} FROM f ASOF LEFT JOIN weather ON f.origin = weather.origin AND f.known_at >= weather.observed_at"""


def _windows(key: str, columns: tuple[str, ...], kind: str) -> str:
    source, delay, time = DELAY[kind]
    same = " AND ".join(f"f.{column} IS NOT DISTINCT FROM e.{column}" for column in columns)
    count = "departed" if kind == "dep" else "landed"
    since = "departure" if kind == "dep" else "landing"
    found = []
    for hours in (1, 3, 24):
        here = f"FILTER (e.{time} >= f.known_at - INTERVAL {hours} HOUR)"
        found += [
            f"avg(e.{delay}) {here} AS {key}_{kind}_delay_{hours}h",
            f"avg(CASE WHEN e.{delay} > 15 THEN 1.0 ELSE 0.0 END) {here} AS {key}_{kind}_late_{hours}h",
            f"max(e.{delay}) {here} AS {key}_{kind}_delay_max_{hours}h",
            f"count(e.{delay}) {here} AS {key}_{count}_{hours}h",
        ]
    newest = f"arg_max(e.{delay}, (e.{time}, e.flight_id))"
    found += [
        f"{newest} AS {key}_{kind}_delay_last",
        f"(epoch_ms(f.known_at) - max(epoch_ms(e.{time}))) / 60000.0 AS {key}_minutes_since_{since}",
    ]
    return f"""SELECT f.place, {", ".join(found)} FROM f LEFT JOIN {source} e
               ON {same} AND e.{time} BETWEEN f.known_at - INTERVAL 24 HOUR AND f.known_at GROUP BY f.place, f.known_at"""


def _announced() -> str:
    """Flights announced before this one, and it; those of the same moment that come later in the log do not count."""
    found = []
    for key in ("origin", "carrier"):
        for hours in (1, 3):
            before = f"e.known_at >= f.known_at - INTERVAL {hours} HOUR AND e.place <= f.place"
            found.append(f"(SELECT count(*) FROM f e WHERE e.{key} = f.{key} AND {before}) AS {key}_announced_{hours}h")
    return f"SELECT place, {', '.join(found)} FROM f"
