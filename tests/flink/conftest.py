"""One small project on the session's broker, and the features job as a process of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from connectors.kafka.admin import ensure_topics
from connectors.kafka.columns import Bytes
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer
from streams.project import Project, load_project
from streams.supervisor.topics import wanted_topics
from tests.connectors.reading import read_all

PROJECT = """\
name = "{name}"
bootstrap_servers = "{bootstrap}"

[sources.prices]
key = "a"
time = "at"
[sources.prices.fields]
a = "STRING"
at = "TIMESTAMP"
price = "DOUBLE"

[sources.events]
key = "a"
time = "at"
partitions = 2
{lateness}
[sources.events.fields]
id = "BIGINT"
at = "TIMESTAMP"
a = "STRING"
b = "INT"
x = "DOUBLE"

[model]
features = "features.sql"

[flink]
checkpoint_every = "1s"
"""
FEATURES = """\
SELECT id, events.a, x * 2 AS doubled, price,
       sum(x) OVER by_a AS sum_a, max(x) OVER by_a AS max_a, count(x) OVER by_b AS count_b, avg(x) OVER by_b / sum(x) OVER by_a AS both_keys
FROM events LAST JOIN prices ORDER BY prices.at ON events.a = prices.a
WINDOW by_a AS (PARTITION BY events.a ORDER BY events.at ROWS_RANGE BETWEEN 20s PRECEDING AND CURRENT ROW),
       by_b AS (PARTITION BY b ORDER BY events.at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
"""


def make(folder: Path, bootstrap: str, lateness: str = "0s") -> Project:
    name = f"flink{time.time_ns()}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driftline.toml").write_text(PROJECT.format(name=name, bootstrap=bootstrap, lateness=f'lateness = "{lateness}"'))
    (folder / "features.sql").write_text(FEATURES)
    project = load_project(folder)
    ensure_topics(project.kafka(), wanted_topics(project))
    return project


def feed(project: Project, rows: range, seed: int = 3) -> int:
    """Write events with ties, NULL keys, late rows and some that cannot be read, and a price for every tenth; how many are good."""
    draw, good = random.Random(seed + rows.start), 0
    prices: list[bytes] = []
    events: dict[int, list[bytes]] = {0: [], 1: []}
    for number in rows:
        at = 1_700_000_000_000 + number // 3 * 200
        if number % 10 == 0:
            prices.append(json.dumps({"a": draw.choice("abc"), "at": at, "price": draw.random()}).encode())
        late = draw.randrange(5_000) if draw.random() < 0.05 else 0
        event = {
            "id": number,
            "at": at - late,
            "a": draw.choice(["a", "b", "c", None]),
            "b": draw.choice([1, 2, None]),
            "x": draw.choice([None, draw.random() * 100]),
        }
        broken = number % 97 == 0
        good += not broken
        events[number % 2].append(b"no JSON" if broken else json.dumps(event).encode())
    send(project, {("prices", 0): prices, ("events", 0): events[0], ("events", 1): events[1]})
    return good


def send(project: Project, values: Mapping[tuple[str, int], list[bytes]]) -> None:
    """Write to the partitions of sources."""
    with ColumnarProducer(project.kafka()) as producer:
        for (source, partition), found in values.items():
            stamps = np.full(len(found), time.time_ns() // 1_000_000, np.int64)
            producer.send(project.topic(source), partition, stamps, None, Bytes.of(found))
        producer.flush()


def feature_rows(project: Project) -> list[tuple[int, dict[str, Any]]]:
    """The feature rows that are committed, each with the partition it stands in, in their order there."""
    topic = project.topic("features")
    with ColumnarConsumer(project.kafka()) as consumer:
        parts = [(topic, partition) for partition in consumer.partitions(topic)]
        consumer.assign(parts, consumer.beginning_offsets(parts))
        return [(records.partition, json.loads(value)) for records in read_all(consumer) for value in records.values.to_list() if value]


class FlinkProcess:
    """`driftline run features --on flink` with all its children, ended by pid."""

    def __init__(self, project: Project, parallelism: int, log: Path) -> None:
        self.project, self.log = project, log
        command = [
            sys.executable,
            "-m",
            "streams.cli",
            "run",
            "features",
            "--on",
            "flink",
            "--project",
            str(project.root),
            "--set",
            f"flink.parallelism={parallelism}",
        ]
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONUNBUFFERED": "1"})

    def family(self) -> list[psutil.Process]:
        try:
            me = psutil.Process(self.process.pid)
            return [*me.children(recursive=True), me]
        except psutil.NoSuchProcess:
            return []

    def kill_java(self) -> None:
        """Kill -9 of the JVM alone: the runner must say so in its last line, and no worker may stay."""
        family = self.family()
        (java,) = (one for one in family if one.name() == "java")
        java.kill()
        assert self.process.wait(60) == 1
        *before, last = self.log.read_text().splitlines()
        assert last.startswith("The JVM that ran Flink has ended (signal 9). Start the features again") and "Traceback" not in str(before)
        assert not psutil.wait_procs([one for one in family if one.pid != self.process.pid], timeout=30)[1]

    def kill(self) -> None:
        for one in self.family():
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(30)

    def stop(self) -> str:
        """Ask it to stop; what it said."""
        family = self.family()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        for one in family:
            if one.is_running() and one.pid != self.process.pid:
                one.wait(30)
        return self.log.read_text()

    def until(self, true: Callable[[], bool], seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.3)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Project, int], FlinkProcess]]:
    begun: list[FlinkProcess] = []

    def one(project: Project, parallelism: int) -> FlinkProcess:
        begun.append(FlinkProcess(project, parallelism, tmp_path / "flink.log"))
        return begun[-1]

    yield one
    for process in begun:
        if process.process.poll() is None:
            process.kill()
