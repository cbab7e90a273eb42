"""The demo's project folder: the flights example, its events as files, and a replay of them that `driftline up` takes up."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.demo import data
from streams.produce.replays import Replay
from streams.project import FILE, Project, load_project
from streams.supervisor.init import init

START, END = "2013-01-01", "2013-09-01"  # of the announcements that are replayed, UTC
AFTER = pd.Timedelta(days=4)  # weather goes on so long, until nothing is waited for any more


def lay_out(folder: Path, *, triggers: tuple[str, ...] | None = None, approve: str | None = None) -> Project:
    """The flights example in `folder`, with other triggers and another approval if wished; a project that is there is left as it is."""
    if not (folder / FILE).exists():
        init(folder, "flights")
        text = (folder / FILE).read_text(encoding="utf-8")
        (folder / FILE).write_text(_changed(text, triggers, approve), encoding="utf-8")
    return load_project(folder)


def _changed(text: str, triggers: tuple[str, ...] | None, approve: str | None) -> str:
    lines = []
    for line in text.splitlines():
        if triggers is not None and line.startswith("triggers = "):
            line = f"triggers = {json.dumps(list(triggers))}"
        lines.append(line)
        if approve is not None and line == "[promotion]":
            lines.append(f'approve = "{approve}"')
    return "\n".join(lines) + "\n"


def events(start: str = START, end: str = END, flights: data.Flights | None = None) -> data.Flights:
    """The flights announced in [start, end), all that became of them, and the weather meanwhile and a few days longer.

    The weather of the days after tells every source that event time goes on, so that labels which never come are known to.
    """
    year = flights or data.load()
    announced = year.between(start, end).flights
    known = announced.column("flight_id")

    def of_these(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table.column("flight_id"), value_set=known.combine_chunks()))

    weather = year.between(start, pd.Timestamp(end) + AFTER).weather
    return data.Flights(announced, of_these(year.departures), of_these(year.arrivals), weather)


def write(project: Project, flights: data.Flights, *, speed: float | None = None, speed_from: int | None = None) -> Replay:
    """The events as files under .driftline/demo, and the replay of them, begun by nobody yet. Written once."""
    place = project.state_dir / "demo"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    files = {}
    for name, table in flights.tables.items():
        file = place / f"{name}.parquet"
        pq.write_table(table, file)
        files[name] = (str(file),)
    replay = Replay(files, speed=speed, speed_from=speed_from)
    to = project.state_dir / "replays" / f"{replay.id}.json"
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(asdict(replay), indent=1))
    return replay
