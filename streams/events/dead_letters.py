"""Dead letters: each refused record with its bytes, headers, place, time, reason and the software that refused it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pyarrow as pa

from streams.events.decode import VALUE, Refused
from streams.types import Output, Position

REDRIVEN = "driftline-redriven"  # header of a record put back to its source: the place of its dead letter


@dataclass(frozen=True)
class DeadLetter:
    """One record of the dead-letters topic. `place` is where it stands there, `source` where the refused record stood."""

    source: Position
    reason: str
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int
    at: int
    version: str
    place: Position | None = None
    left_out: int = 0  # bytes of key, headers and value that no dead letter could hold; they stand in the source

    def summary(self) -> dict[str, Any]:
        """For people and --json: the value as text where it is text, cut at 200 characters."""
        text = None if self.value is None else self.value.decode("utf-8", "replace")
        return {
            "place": str(self.place) if self.place else None,
            "source": str(self.source),
            "reason": self.reason,
            "timestamp": self.timestamp,
            "at": self.at,
            "version": self.version,
            "bytes": self.left_out or (None if self.value is None else len(self.value)),
            "value": text if text is None or len(text) <= 200 else text[:200] + "…",
        }


def software() -> str:
    try:
        return f"driftline {version('driftline')}"
    except PackageNotFoundError:
        return "driftline (not installed)"


LARGEST_KEPT = 256 << 10  # bytes of a record that fit any topic


def to_output(refused: Sequence[Refused], at: int, keep: bool = True) -> Output:
    """The records of refused ones; keyed by their place, all in partition 0.

    With `keep` false the bytes of large records are left out (`left_out` has their number): the topic does not take them, they stay in the source.
    """
    rows = [json.dumps(_record(one, at, keep), ensure_ascii=False) for one in refused]
    places = [str(Position(one.topic, one.partition, one.offset)) for one in refused]
    table = pa.table({VALUE: pa.array(rows, pa.string()), "place": pa.array(places, pa.string())})
    stamps = np.array([one.timestamp if one.timestamp >= 0 else at for one in refused], np.int64)
    return Output(table, "place", np.zeros(len(rows), np.int32), stamps)


def _record(one: Refused, at: int, keep: bool) -> dict[str, Any]:
    size = sum(len(part or b"") for part in (one.key, one.value, *(value for _, value in one.headers)))
    left_out = 0 if keep or size <= LARGEST_KEPT else size
    return {
        "source": str(Position(one.topic, one.partition, one.offset)),
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "reason": one.reason,
        "value": None if left_out else _text(one.value),
        "left_out": left_out,
        "key": None if left_out else _text(one.key),
        "headers": [] if left_out else [[name, _text(value)] for name, value in one.headers],
        "timestamp": one.timestamp,
        "at": at,
        "version": software(),
    }


def read(value: bytes, place: Position | None = None) -> DeadLetter:
    """A dead letter from its record's value."""
    found = json.loads(value)
    return DeadLetter(
        Position(found["topic"], found["partition"], found["offset"]),
        found["reason"],
        _bytes(found["value"]),
        _bytes(found["key"]),
        tuple((name, _bytes(one)) for name, one in found["headers"]),
        found["timestamp"],
        found["at"],
        found["version"],
        place,
        found["left_out"],
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
