"""The store: incremental, made anew after deletion, taken up after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from connectors.kafka.admin import TopicSettings
from connectors.kafka.columns import Bytes
from connectors.memory import MemoryBroker
from dashboard.queries import predictions, retraining
from dashboard.queries.window import window
from dashboard.store.reader import Reader
from dashboard.store.rows import quantile
from dashboard.store.store import Store
from streams.project import TOPICS, Project
from tests.dashboard import world


class Log:
    """A broker in memory with a project's topics, and a count of the consumers that were opened."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.broker = MemoryBroker()
        self.broker.ensure_topics({project.topic(name): TopicSettings() for name in (*TOPICS, *project.sources)})

    def write(self, topic: str, values: list[dict[str, Any]], times: list[int], keys: list[str] | None = None) -> None:
        producer = self.broker.producer()
        names = Bytes.of([key.encode() for key in keys]) if keys else None
        producer.send(self.project.topic(topic), 0, np.array(times, np.int64), names, Bytes.of([orjson.dumps(value) for value in values]))
        producer.flush()
        producer.close()

    def predictions(self, rows: int, *, first: int = 0) -> None:
        made = world.predictions(rows, 10, seed=first + 1, start=first).to_pylist()
        times = [row.pop("_time") for row in made]
        self.write("predictions", made, times)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(world.project(tmp_path))


@pytest.fixture
def reader(log: Log) -> Iterator[Reader]:
    made = Reader(log.project, world.store(log.project), lambda: log.broker)
    made.open()
    yield made
    made.close()
    made.store.close()


def follow(reader: Reader) -> int:
    taken = 0
    while now := reader.step():
        taken += now
    return taken


def total(store: Store, table: str = "predictions") -> int:
    row = store.cursor().execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_reads_on_from_where_it_stood(log: Log, reader: Reader) -> None:
    log.predictions(500)
    assert follow(reader) == 500
    log.predictions(300, first=500)
    assert follow(reader) == 300
    assert total(reader.store) == 800
    summed = reader.store.cursor().execute("SELECT sum(n) FROM scores").fetchone()
    assert summed == (800,)


def test_a_restart_takes_up_the_store(log: Log, reader: Reader) -> None:
    log.predictions(500)
    follow(reader)
    reader.close()
    reader.store.close()
    log.predictions(200, first=500)
    again = Reader(log.project, world.store(log.project), lambda: log.broker)
    again.open()
    assert follow(again) == 200
    assert total(again.store) == 700
    again.close()
    again.store.close()


def test_deleted_under_the_reader_it_is_made_anew(log: Log, reader: Reader) -> None:
    log.predictions(400)
    follow(reader)
    for path in reader.store.path.parent.iterdir():
        path.unlink()
    log.predictions(100, first=400)
    follow(reader)
    assert total(reader.store) == 500


def test_another_log_begins_another_store(log: Log, reader: Reader) -> None:
    log.predictions(400)
    follow(reader)
    reader.close()
    other = Log(log.project)
    other.predictions(50)
    reader._connect = lambda: other.broker
    reader.open()
    follow(reader)
    assert total(reader.store) == 50


def test_a_file_that_is_no_store_is_replaced(tmp_path: Path) -> None:
    project = world.project(tmp_path)
    path = project.state_dir / "store" / "dashboard.duckdb"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database" * 1000)
    opened = world.store(project)
    assert total(opened) == 0
    opened.close()


def test_aborted_transactions_are_never_seen(log: Log, reader: Reader) -> None:
    producer = log.broker.producer("t")
    producer.begin()
    value = world.predictions(1, 1).to_pylist()[0]
    value.pop("_time")
    producer.send(log.project.topic("predictions"), 0, np.array([world.START], np.int64), None, Bytes.of([orjson.dumps(value)]))
    producer.abort()
    assert follow(reader) == 0
    assert total(reader.store) == 0


def test_the_newest_feature_rows_are_kept_and_no_more(log: Log, reader: Reader) -> None:
    log.write(
        "features", [{"x": n, "_partition": 0, "_offset": n, "_plan": "p"} for n in range(5000)], [world.START + n for n in range(5000)]
    )
    reader.step()
    assert 0 < total(reader.store, "feature_rows") <= 2000
    newest = reader.store.cursor().execute("SELECT max(pos) FROM feature_rows").fetchone()
    assert newest == (4999,)


def test_a_second_request_joins_the_run(log: Log, reader: Reader) -> None:
    states = [("requested", None), ("building", 1000), ("requested", 1500), ("training", 3000), ("cancelling", 4000)]
    values = [{"run_id": "a", "state": state, "at": at, "trigger": "decay", "as_of": world.START} for state, at in states]
    log.write("runs", values, [world.START] * len(values), ["a"] * len(values))
    follow(reader)
    (run,) = retraining.runs(reader.store.cursor())
    assert run.state == "training"
    assert run.states == [("requested", 1000, 0), ("building", 1000, 2000), ("training", 3000, None)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.02, "the challenger is better by .020 log loss."),
        (-0.02, "the challenger is worse by .020 log loss."),
        (-0.00049, "the challenger is as good as the champion, their log loss differs by less than .001."),
        (0.0, "the challenger is as good as the champion, their log loss differs by less than .001."),
        (-0.00051, "the challenger is worse by .001 log loss."),
    ],
)
def test_a_difference_that_is_none_is_not_called_worse(value: float, said: str) -> None:
    run = retraining.Run("a", 1, "waiting", {"comparison": {"metric": "log_loss", "difference": {"value": value}}}, [])
    assert retraining.verdict(run) == said


def test_a_sketchs_quantile_lies_within_its_bar() -> None:
    sketch = {"edges": [0.5, 1.5, 3.5], "counts": [10, 10]}
    assert quantile(sketch, 0.5) == 1.5
    assert quantile(sketch, 0.75) == 2.5
    assert [quantile({**sketch, "outside": 20, "below": 10}, share) for share in (0.2, 0.5, 0.8)] == [None, 1.5, None]
    assert quantile({"edges": [-1e308, 1e308], "counts": [2]}, 0.5) == 0.0
    flag = {"edges": [0.0, 0.0, 1.0], "counts": [1, 99]}
    assert (quantile(flag, 0.005), quantile(flag, 0.5)) == (0.0, 1.0), "of a flag that is nearly always set"
    assert quantile({"words": ["a"], "counts": [3]}, 0.5) is None


@pytest.mark.slow
def test_a_million_predictions_answer_at_once(tmp_path: Path) -> None:
    import time

    opened = world.store(world.project(tmp_path))
    for part in range(10):
        opened.write(tables={("predictions", 0): world.predictions(100_000, 240, seed=part, start=part * 100_000)})
    begun = time.perf_counter()
    found = predictions.predictions(opened.cursor(), window(opened.cursor(), "all", "UTC"))
    took = time.perf_counter() - begun
    assert found is not None and found.spells["n"].sum() == 1_000_000
    assert took < 1.0
    opened.close()


def test_a_question_is_asked_once_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.store.store.FRESH_S", 0.0)
    store = world.store(world.project(tmp_path))
    asked = []
    for _ in range(3):
        store.once("question", lambda: asked.append(1))
    assert len(asked) == 1
    store.write({"drift": world.facts(world.checks(8)[:1])})
    store.once("question", lambda: asked.append(1))
    assert len(asked) == 2
    store.close()
