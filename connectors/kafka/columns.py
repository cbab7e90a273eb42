"""Records of one partition as columns: offsets, timestamps, keys, values and headers, without a Python object a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.bytes import copy
from streams.types import Int64

UInt8 = npt.NDArray[np.uint8]


@numba.njit(cache=True, nogil=True)
def _gather(buffer: UInt8, start: Int64, length: Int64, out: UInt8, offsets: npt.NDArray[np.int32]) -> None:
    q = 0
    for i in range(len(start)):
        offsets[i] = q
        n = length[i]
        if n > 0:
            at = start[i]
            copy(out, q, buffer, at, n)
            q += n
    offsets[len(start)] = q


@dataclass(frozen=True, eq=False)
class Bytes:
    """Byte strings in one buffer: row i is `buffer[start[i] : start[i] + length[i]]`, null where length is -1."""

    buffer: UInt8
    start: Int64
    length: Int64

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, row: int) -> bytes | None:
        size = int(self.length[row])
        if size < 0:
            return None
        at = int(self.start[row])
        return self.buffer[at : at + size].tobytes()

    @property
    def nbytes(self) -> int:
        """Bytes of the values themselves."""
        return int(np.maximum(self.length, 0).sum())

    @property
    def null(self) -> npt.NDArray[np.bool_]:
        return self.length < 0

    def take(self, rows: npt.NDArray[np.integer | np.bool_] | slice) -> Bytes:
        """The rows of an index, a mask or a slice; the buffer is shared."""
        return Bytes(self.buffer, self.start[rows], self.length[rows])

    def compact(self) -> Bytes:
        """The same rows in a buffer of their own, one after the other, so that a larger one can be let go."""
        offsets: npt.NDArray[Any] = np.empty(len(self) + 1, np.int32 if self.nbytes < 2**31 else np.int64)
        out = np.empty(self.nbytes, np.uint8)
        _gather(self.buffer, self.start, self.length, out, offsets)
        return Bytes(out, offsets[:-1].astype(np.int64), self.length.copy())

    def to_arrow(self, kind: pa.DataType | None = None) -> pa.Array:
        """A binary (or, with `kind=pa.string()`, a text) array; text is not checked to be UTF-8."""
        kind = kind or pa.binary()
        if self.nbytes >= 2**31:
            raise ValueError(f"{self.nbytes} bytes do not fit one Arrow binary array; take fewer rows at a time")
        offsets = np.empty(len(self) + 1, np.int32)
        out = np.empty(self.nbytes, np.uint8)
        _gather(self.buffer, self.start, self.length, out, offsets)
        null = self.null
        mask = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
        return pa.Array.from_buffers(kind, len(self), [mask, pa.py_buffer(offsets), pa.py_buffer(out)])

    @staticmethod
    def from_arrow(array: pa.Array | pa.ChunkedArray) -> Bytes:
        """From a binary or string array (large ones too), without a copy of its bytes."""
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
            if isinstance(array, pa.ChunkedArray):
                return Bytes.concat([Bytes.from_arrow(chunk) for chunk in array.chunks])
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        if not large and not pa.types.is_string(array.type) and not pa.types.is_binary(array.type):
            raise TypeError(f"a column of {array.type} has no bytes; cast it to string or binary first")
        _, at, data = array.buffers()
        width = np.int64 if large else np.int32
        size = len(array)
        if size == 0:
            return Bytes.empty()
        offsets = np.frombuffer(at, width)[array.offset : array.offset + size + 1].astype(np.int64)
        length = np.diff(offsets)
        if array.null_count:
            length[array.is_null().to_numpy(zero_copy_only=False)] = -1
        buffer = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
        return Bytes(buffer, offsets[:-1], length)

    @staticmethod
    def of(values: Iterable[bytes | None]) -> Bytes:
        """From Python byte strings; for tests and low-rate records."""
        rows = list(values)
        length = np.array([-1 if row is None else len(row) for row in rows], np.int64)
        size = np.maximum(length, 0)
        buffer = np.frombuffer(b"".join(row for row in rows if row), np.uint8)
        return Bytes(buffer, np.cumsum(size) - size, length)

    @staticmethod
    def nulls(rows: int) -> Bytes:
        return Bytes(np.empty(0, np.uint8), np.zeros(rows, np.int64), np.full(rows, -1, np.int64))

    @staticmethod
    def empty() -> Bytes:
        return Bytes.nulls(0)

    @staticmethod
    def concat(parts: Sequence[Bytes]) -> Bytes:
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Bytes.empty()
        shift = np.cumsum([0] + [len(part.buffer) for part in parts[:-1]])
        return Bytes(
            np.concatenate([part.buffer for part in parts]),
            np.concatenate([part.start + by for part, by in zip(parts, shift, strict=True)]),
            np.concatenate([part.length for part in parts]),
        )

    def to_list(self) -> list[bytes | None]:
        whole, end = self.buffer.tobytes(), self.start + np.maximum(self.length, 0)
        found: list[bytes | None] = [whole[first:last] for first, last in zip(self.start.tolist(), end.tolist(), strict=True)]
        for row in np.flatnonzero(self.null).tolist():
            found[row] = None
        return found


def _varint(buffer: UInt8, at: int) -> tuple[int, int]:
    shift = value = 0
    while True:
        byte = int(buffer[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


@dataclass(frozen=True, eq=False)
class Headers:
    """The headers of records, decoded only where asked for: most records have none."""

    buffer: UInt8
    start: Int64
    count: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def rows(self) -> Int64:
        """The rows that have any."""
        return np.flatnonzero(self.count)

    def __getitem__(self, row: int) -> list[tuple[str, bytes | None]]:
        found: list[tuple[str, bytes | None]] = []
        at = int(self.start[row])
        for _ in range(int(self.count[row])):
            size, at = _varint(self.buffer, at)
            name = self.buffer[at : at + size].tobytes().decode("utf-8", "replace")
            at += size
            size, at = _varint(self.buffer, at)
            value = None
            if size >= 0:
                value = self.buffer[at : at + size].tobytes()
                at += size
            found.append((name, value))
        return found

    def take(self, rows: npt.NDArray[np.integer | np.bool_] | slice) -> Headers:
        return Headers(self.buffer, self.start[rows], self.count[rows])

    @staticmethod
    def none(rows: int) -> Headers:
        return Headers(np.empty(0, np.uint8), np.zeros(rows, np.int64), np.zeros(rows, np.int32))

    @staticmethod
    def concat(parts: Sequence[Headers]) -> Headers:
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Headers.none(0)
        shift = np.cumsum([0] + [len(part.buffer) for part in parts[:-1]])
        return Headers(
            np.concatenate([part.buffer for part in parts]),
            np.concatenate([part.start + by for part, by in zip(parts, shift, strict=True)]),
            np.concatenate([part.count for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Records:
    """Records of one partition in the order of the log.

    `timestamps` are milliseconds since the epoch (-1: none). `next_offset` is the position after them, with control batches and
    aborted transactions skipped: the offset to commit when these records are done with. There may be no rows, only a new position.
    """

    topic: str
    partition: int
    offsets: Int64
    timestamps: Int64
    keys: Bytes
    values: Bytes
    headers: Headers
    next_offset: int

    @staticmethod
    def none(topic: str, partition: int, next_offset: int) -> Records:
        """No rows, only a new position."""
        empty = np.empty(0, np.int64)
        return Records(topic, partition, empty, empty, Bytes.empty(), Bytes.empty(), Headers.none(0), next_offset)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers these columns keep alive (shared ones counted once)."""
        buffers = {
            id(part.buffer.base if part.buffer.base is not None else part.buffer): part.buffer.nbytes for part in (self.keys, self.values)
        }
        return sum(buffers.values()) + 60 * len(self)

    def take(self, rows: npt.NDArray[np.integer | np.bool_] | slice, next_offset: int | None = None) -> Records:
        return Records(
            self.topic,
            self.partition,
            self.offsets[rows],
            self.timestamps[rows],
            self.keys.take(rows),
            self.values.take(rows),
            self.headers.take(rows),
            self.next_offset if next_offset is None else next_offset,
        )

    def compact(self) -> Records:
        """The same with buffers of their own: of a small part of a fetch no more is kept, or sent, than is in it."""
        headers = self.headers if len(self.headers.rows) else Headers.none(len(self))
        return replace(self, keys=self.keys.compact(), values=self.values.compact(), headers=headers)

    @staticmethod
    def concat(parts: Sequence[Records]) -> Records:
        """Consecutive parts of one partition as one; what their rows need of the buffers is copied together."""
        if len(parts) == 1:
            return parts[0]
        joined = _join(parts)
        return Records(
            parts[0].topic,
            parts[0].partition,
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.timestamps for part in parts]),
            *(
                joined
                or (
                    Bytes.concat([p.keys for p in parts]),
                    Bytes.concat([p.values for p in parts]),
                    Headers.concat([p.headers for p in parts]),
                )
            ),
            parts[-1].next_offset,
        )


