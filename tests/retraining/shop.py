"""A small project whose world turns over at half time: visits are scored, purchases are the labels that come later, or never."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson

from connectors.kafka.columns import Bytes
from connectors.memory import MemoryBroker
from streams import pipeline
from streams.project import Project, load_project
from streams.promotion.agent import Agent
from streams.retraining.runner import Runner
from streams.supervisor.topics import make_topics, wanted_topics
from streams.worker.connection import Connection

DAY = 86_400_000
START = 1_700_006_400_000  # a midnight
_NUMBERS = itertools.count(1)

TOML = """
name = "shop{number}"
bootstrap_servers = "{bootstrap}"

[sources.visits]
key = "visit_id"
time = "at"
idle_after = "300ms"
max_ahead = "36500d"
[sources.visits.fields]
visit_id = "STRING"
at = "TIMESTAMP"
amount = "DOUBLE"
country = "STRING"

[sources.purchases]
key = "visit_id"
time = "bought_at"
idle_after = "300ms"
max_ahead = "36500d"
[sources.purchases.fields]
visit_id = "STRING"
bought_at = "TIMESTAMP"
paid = "DOUBLE"

[model]
features = "features.sql"
train = "train.py:train"
labels = {{ source = "purchases", on = "visit_id", value = "paid > 10", maturity = "2d" }}

[drift]
check_every = "1d"
window = "3d"
segments = ["country"]
min_rows = 100
cooldown = "30d"

[retraining]
triggers = ["manual", "decay"]
first_after = "10d"
timeout = "2m"

[promotion]
in_step = {in_step}
takes_effect_after = "1h"
margin = {margin}
"""

SQL = """
SELECT visit_id, amount, country, sum(amount) OVER w AS amount_1d, count(amount) OVER w AS visits_1d
FROM visits
WINDOW w AS (PARTITION BY country ORDER BY at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)
"""

TRAIN = """
import lightgbm as lgb

def train(features, labels):
    print("fitting", len(features), "rows")
    settings = {"objective": "binary", "num_leaves": 7, "verbose": -1, "seed": 1, "deterministic": True, "force_row_wise": True}
    return lgb.train(settings, lgb.Dataset(features, labels), num_boost_round=30)
"""


def make(connection: MemoryBroker | str, folder: Path, in_step: bool = False, margin: float = 0.0) -> Project:
    """On a broker in memory, or on a real one by its address."""
    bootstrap = connection if isinstance(connection, str) else "memory:0"
    folder.mkdir(parents=True, exist_ok=True)
    toml = TOML.format(
        number=f"{next(_NUMBERS)}x{time.time_ns() % 10**9}", bootstrap=bootstrap, in_step=str(in_step).lower(), margin=margin
    )
    (folder / "driftline.toml").write_text(toml)
    (folder / "features.sql").write_text(SQL)
    (folder / "train.py").write_text(TRAIN)
    project = load_project(folder)
    if isinstance(connection, str):
        make_topics(project)
    else:
        connection.ensure_topics(wanted_topics(project))
    return project


def events(
    days: int, per_day: int = 200, turn: int | None = None, seed: int = 0
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Visits and purchases in order of time; one visit in ten has no purchase record. From day `turn` on the rule is another."""
    rng = np.random.default_rng(seed)
    visits: list[dict[str, object]] = []
    purchases: list[dict[str, object]] = []
    count = days * per_day
    at = np.sort(rng.integers(0, days * DAY, count)) + START
    amount, country = rng.normal(50, 20, count), rng.choice(["de", "fr", "us"], count)
    lean = (amount - 50) / 10
    turned = at >= START + (turn if turn is not None else days) * DAY
    chance = 1 / (1 + np.exp(-np.where(turned, -lean + 1.5, lean)))
    bought, silent = rng.random(count) < chance, rng.random(count) < 0.1
    for i in range(count):
        visits.append({"visit_id": f"v{i}", "at": int(at[i]), "amount": float(amount[i]), "country": str(country[i])})
        if not silent[i]:
            delay = int(rng.integers(60_000, DAY // 2))
            purchases.append({"visit_id": f"v{i}", "bought_at": int(at[i]) + delay, "paid": 20.0 if bought[i] else 0.0})
    purchases.sort(key=lambda one: int(str(one["bought_at"])))
    return visits, purchases


def produce(connection: Connection, project: Project, source: str, rows: list[dict[str, object]]) -> None:
    producer = connection.producer()
    time_name = project.source(source).time
    try:
        times = np.array([row[time_name] for row in rows], np.int64)
        keys = Bytes.of([str(row["visit_id"]).encode() for row in rows])
        producer.send(project.topic(source), 0, times, keys, Bytes.of([orjson.dumps(row) for row in rows]))
        producer.flush()
    finally:
        producer.close()


@contextmanager
def running(
    project: Project, connection: Connection, steps: tuple[str, ...] = ("features", "predictions", "labels", "drift")
) -> Iterator[list[BaseException]]:
    """The steps, the runner and the agent in threads; what any of them raised is in the list."""
    stop = threading.Event()
    failures: list[BaseException] = []
    workers = [pipeline.worker(project, step, connection) for step in steps]

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # shown by the test that waits
                failures.append(error)

        return run

    runner, agent = Runner(project, connection), Agent(project, connection)
    jobs = [*(worker.run for worker in workers), lambda: runner.run(stop), lambda: agent.run(stop)]
    threads = [threading.Thread(target=guarded(job), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        stop.set()
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(timeout=60)
        runner.close()
        agent.close()


def wait(what: Callable[[], bool], failures: list[BaseException], seconds: float = 180) -> None:
    """Until `what()` is true; raises what a thread raised, or TimeoutError."""
    deadline = time.monotonic() + seconds
    while not what():
        if failures:
            raise failures[0]
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.2)
