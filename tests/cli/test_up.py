"""`driftline up` for real: the broker and the workers of a small project, through kills of every one of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from connectors.broker import EmbeddedBroker
from connectors.broker.embedded import answers
from streams.project import load_project
from streams.supervisor.child import Child
from streams.supervisor.init import init
from streams.supervisor.state import UpState, read_state
from tests.waiting import until

pytestmark = pytest.mark.broker


def driftline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "streams.cli", *arguments], capture_output=True, text=True)


def answer(*arguments: str) -> Any:
    said = driftline(*arguments, "--json")
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout.splitlines()[-1])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "shop"
    init(folder)
    rows = [
        {"payment_id": f"p{i}", "paid_at": 1_767_225_600_000 + i * 1000, "card": f"c{i % 7}", "merchant": "books", "amount": i / 4}
        for i in range(3000)
    ]
    (folder / "payments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield folder
    driftline("down", str(folder))


def state_of(folder: Path) -> UpState:
    state = read_state(load_project(folder))
    assert state is not None
    return state


def rows_of(folder: Path, topic: str) -> list[Any]:
    from kafka import KafkaConsumer, TopicPartition

    project = load_project(folder)
    consumer = KafkaConsumer(bootstrap_servers=project.bootstrap(), isolation_level="read_committed", bootstrap_timeout_ms=60_000)
    part = TopicPartition(project.topic(topic), 0)
    consumer.assign([part])
    consumer.seek_to_beginning(part)
    end = consumer.end_offsets([part])[part]
    found: list[Any] = []
    while consumer.position(part) < end:
        for batch in consumer.poll(500).values():
            found += [json.loads(record.value) for record in batch if record.value is not None]
    consumer.close()
    return found


@pytest.mark.long
@pytest.mark.timeout(900)
def test_kills_of_anything_lose_and_double_nothing(shop: Path) -> None:
    answer("up", str(shop), "--detach", "--no-dashboard")
    second = driftline("up", str(shop), "--no-dashboard")
    assert second.returncode == 1
    assert "shop runs already (pid" in second.stderr
    replay = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "produce", "payments", str(shop / "payments.jsonl"), "--rate", "300", "--project", str(shop)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    until(lambda: len(rows_of(shop, "payments")) > 600)
    replay.kill()
    replay.wait()
    assert 600 < len(rows_of(shop, "payments")) < 3000
    until(lambda: len(rows_of(shop, "features")) > 100, 300)
    features = next(child for child in state_of(shop).children if child.name == "features")
    os.kill(features.pid, signal.SIGKILL)
    until(lambda: next(child for child in state_of(shop).children if child.name == "features").restarts == 1)
    killed = state_of(shop)
    broker = EmbeddedBroker(shop / ".driftline").running()
    assert broker is not None
    os.kill(killed.pid, signal.SIGKILL)
    until(lambda: not any(psutil.pid_exists(child.pid) and child.state == "running" for child in killed.children))
    assert EmbeddedBroker(shop / ".driftline").running() == broker, "it waits to be adopted"
    said = answer("up", str(shop), "--detach", "--no-dashboard")
    assert said["bootstrap"] == broker.bootstrap
    assert [child.name for child in state_of(shop).children if child.name.startswith("replay")], "it goes on with the replay"

    os.kill(broker.pid, signal.SIGKILL)
    until(lambda: state_of(shop).broker_restarts == 1)
    until(lambda: EmbeddedBroker(shop / ".driftline").running() not in (None, broker) and answers(broker.port))
    until(lambda: len(rows_of(shop, "features")) >= 3000, 300)
    rows = rows_of(shop, "features")
    assert [row["payment_id"] for row in rows] == [f"p{i}" for i in range(3000)]
    assert [row["card_payments_1h"] for row in rows[:14]] == [1] * 7 + [2] * 7

    status = answer("status", str(shop))
    assert status["running"] is True
    assert status["trouble"] is None
    assert status["processes"][0]["restarts"] == 1, "of the broker"
    assert {topic["name"] for topic in status["topics"]} >= {"shop.payments", "shop.features", "shop.runs"}
    assert driftline("status", str(shop)).stdout.startswith("shop: ")
    pids = [
        status["processes"][0]["pid"],
        *(child.pid for child in state_of(shop).children if child.state == "running"),
        state_of(shop).pid,
    ]
    stopped = answer("down", str(shop))["stopped"]
    assert {"features", "predictions", "loop", "supervisor", "broker"} <= set(stopped)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.timeout(300)
def test_what_is_known_without_the_broker_is_said(shop: Path) -> None:
    answer("up", str(shop), "--detach", "--no-dashboard")
    broker = EmbeddedBroker(shop / ".driftline").running()
    assert broker is not None
    os.kill(broker.pid, signal.SIGSTOP)
    begun = time.monotonic()
    status = answer("status", str(shop))
    assert time.monotonic() - begun < 20, "a broker that gives no answer is given up soon"
    os.kill(broker.pid, signal.SIGCONT)
    log = shop / ".driftline" / "logs" / "broker.log"
    assert status["trouble"] == f"The broker at {broker.bootstrap} gives no answer within 3 s. Its log: {log}"
    assert status["topics"] == []
    pids = {child.name: child.pid for child in state_of(shop).children}
    assert {one["name"]: one["pid"] for one in status["processes"]} == {"broker": broker.pid, **pids}


def test_a_child_starts_again_with_a_growing_pause_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    child = Child(
        "worker",
        lambda: [sys.executable, "-c", "raise SystemExit('no such topic')"],
        tmp_path / "logs" / "worker.log",
        environ=dict(os.environ),
    )
    said: list[str] = []

    def twice() -> bool:
        news = child.watch()
        if news:
            said.append(news)
        return child.restarts >= 2

    child.start()
    until(twice, 30)
    assert said[0].startswith("worker ended (status 1), starts again in 0.5 s: no such topic")
    assert "starts again in 1 s" in said[-1]
    assert child.snapshot().last_error == "no such topic"
    child.ask_to_stop()
    assert child.wait(1)


def test_a_child_that_is_to_run_once_may_end(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    child = Child("replay", lambda: [sys.executable, "-c", "pass"], tmp_path / "logs" / "replay.log", environ=dict(os.environ), once=True)
    child.start()
    until(lambda: child.watch() == "replay is done", 30)
    assert child.snapshot().state == "ended"


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = Child("deaf", lambda: [sys.executable, "-c", code], tmp_path / "logs" / "deaf.log", environ=dict(os.environ))
    child.start()
    until(lambda: "deaf" in child.log.read_text(), 30)
    child.ask_to_stop()
    assert child.wait(0.3) is False


def test_only_its_own_port_counts(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        taken = mine.getsockname()[1]
        code = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(60)"
        child = Child("listener", lambda: [sys.executable, "-c", code], tmp_path / "logs" / "listener.log", environ=dict(os.environ))
        child.start()
        until(lambda: child.log.read_text().strip().isdigit(), 60)
        assert child.listens(int(child.log.read_text()))
        assert not child.listens(taken)
        child.ask_to_stop()
        assert child.wait(5)
