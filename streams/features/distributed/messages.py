"""What the stages tell each other. Each message goes to one key of the next stage and is bytes on the way."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
        partitions = pa.array(np.full(len(self.offsets), self.partition, np.int32))
        table = pa.table({**self.columns, PARTITION: partitions, OFFSET: self.offsets, TIME: self.times[self.is_row]})
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
    """Driving rows of one partition with the columns they have by themselves, in log order."""

    partition: int
    table: pa.Table

    @property
    def offsets(self) -> Int64:
        found: Int64 = self.table.column(OFFSET).to_numpy()
        return found


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


def pack(message: Message) -> bytes:
    """Columns that travel or are kept are compressed to half: Flink copies each message some ten times on its way."""
    data = pickle.dumps(message, protocol=5)
    if len(data) < COMPRESSED_FROM:
        return _PLAIN + data
    body: bytes = _LZ4.compress(data, asbytes=True)
    return _COMPRESSED + len(data).to_bytes(8, "big") + body


def unpack(data: bytes) -> Message:
    """Inverse of `pack`; only for what the job's own stages and checkpoints hold."""
    body = memoryview(data)[1:]
    found = pickle.loads(body if data[:1] == _PLAIN else _LZ4.decompress(body[8:], int.from_bytes(body[:8], "big")))
    assert isinstance(found, Part | Tick | Turn | Base | Piece | Upto)
    return found
