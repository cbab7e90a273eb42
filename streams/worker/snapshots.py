"""Snapshots of a step: where it stood and its state, in one checksummed file, written whole or not at all.

`.driftline/state/<prefix>.<step>/<number>.snapshot`: a line of JSON (standing, names and lengths of the parts, sha256 of what follows), then
the parts. The newest `kept` stay. One that cannot be read is set aside under the name `*.damaged` with a warning, one of another log (topics
made anew under their old names) as `*.foreign`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

from streams.errors import StateError
from streams.worker.commits import Standing, progress_from_json, progress_to_json
from streams.worker.merge import Frontier

log = logging.getLogger(__name__)
VERSION = 1
SUFFIX = ".snapshot"


@dataclass(frozen=True)
class Snapshot:
    """`signature` says what the state belongs to (the hash of a feature plan): another one cannot use it. `at`: wall clock, ms."""

    standing: Standing
    state: Mapping[str, bytes]
    signature: str
    at: int


class Place(Protocol):
    """Where snapshots lie: names and bytes. `write` is atomic."""

    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes: ...
    def write(self, name: str, content: bytes) -> None: ...
    def remove(self, name: str) -> None: ...
    def rename(self, name: str, to: str) -> None: ...


class Folder:
    """A local folder; a file appears under its name only once it is on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return str(self._path)

    def names(self) -> list[str]:
        return [path.name for path in self._path.iterdir()]

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        part = self._path / f".{name}.{os.getpid()}.part"
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path / name)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def rename(self, name: str, to: str) -> None:
        (self._path / name).replace(self._path / to)


class Bucket:
    """s3://bucket/prefix, through boto3 (the extra `s3`); credentials and endpoint as boto3 finds them. Raises OSError as a folder does."""

    def __init__(self, url: str) -> None:
        try:
            import boto3
        except ImportError:
            raise StateError(f"{url}: snapshots on S3 need boto3; install driftline[s3].") from None
        parsed = urlparse(url)
        self._bucket, self._prefix = parsed.netloc, parsed.path.strip("/")
        self._client: Any = boto3.client("s3")

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def names(self) -> list[str]:
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._key(""))
            return [entry["Key"].removeprefix(self._key("")) for page in pages for entry in page.get("Contents", ())]

    def read(self, name: str) -> bytes:
        with self._told():
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
            return body

    def write(self, name: str, content: bytes) -> None:
        with self._told():
            self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=content)

    def remove(self, name: str) -> None:
        with self._told():
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def rename(self, name: str, to: str) -> None:
        with self._told():
            self._client.copy_object(Bucket=self._bucket, Key=self._key(to), CopySource={"Bucket": self._bucket, "Key": self._key(name)})
        self.remove(name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise OSError(f"{self}: {error}") from error


def place(location: str | None, state_dir: Path, group: str) -> Place:
    """The place of the snapshots of a step, by its group: under s3://bucket/prefix, a folder, or by default `.driftline/state`."""
    if location is not None and location.startswith("s3://"):
        return Bucket(f"{location.rstrip('/')}/{group}")
    return Folder((Path(location) if location else state_dir / "state") / group)


class Snapshots:
    def __init__(self, place: Place, kept: int = 3) -> None:
        self._place, self._kept = place, kept

    def write(self, snapshot: Snapshot) -> int:
        """Write it, and let go of the oldest beyond those kept; its bytes."""
        content, written = pack(snapshot), f"{snapshot.standing.number:012d}{SUFFIX}"
        self._place.write(written, content)
        for name in self._names():
            if name > written:  # a log has no commit behind its newest
                self._place.rename(name, f"{name}.foreign")
        for name in self._names()[self._kept :]:
            self._place.remove(name)
        return len(content)

    def newest(self, at_most: int, signature: str, belongs: Callable[[Snapshot], bool] = lambda snapshot: True) -> Snapshot | None:
        """The newest one that can be read, is of this signature, not past commit `at_most`, and belongs to the log."""
        for found in self._readable(at_most, signature):
            if belongs(found):
                return found
            log.warning("%s has a snapshot of commit %s that is not this log's: not used", self._place, found.standing.number)
        return None

    def _names(self) -> list[str]:
        return sorted((name for name in self._place.names() if name.endswith(SUFFIX) and not name.startswith(".")), reverse=True)

    def _readable(self, at_most: int, signature: str) -> Iterator[Snapshot]:
        for name in self._names():
            try:
                found = unpack(self._place.read(name))
            except OSError as error:  # it may be readable the next time
                log.warning("%s/%s cannot be read and is not used: %s", self._place, name, error)
                continue
            except StateError as error:
                log.warning("%s/%s cannot be read and is set aside as %s.damaged: %s", self._place, name, name, error)
                self._place.rename(name, f"{name}.damaged")
                continue
            if found.standing.number > at_most:
                log.warning("%s/%s is of commit %s, the log has only %s: not used", self._place, name, found.standing.number, at_most)
            elif found.signature != signature:
                log.info("%s/%s belongs to another definition (%s, now %s): not used", self._place, name, found.signature, signature)
            else:
                yield found


def pack(snapshot: Snapshot) -> bytes:
    parts = dict(snapshot.state)
    body = b"".join(parts.values())
    standing = snapshot.standing
    head = {
        "version": VERSION,
        "signature": snapshot.signature,
        "at": snapshot.at,
        "n": standing.number,
        "frontier": [standing.frontier.others, standing.frontier.driving],
        "progress": progress_to_json(standing.progress),
        "ahead": standing.ahead,
        "parts": {name: len(content) for name, content in parts.items()},
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    digest = hashlib.sha256(text + b"\n" + body).hexdigest().encode()
    return digest + b"\n" + text + b"\n" + body


def unpack(content: bytes) -> Snapshot:
    """Raises StateError where a byte is not as it was written."""
    digest, _, rest = content.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise StateError(f"its checksum differs ({len(content):,} bytes); it was cut or damaged")
    text, _, body = rest.partition(b"\n")
    head = json.loads(text)
    if head["version"] != VERSION:
        raise StateError(f"it is of version {head['version']}, this software reads {VERSION}")
    state, at = {}, 0
    for name, size in head["parts"].items():
        state[name] = body[at : at + size]
        at += size
    others, driving = (tuple(place) for place in head["frontier"])
    ahead = tuple((topic, partition, offset) for topic, partition, offset in head["ahead"])
    return Snapshot(
        Standing(head["n"], Frontier(others, driving), progress_from_json(head["progress"]), ahead), state, head["signature"], head["at"]
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000