def _join(parts: Sequence[Records]) -> tuple[Bytes, Bytes, Headers] | None:
    """Keys, values and headers over one buffer, where those of each part share theirs, as fetched ones do; else None."""
    if not all(part.keys.buffer is part.values.buffer is part.headers.buffer for part in parts):
        return None
    pieces, shifts, size = [], [], 0
    for part in parts:
        # rows of a part stand in the order of its buffer: keys, then values, then headers
        first = int(part.keys.start[0]) if len(part) else 0
        last = int(part.headers.start[-1]) if len(part) else 0
        if len(part) and part.headers.count[-1]:
            last = len(part.values.buffer)
        pieces.append(part.values.buffer[first:last])
        shifts.append(size - first)
        size += last - first
    buffer = np.concatenate(pieces)

    def moved(starts: Sequence[Int64]) -> Int64:
        return np.concatenate([start + by for start, by in zip(starts, shifts, strict=True)])

    return (
        Bytes(buffer, moved([part.keys.start for part in parts]), np.concatenate([part.keys.length for part in parts])),
        Bytes(buffer, moved([part.values.start for part in parts]), np.concatenate([part.values.length for part in parts])),
        Headers(buffer, moved([part.headers.start for part in parts]), np.concatenate([part.headers.count for part in parts])),
    )
