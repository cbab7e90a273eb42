"""Snapshots: whole or not there, the newest good one used, a damaged one set aside."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from streams.errors import StateError
from streams.worker.commits import Standing
from streams.worker.merge import Frontier, Progress
from streams.worker.snapshots import Folder, Place, Snapshot, Snapshots, pack, place, unpack


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


def test_s3_keeps_them_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    moto = pytest.importorskip("moto")
    boto3 = pytest.importorskip("boto3")
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    with moto.mock_aws():
        boto3.client("s3").create_bucket(Bucket="bucket")
        bucket: Place = place("s3://bucket/some/prefix", tmp_path, "features")
        kept = Snapshots(bucket, kept=2)
        for number in range(1, 4):
            kept.write(snapshot(number))
        assert kept.newest(9, "s") == snapshot(3)
        bucket.write("000000000009.snapshot", b"nonsense")
        assert kept.newest(9, "s") == snapshot(3)
        assert sorted(bucket.names()) == ["000000000002.snapshot", "000000000003.snapshot", "000000000009.snapshot.damaged"]
