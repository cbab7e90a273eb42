"""Kafka clients kept between clicks: used again, left behind when they failed or when the broker has another address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.kafka.columns import Bytes
from connectors.memory import MemoryBroker
from dashboard.kept import Kept
from streams.predictions import log
from streams.project import Project
from tests.retraining import shop


class Counting:
    """A broker in memory that counts the clients it opened."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker, self.opened = broker, 0

    def consumer(self, isolation: str = "read_committed") -> Any:
        self.opened += 1
        return self.broker.consumer(isolation)

    def producer(self, transactional_id: str | None = None) -> Any:
        self.opened += 1
        return self.broker.producer(transactional_id)

    def commit(self, positions: Any, group: str) -> None:
        self.broker.commit(positions, group)


@pytest.fixture
def project(tmp_path: Path) -> tuple[Project, Counting, Kept]:
    broker = MemoryBroker()
    made = shop.make(broker, tmp_path)
    counting = Counting(broker)
    return made, counting, Kept(made, lambda settings: counting)


def test_clients_are_used_again(project: tuple[Project, Counting, Kept]) -> None:
    made, counting, kept = project
    runs = made.topic("runs")
    for number in range(3):
        log.append(kept, runs, [(f"r{number}", {"run_id": f"r{number}"}, 0)])
        assert [record.key for record in log.records(kept, runs)] == [f"r{n}" for n in range(number + 1)]
    assert counting.opened == 2


def test_a_client_that_failed_is_not_kept(project: tuple[Project, Counting, Kept]) -> None:
    made, counting, kept = project
    producer = kept.producer()
    with pytest.raises(Exception, match="nowhere"):
        producer.send("nowhere", 0, np.array([0]), None, Bytes.of([b"x"]))
    producer.close()
    log.append(kept, made.topic("runs"), [("r", {"run_id": "r"}, 0)])
    assert counting.opened == 2


def test_another_address_leaves_the_old_clients_behind(project: tuple[Project, Counting, Kept], monkeypatch: pytest.MonkeyPatch) -> None:
    made, counting, kept = project
    log.records(kept, made.topic("runs"))
    opened = counting.opened
    monkeypatch.setattr(Project, "kafka", lambda self: {"bootstrap_servers": "elsewhere:1"})
    log.records(kept, made.topic("runs"))
    assert counting.opened == opened + 1
