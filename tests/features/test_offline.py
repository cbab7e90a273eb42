"""Served = recomputed = offline: one small project, three drivers."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connectors.kafka.admin import TopicSettings
from connectors.memory import MemoryBroker
from streams import pipeline
from streams.features.offline import backfill
from streams.features.verify import verify
from streams.project import Project, load_project
from streams.testing import Connection, Faults, put, values
from streams.worker.engine import Worker

TOML = """
name = "shop"
[sources.payments]
key = "card"
time = "at"
idle_after = "50ms"
partitions = 2
[sources.payments.fields]
card = "STRING"
at = "TIMESTAMP"
amount = "DOUBLE"
[sources.rates]
time = "at"
idle_after = "50ms"
[sources.rates.fields]
card = "STRING"
at = "TIMESTAMP"
rate = "DOUBLE"
[model]
"""
SQL = """
SELECT payments.card, amount, sum(amount) OVER hour AS spent, count(*) OVER hour AS times, avg(amount) OVER day AS usual, rates.rate
FROM payments
LAST JOIN rates ORDER BY rates.at ON payments.card = rates.card
WINDOW hour AS (PARTITION BY payments.card ORDER BY payments.at ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW),
       day AS (PARTITION BY payments.card ORDER BY payments.at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "driftline.toml").write_text(TOML)
    (tmp_path / "features.sql").write_text(SQL)
    return load_project(tmp_path)


@pytest.fixture
def broker(project: Project) -> MemoryBroker:
    made = MemoryBroker()
    own = {project.topic(name): TopicSettings(2 if name == "features" else 1) for name in ("features", "commits", "dead-letters", "late")}
    made.ensure_topics({**own, project.topic("payments"): TopicSettings(2), project.topic("rates"): TopicSettings(1)})
    return made


def payments(first: int, count: int, step: int = 61_000) -> list[bytes | None]:
    rows = range(first, first + count)
    return [json.dumps({"card": f"c{n % 7}", "at": n * step, "amount": n % 13 / 7 if n % 5 else None}).encode() for n in rows]


def rates(first: int, count: int) -> list[bytes | None]:
    return [json.dumps({"card": f"c{n % 7}", "at": n * 500_000, "rate": n / 3}).encode() for n in range(first, first + count)]


def serve(project: Project, made: MemoryBroker, faults: Faults | None = None) -> None:
    step = pipeline.build(project, "features")
    driver = Worker(step, Connection(made, faults), pipeline.readers(project, step.inputs), pipeline.settings(project, step))
    driver.run(until=driver.caught_up)


def fill(project: Project, made: MemoryBroker) -> None:
    for partition in range(2):
        put(made, project.topic("payments"), partition, payments(partition * 3, 300), watermark=10**9)
    put(made, project.topic("rates"), 0, rates(0, 40), watermark=10**9)


def test_served_rows_equal_the_log_bit_for_bit(project: Project, broker: MemoryBroker) -> None:
    fill(project, broker)
    serve(project, broker)
    put(broker, project.topic("payments"), 0, payments(100, 5))  # far behind: late
    put(broker, project.topic("payments"), 1, [b"{broken", *payments(700, 20)])
    serve(project, broker)
    found = verify(project, connection=Connection(broker))
    assert (found.rows, found.equal, found.different) == (625, 625, 0), found.differences[:5]
    assert len(values(broker, project.topic("late"))) == 25  # the new rows of both partitions are behind the watermark
    newest = verify(project, last=10, connection=Connection(broker))
    assert newest.equal == newest.rows == 19  # of the last 10 offsets of each partition one is a watermark


def test_each_difference_has_a_reason(project: Project, broker: MemoryBroker) -> None:
    fill(project, broker)
    serve(project, broker)
    served = [json.loads(value or b"") for value in values(broker, project.topic("features"))]
    for number, row in enumerate(served[:3]):
        if number == 0:
            row["spent"] = -1.0
        put(broker, project.topic("features"), row["_partition"], [json.dumps(row).encode()])
    found = verify(project, connection=Connection(broker))
    assert found.reasons["missing row"] == 3  # rows that are there twice
    (project.root / "features.sql").write_text(SQL.replace("1h PRECEDING", "2h PRECEDING"))
    changed = verify(project, connection=Connection(broker))
    assert changed.reasons["changed definition"] > 100 and changed.reasons["unexplained"] == 0
    (project.root / "features.sql").write_text(SQL)
    broker.delete_before((project.topic("payments"), 0), 150)
    cut = verify(project, connection=Connection(broker))
    assert cut.reasons["missing history"] > 0 and cut.reasons["unexplained"] == 0
    assert cut.reasons["missing row"] + cut.gone == 3 + 150  # of events that are gone nothing is missing
    assert cut.gone >= 150


def test_a_backfill_from_the_log_and_from_files_gives_the_served_rows(project: Project, broker: MemoryBroker, tmp_path: Path) -> None:
    fill(project, broker)
    serve(project, broker)
    done = backfill(project, tmp_path / "log.parquet", Connection(broker))
    assert done.rows == 600
    served = {(row["_partition"], row["_offset"]): row for row in map(json.loads, filter(None, values(broker, project.topic("features"))))}
    for row in pq.read_table(tmp_path / "log.parquet").to_pylist():
        assert served[row["_partition"], row["_offset"]] == row
    one = tmp_path / "payments.jsonl"
    one.write_bytes(b"".join((value or b"") + b"\n" for value in payments(0, 300)))
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(payments(300, 1)[0] + b'\n{"at": "no time"}\n')
    two = tmp_path / "rates.jsonl"
    two.write_bytes(b"".join((value or b"") + b"\n" for value in rates(0, 40)))
    written = backfill(project, tmp_path / "files.parquet", files={"payments": [str(one), str(bad)], "rates": [str(two)]})
    assert (written.rows, written.refusals.count) == (301, 1)
    assert written.refusals.first is not None
    assert written.refusals.first.startswith(f"{bad}, row 2: ")
    assert " at" in written.refusals.first
