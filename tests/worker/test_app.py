"""The whole process, killed and restarted, against what the same step gives undisturbed in memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from connectors.kafka.admin import admin
from connectors.kafka.columns import Bytes
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer
from streams.events.decode import WATERMARK
from streams.project import Project
from streams.worker.commits import Commit, standing
from streams.worker.status import read_statuses
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]


_STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    for process in _STARTED:
        if process.poll() is None:
            process.send_signal(signal.SIGRTMIN)  # its stacks go to its log, for whoever looks why it still runs
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    _STARTED.clear()


def start(project: Project) -> subprocess.Popen[bytes]:
    with open(project.root / "log", "ab") as log:
        _STARTED.append(
            subprocess.Popen([sys.executable, "-m", "tests.worker.run_chain", str(project.root)], cwd=ROOT, stdout=log, stderr=log)
        )
    return _STARTED[-1]


def produce(project: Project, rounds: range, rows: int = 50) -> None:
    """Rows of all partitions by event time, each round closed by watermarks."""
    with ColumnarProducer(project.kafka(), "producer") as producer:
        for number in rounds:
            producer.begin()
            for source, partitions in (("a", 2), ("b", 1)):
                for partition in range(partitions):
                    at = [number * 1000 + row * 17 % 1000 for row in range(rows)]
                    values = [json.dumps({"card": f"c{row}", "at": time, "amount": 1.5}).encode() for row, time in enumerate(at)]
                    stamps = np.full(rows, time.time_ns() // 1_000_000)
                    producer.send(project.topic(source), partition, stamps, None, Bytes.of(values))
                    mark = [[(WATERMARK, str(number * 1000 + 999).encode())]]
                    producer.send(project.topic(source), partition, stamps[:1], None, Bytes.nulls(1), mark)
            producer.commit()


def read(project: Project, topic: str) -> list[tuple[int, bytes | None]]:
    found = []
    with ColumnarConsumer(project.kafka()) as consumer:
        parts = [(project.topic(topic), partition) for partition in consumer.partitions(project.topic(topic))]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for records in consumer.poll(100):
                found += [(records.partition, records.values[row]) for row in range(len(records))]
    return found


def rows(project: Project) -> list[bytes | None]:
    return sorted(value for _, value in read(project, "features") if value)


def end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(30)


def last_commit(project: Project) -> int:
    return Commit.from_json(read(project, "commits")[-1][1] or b"").number


def told(project: Project) -> int:
    """The commit up to which the group was told where the step stands."""
    parts = [(project.topic(source), partition) for source, partitions in (("a", 2), ("b", 1)) for partition in range(partitions)]
    with ColumnarConsumer(project.kafka()) as consumer:
        return standing(consumer.committed(f"{project.name}.chain", parts))[0].number


def test_killed_at_any_moment_it_gives_what_an_undisturbed_run_gives(make_project: Callable[..., Project]) -> None:
    whole, torn = make_project(), make_project()
    for project in (whole, torn):
        produce(project, range(20))
    worker = start(torn)
    for number in range(20, 24):
        until(lambda: len(read(torn, "features")) >= 100)
        produce(torn, range(number, number + 1))
        time.sleep(0.1 * (number - 20))
        worker.kill()
        worker.wait()
        worker = start(torn)
    until(lambda: len(read(torn, "features")) >= 1200)
    assert end(worker) == 0
    assert told(torn) == last_commit(torn)
    produce(whole, range(20, 24))
    worker = start(whole)
    until(lambda: len(read(whole, "features")) >= 1200)
    assert end(worker) == 0
    assert rows(torn) == rows(whole)


def test_a_second_worker_stands_by_and_takes_over(make_project: Callable[..., Project]) -> None:
    project = make_project()
    produce(project, range(2))
    first = start(project)
    until(lambda: len(read(project, "features")) == 100)
    second = start(project)
    until(lambda: (project.root / "log").read_text().count("stands by") == 2)  # the first one did, until it was chosen
    first.kill()
    first.wait()
    produce(project, range(2, 4))
    until(lambda: len(read(project, "features")) == 200)
    status = next(read_statuses(project))
    assert status["step"] == "chain" and status["pid"] == second.pid
    answer = json.load(urllib.request.urlopen(status["web"]))
    assert answer["steps"][0]["state"] == "running"
    third = start(project)
    until(lambda: (project.root / "log").read_text().count("stands by") == 3)
    assert end(second) == 0
    with admin(project.kafka()) as opened:  # one that ended well is not waited for
        (group,) = opened.describe_groups([f"{project.name}.chain.workers"]).values()
    assert len(group["members"]) == 1
    produce(project, range(4, 6))
    until(lambda: len(read(project, "features")) == 300)
    assert end(third) == 0


def test_a_stop_is_heard_while_the_state_comes_back(make_project: Callable[..., Project]) -> None:
    project = make_project()
    produce(project, range(2))
    worker = start(project)
    until(lambda: len(read(project, "features")) == 100)
    assert end(worker) == 0
    with ColumnarProducer(project.kafka(), "another-step") as other:
        other.begin()
        other.send(project.topic("commits"), 0, np.zeros(1, np.int64), Bytes.of([b"another"]), Bytes.of([b"{}"]))
        other.flush()
        worker = start(project)
        until(lambda: "waits for an open transaction" in str(next(read_statuses(project))))
        assert end(worker) == 0
