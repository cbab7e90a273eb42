"""What the stages tell each other. Each message goes to one key of the next stage and is bytes on the way."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.kafka.columns import Bytes, Records
from streams.types import OFFSET, PARTITION, TIME, Int64
from streams.worker.merge import Frontier, Read, Slot

ORDER, TASKS, ROWS, OUT = "order", "tasks", "rows", "out"  # the stages a message goes to
COMPRESSED_FROM = 4096  # bytes
_PLAIN, _COMPRESSED, _LZ4 = b"p", b"z", pa.Codec("lz4_raw")


@dataclass(frozen=True)
class Arrived:
    """Raw records of one partition of input `rank`. The first stage reads them itself: they never travel."""

    rank: int
    records: Records


@dataclass(frozen=True)
class Part:
    """Rows of one partition, or only how far it has come. `ahead`: offsets refused for the wall clock's sake.

    `columns` are without the meta columns, which `read` makes of the others.
    """

    rank: int
    partition: int
    columns: Mapping[str, pa.ChunkedArray]
    offsets: Int64
    times: Int64
    is_row: npt.NDArray[np.bool_]
    next_offset: int
    ahead: tuple[int, ...] = ()

    @property
    def read(self) -> Read:
        table = _rows(self.columns, self.partition, self.offsets, self.times[self.is_row])
        return Read(self.rank, self.partition, table, self.offsets, self.times, self.is_row, self.next_offset)


@dataclass(frozen=True)
class Tick:
    """What the clock told the order at `at` (ms): which partitions no longer hold the others, and whether a bounded job is done."""

    idle: frozenset[Slot]
    at: int
    done: bool = False


@dataclass(frozen=True)
class Turn:
    """Commit `number` of the order: take all rows up to `frontier`, once the partitions have come to `ends`."""

    number: int
    frontier: Frontier
    ends: Mapping[Slot, int]


@dataclass(frozen=True)
class Base:
    """Driving rows of one partition with the columns they have by themselves, in log order. The meta columns stand in `table` only."""

    partition: int
    columns: Mapping[str, pa.ChunkedArray]
    offsets: Int64
    times: Int64

    @property
    def table(self) -> pa.Table:
        return _rows(self.columns, self.partition, self.offsets, self.times)


@dataclass(frozen=True)
class Piece:
    """Columns of one task for driving rows of one partition; `offsets` says which rows."""

    task: int
    offsets: Int64
    table: pa.Table
    seen: pa.Table


@dataclass(frozen=True)
class Upto:
    """All driving rows of a partition below this offset are taken, though more of it was read."""

    offset: int


Message = Part | Tick | Turn | Base | Piece | Upto


@dataclass(frozen=True)
class Written:
    """Records to be written to one topic. It leaves the stages, and is no message between them."""

    topic: str
    keys: Bytes
    values: Bytes
    times: Int64


Sent = Iterator[tuple[str, int, bytes | Written]]  # stage, key, and the message, packed; what is written for the stage OUT


def _rows(columns: Mapping[str, pa.ChunkedArray], partition: int, offsets: Int64, times: Int64) -> pa.Table:
    partitions = pa.array(np.full(len(offsets), partition, np.int32))
    return pa.table({**columns, PARTITION: partitions, OFFSET: offsets, TIME: times})


def pack(message: Message) -> bytes:
    """Columns that travel or are kept are compressed to half: Flink copies each message some ten times on its way."""
    out = io.BytesIO()
    _Pickler(out, protocol=5).dump(message)
    data = out.getbuffer()
    if len(data) < COMPRESSED_FROM:
        return _PLAIN + data
    body: bytes = _LZ4.compress(data, asbytes=True)
    return _COMPRESSED + len(data).to_bytes(8, "big") + body


class _Pickler(pickle.Pickler):
    """Offsets and times travel as steps, which are half as wide and mostly alike: 9 bytes a row become 2."""

    def reducer_override(self, thing: Any) -> Any:
        if type(thing) is not np.ndarray or thing.dtype != np.int64 or thing.ndim != 1 or len(thing) < 2:
            return NotImplemented
        steps = np.diff(thing)
        if steps.max() > _INT32.max or steps.min() < _INT32.min:
            return NotImplemented
        return _climbed, (int(thing[0]), steps.astype(np.int32))


_INT32 = np.iinfo(np.int32)


def _climbed(first: int, steps: npt.NDArray[np.int32]) -> Int64:
    found = np.empty(len(steps) + 1, np.int64)
    found[0] = first
    np.cumsum(steps, dtype=np.int64, out=found[1:])
    found[1:] += first
    return found


def unpack(data: bytes) -> Message:
    """Inverse of `pack`; only for what the job's own stages and checkpoints hold."""
    body = memoryview(data)[1:]
    found = pickle.loads(body if data[:1] == _PLAIN else _LZ4.decompress(body[8:], int.from_bytes(body[:8], "big")))
    assert isinstance(found, Part | Tick | Turn | Base | Piece | Upto)
    return found
