"""The events behind a feature row, as `why` finds them: as many as the row counted, whatever the records' own times are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from connectors.kafka.admin import TopicSettings
from connectors.memory import MemoryBroker
from streams import pipeline
from streams.features.step import plan_of
from streams.pipeline import reader
from streams.predictions.why import _event, _prediction
from streams.predictions.windows import window_events
from streams.project import Project, load_project
from streams.testing import Connection, put, values
from streams.worker.engine import Worker

TOML = """
name = "shop"
[sources.payments]
key = "card"
time = "at"
lateness = "2m"
idle_after = "50ms"
partitions = 2
[sources.payments.fields]
card = "STRING"
at = "TIMESTAMP"
[sources.refunds]
time = "at"
idle_after = "50ms"
[sources.refunds.fields]
card = "STRING"
at = "TIMESTAMP"
[model]
"""
SQL = """
SELECT card, count(*) OVER hour AS times FROM payments
WINDOW hour AS (UNION (SELECT card, at FROM refunds) PARTITION BY card ORDER BY at ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW)
"""
MINUTE = 60_000


def events(*minutes: int) -> list[bytes | None]:
    return [json.dumps({"card": f"c{minute % 3}", "at": 1_700_000_000_000 + minute * MINUTE}).encode() for minute in minutes]


def counted(project: Project, connection: Connection, row: dict[str, Any]) -> list[dict[str, Any]]:
    """By source, what the window of a feature row has."""
    event = _event(connection, reader(project, 0, project.input("payments")), row["_partition"], row["_offset"])
    (window,) = window_events(project, connection, plan_of(project), event)
    return list(window["events"].values())


def test_as_many_are_found_as_the_row_counted(tmp_path: Path) -> None:
    (tmp_path / "driftline.toml").write_text(TOML)
    (tmp_path / "features.sql").write_text(SQL)
    project, broker = load_project(tmp_path), MemoryBroker()
    own = {project.topic(name): TopicSettings(2 if name == "features" else 1) for name in ("features", "commits", "dead-letters", "late")}
    broker.ensure_topics({**own, project.topic("payments"): TopicSettings(2), project.topic("refunds"): TopicSettings(1)})
    now = time.time_ns() // 1_000_000
    put(broker, project.topic("payments"), 0, events(*(n + (1, -1)[n % 2] for n in range(120)), 60), timestamp=now)  # the last one is late
    put(broker, project.topic("payments"), 1, events(*range(0, 120, 3), 60), timestamp=now)
    put(broker, project.topic("refunds"), 0, events(*range(0, 120, 2)), timestamp=now)
    step, connection = pipeline.build(project, "features"), Connection(broker)
    driver = Worker(step, connection, pipeline.readers(project, step.inputs), pipeline.settings(project, step))
    driver.run(until=driver.caught_up)
    rows = [json.loads(value or b"") for value in values(broker, project.topic("features"))]
    on_time = [row for row in rows if row["_offset"] not in (120 if row["_partition"] == 0 else 40,)]
    assert len(on_time) == 160
    for row in on_time[::3]:
        assert sum(one["count"] for one in counted(project, connection, row)) == row["times"], row
    broker.delete_before((project.topic("payments"), 0), 100)
    newest = next(row for row in on_time if (row["_partition"], row["_offset"]) == (0, 119))
    payments, refunds = counted(project, connection, newest)
    assert payments["gone"] == "events of this window before payments[0]@100, where the log begins" and "gone" not in refunds


def test_a_prediction_is_found_however_many_stand_before_it(tmp_path: Path) -> None:
    """In a replay the end of the first transaction has a later time than all events: the search begins there."""
    (tmp_path / "driftline.toml").write_text(TOML)
    project, broker = load_project(tmp_path), MemoryBroker()
    broker.ensure_topics({project.topic("predictions"): TopicSettings(1)})
    ids = [b'{"prediction_id":"payments[0]@1"}'] * 250_000 + [b'{"prediction_id":"payments[0]@7"}']
    put(broker, project.topic("predictions"), 0, ids, timestamp=time.time_ns() // 1_000_000)
    found = _prediction(Connection(broker), project, "payments[0]@7", 0, 1_700_000_000_000)
    assert found["place"] == "shop.predictions[0]@250000"
