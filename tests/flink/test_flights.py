"""The example's flights of three January days through Flink, stopped and rescaled between: every feature is the embedded engine's."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.kafka.admin import ensure_topics
from streams.demo.data import load
from streams.features.offline import backfill
from streams.features.verify import verify
from streams.project import Project, load_project
from streams.supervisor.topics import wanted_topics
from streams.worker.connection import KafkaConnection
from tests.flink.conftest import FlinkProcess, feature_rows, send

pytestmark = [pytest.mark.flink, pytest.mark.broker, pytest.mark.timeout(600)]
EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
PARTITIONS = 2  # of the flights
OPEN = 50  # at the end so many flights may wait for the next event of the other sources
Row = dict[str, Any]


def make(folder: Path, bootstrap: str) -> Project:
    shutil.copytree(EXAMPLE, folder)
    toml = (folder / "driftline.toml").read_text()
    toml = toml.replace('name = "flights"', f'name = "flights{time.time_ns()}"\nbootstrap_servers = "{bootstrap}"')
    toml = toml.replace('key = "flight_id"', f'key = "flight_id"\npartitions = {PARTITIONS}', 1)
    (folder / "driftline.toml").write_text(toml + '\n[flink]\ncheckpoint_every = "1s"\n')
    project = load_project(folder)
    ensure_topics(project.kafka(), wanted_topics(project))
    return project


def rows_of(table: pa.Table) -> list[Row]:
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.int64()))
    return table.to_pylist()


def shuffled(rows: list[Row], draw: random.Random) -> list[Row]:
    """One row in twenty comes up to fifty rows after its place."""
    places = [place + (draw.randrange(50) if draw.random() < 0.05 else 0) for place in range(len(rows))]
    return [rows[place] for place in sorted(range(len(rows)), key=lambda place: places[place])]


def fly(project: Project, start: str, end: str) -> int:
    """The events of these days to their topics; how many flights."""
    draw, days, values = random.Random(start), load().between(start, end), {}
    for source, table in days.tables.items():
        rows = shuffled(rows_of(table), draw)
        partitions = PARTITIONS if source == "flights" else 1
        values |= {(source, part): [json.dumps(row).encode() for row in rows[part::partitions]] for part in range(partitions)}
    send(project, values)
    return days.flights.num_rows


def written(project: Project) -> dict[tuple[int, int], Row]:
    """The committed feature rows by the place of their flight."""
    rows = [row for _, row in feature_rows(project)]
    found = {(row["_partition"], row["_offset"]): row for row in rows}
    assert len(found) == len(rows), "two rows of one flight"
    return found


def test_the_flights_have_the_same_features_on_both_engines(
    broker: str, tmp_path: Path, start: Callable[[Project, int], FlinkProcess]
) -> None:
    project = make(tmp_path / "flights", broker)
    first_days = fly(project, "2013-01-01", "2013-01-03")
    one = start(project, 1)
    one.until(lambda: len(written(project)) > first_days // 2, 300)
    assert "Savepoint: file:" in one.stop()
    flights = first_days + fly(project, "2013-01-03", "2013-01-04")
    three = start(project, 3)
    three.until(lambda: len(written(project)) >= flights - OPEN, 300)
    assert "Savepoint: file:" in three.stop()

    flink, parity = written(project), verify(project)
    assert (parity.rows, parity.equal) == (len(flink), len(flink)), parity
    assert backfill(project, tmp_path / "embedded.parquet", KafkaConnection(project.kafka())).rows == flights
    embedded = {(row["_partition"], row["_offset"]): row for row in rows_of(pq.read_table(tmp_path / "embedded.parquet"))}
    names = [name for name in next(iter(embedded.values())) if not name.startswith("_")]
    assert len(names) > 50
    for place, row in flink.items():
        assert {name: row[name] for name in names} == {name: embedded[place][name] for name in names}
