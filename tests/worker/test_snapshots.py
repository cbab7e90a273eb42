"""Snapshots: whole or not there, the newest good one used, a damaged one set aside."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from connectors.kafka.admin import TopicSettings
from connectors.memory import MemoryBroker
from connectors.ports import free_port
from streams.errors import StateError
from streams.sensors import Sensor
from streams.testing import Connection, put, run_to_end, values
from streams.worker.commits import Standing
from streams.worker.merge import Frontier, Progress
from streams.worker.snapshots import Folder, Place, Snapshot, Snapshots, pack, place, unpack
from tests.worker.steps import Chain, source


def snapshot(number: int, signature: str = "s") -> Snapshot:
    progress = {("t.a", 1): Progress(5, 9, 100, 40)}
    standing = Standing(number, Frontier((40, 0, 1), (30, 0, 1)), progress, (("t.a", 1, 7),))
    return Snapshot(standing, {"one": b"abc\n" * number, "two": b""}, signature, 123)


def test_what_is_packed_is_unpacked() -> None:
    assert unpack(pack(snapshot(3))) == snapshot(3)


def test_any_changed_byte_is_noticed() -> None:
    content = pack(snapshot(3))
    for at in range(len(content)):
        with pytest.raises(StateError, match="checksum differs"):
            unpack(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(StateError):
        unpack(content[:-1])


def test_the_newest_good_one_is_used_and_a_damaged_one_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Snapshots(Folder(tmp_path), kept=3)
    for number in range(1, 6):
        kept.write(snapshot(number))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number:012d}.snapshot" for number in (3, 4, 5)]
    newest = tmp_path / "000000000005.snapshot"
    newest.write_bytes(newest.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        found = kept.newest(9, "s")
    assert found == snapshot(4)
    assert "cannot be read and is set aside" in caplog.text
    assert (tmp_path / "000000000005.snapshot.damaged").exists()
    assert kept.newest(3, "s") == snapshot(3)
    assert kept.newest(9, "another plan") is None


def test_those_of_another_log_are_not_used_and_do_not_push_out_its_own(tmp_path: Path) -> None:
    """Topics that were made anew under their old names: the numbers of the commits begin again."""
    inputs = (source("a", "t.a", idle_after=50),)

    def made() -> MemoryBroker:
        broker = MemoryBroker()
        broker.ensure_topics({"t.a": TopicSettings(1), "t.out": TopicSettings(1)})
        put(broker, "t.a", 0, [json.dumps({"card": "c", "at": at, "amount": 1.0}).encode() for at in range(1, 200)], watermark=400)
        return broker

    folder = Folder(tmp_path)
    old, new, undisturbed = made(), made(), made()
    run_to_end(Chain(inputs, "t.out"), Connection(old), batch_rows=10, snapshots=folder)
    folder.write(f"{10**6:012d}.snapshot", folder.read(max(folder.names())))  # of a longer life
    run_to_end(Chain(inputs, "t.out"), Connection(new), batch_rows=20)
    more = [json.dumps({"card": "c", "at": at, "amount": 1.0}).encode() for at in range(401, 500)]
    for broker in (new, undisturbed):
        put(broker, "t.a", 0, more, watermark=600)
    heir = Chain(inputs, "t.out")
    run_to_end(heir, Connection(new), batch_rows=10, snapshots=folder)
    alone = Chain(inputs, "t.out")
    run_to_end(alone, Connection(undisturbed), batch_rows=10)
    assert heir.link == alone.link and values(new, "t.out") == values(undisturbed, "t.out")
    assert f"{10**6:012d}.snapshot.foreign" in folder.names()
    sensor = Told()
    run_to_end(Chain(inputs, "t.out"), Connection(new), batch_rows=10, snapshots=folder, sensor=sensor)
    assert [words for words in sensor.states if words.startswith("replaying") and "its beginning" not in words]


class Told(Sensor):
    """Keeps what a worker says of its state."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def on_state(self, step: str, state: str, message: str = "") -> None:
        self.states.append(message)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    """An S3 server with a bucket; the environment names it as boto3 wants it."""
    server = ThreadedMotoServer("127.0.0.1", free_port())
    server.start()
    host, port = server.get_host_and_port()
    names = {
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "x",
        "DEFAULT_REGION": "us-east-1",
        "ENDPOINT_URL_S3": f"http://{host}:{port}",
        "MAX_ATTEMPTS": "1",
    }
    for name, value in names.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield server
    server.stop()


def test_s3_keeps_them_too(s3: ThreadedMotoServer, tmp_path: Path) -> None:
    bucket: Place = place("s3://bucket/some/prefix", tmp_path, "features")
    kept = Snapshots(bucket, kept=2)
    for number in range(1, 4):
        kept.write(snapshot(number))
    assert kept.newest(9, "s") == snapshot(3)
    bucket.write("000000000009.snapshot", b"nonsense")
    assert kept.newest(9, "s") == snapshot(3)
    assert sorted(bucket.names()) == ["000000000002.snapshot", "000000000003.snapshot", "000000000009.snapshot.damaged"]


def test_a_worker_goes_on_from_s3_and_says_when_it_is_gone(s3: ThreadedMotoServer, tmp_path: Path) -> None:
    made = MemoryBroker()
    made.ensure_topics({"t.a": TopicSettings(1), "t.out": TopicSettings(1)})
    bucket = place("s3://bucket", tmp_path, "chain")
    inputs = (source("a", "t.a", idle_after=50),)
    put(made, "t.a", 0, [json.dumps({"card": "c", "at": at, "amount": 1.0}).encode() for at in range(1, 100)], watermark=200)
    run_to_end(Chain(inputs, "t.out"), Connection(made), batch_rows=10, snapshots=bucket)
    assert any(name.endswith(".snapshot") for name in bucket.names())
    before = values(made, "t.out")
    put(made, "t.a", 0, [json.dumps({"card": "c", "at": at, "amount": 1.0}).encode() for at in range(201, 300)], watermark=400)
    heir, sensor = Chain(inputs, "t.out"), Told()
    run_to_end(heir, Connection(made), batch_rows=10, snapshots=bucket, sensor=sensor)
    assert [words for words in sensor.states if words.startswith("replaying 0 events since ") and "its beginning" not in words]
    assert values(made, "t.out")[: len(before)] == before and len(values(made, "t.out")) == 198
    alone = Chain(inputs, "t.out")
    run_to_end(alone, Connection(made), batch_rows=10)
    assert heir.link == alone.link
    s3.stop()
    with pytest.raises(OSError, match="s3://bucket/chain: Could not connect"):
        run_to_end(Chain(inputs, "t.out"), Connection(made), snapshots=bucket)
