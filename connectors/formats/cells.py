"""Typed columns being filled, row by row, by a reader of some format: what json.py and avro.py have in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.bytes import copy
from streams.types import Int64, Schema, Type

BOOL, INTEGER, DOUBLE, TEXT, DATE = range(5)  # how a field is kept; INTEGER is SMALLINT, INT, BIGINT and TIMESTAMP
KIND = {
    Type.BOOL: BOOL,
    Type.SMALLINT: INTEGER,
    Type.INT: INTEGER,
    Type.BIGINT: INTEGER,
    Type.TIMESTAMP: INTEGER,
    Type.FLOAT: DOUBLE,
    Type.DOUBLE: DOUBLE,
    Type.STRING: TEXT,
    Type.DATE: DATE,
}
BITS = {Type.SMALLINT: 16, Type.INT: 32, Type.BIGINT: 64, Type.TIMESTAMP: 64}


class Unreadable(ValueError):
    """Why one record cannot be read."""


class Read(NamedTuple):
    """`table` has the rows that could be read, `good` their indexes, `errors` (index, reason) of the others."""

    table: pa.Table
    good: Int64
    errors: list[tuple[int, str]]


class Layout:
    """Where the fields of a schema are kept: `kinds[f]`, and `slots[f]`, a row of the ints, the floats or the texts."""

    def __init__(self, schema: Schema, required: Collection[str] = ()) -> None:
        self.schema = dict(schema)
        if missing := set(required) - set(schema):
            raise ValueError(f"required fields without a column: {', '.join(sorted(missing))}")
        kinds = [KIND[kind] for kind in self.schema.values()]
        counts = [0, 0, 0]
        slots = []
        for kind in kinds:
            store = 1 if kind == DOUBLE else 2 if kind == TEXT else 0
            slots.append(counts[store])
            counts[store] += 1
        self.kinds, self.slots, self.counts = np.array(kinds, np.int64), np.array(slots, np.int64), counts
        bits = [BITS.get(kind, 64) for kind in self.schema.values()]
        self.least = np.array([-(2 ** (n - 1)) for n in bits], np.int64)
        self.most = np.array([2 ** (n - 1) - 1 for n in bits], np.int64)
        self.needed = np.array([i for i, name in enumerate(self.schema) if name in required], np.int64)


class Cells:
    """The values of some rows. A text is a place in the records' buffer, or, past its end, in `extra`."""

    def __init__(self, layout: Layout, rows: int, buffer: npt.NDArray[np.uint8]) -> None:
        self.layout, self.buffer = layout, buffer
        ints, floats, texts = layout.counts
        self.ints = np.zeros((ints, rows), np.int64)
        self.floats = np.zeros((floats, rows))
        self.text_at = np.zeros((texts, rows), np.int64)
        self.text_len = np.zeros((texts, rows), np.int64)
        self.valid = np.zeros((len(layout.kinds), rows), np.uint8)
        self.extra = bytearray()

    def put(self, row: int, field: int, value: Any) -> None:
        """One value, as Python has it (dates as days, texts as str)."""
        slot, kind = self.layout.slots[field], self.layout.kinds[field]
        self.valid[field, row] = 1
        if kind == TEXT:
            text = value.encode()
            self.text_at[slot, row], self.text_len[slot, row] = self.keep(text), len(text)
        elif kind == DOUBLE:
            self.floats[slot, row] = value
        else:
            self.ints[slot, row] = value

    def keep(self, text: bytes) -> int:
        """The place of a text that is not in the buffer."""
        self.extra += text
        return len(self.buffer) + len(self.extra) - len(text)

    def table(self, good: Int64 | None = None) -> pa.Table:
        """The rows (those of `good`) as a table of the schema's types."""
        parts = (self.ints, self.floats, self.text_at, self.text_len, self.valid)
        ints, floats, text_at, text_len, valid = parts if good is None else (part[:, good] for part in parts)
        more = np.frombuffer(bytes(self.extra) or b" ", np.uint8)
        rows = valid.shape[1] if len(self.layout.kinds) else 0
        columns = {}
        for field, (name, kind) in enumerate(self.layout.schema.items()):
            slot, has = self.layout.slots[field], valid[field]
            nulls = rows - int(np.count_nonzero(has))
            mask = pa.py_buffer(np.packbits(has, bitorder="little")) if nulls else None
            if kind is Type.STRING:
                length = np.where(has, text_len[slot], 0) if nulls else text_len[slot]
                total = int(length.sum())
                if total >= 2**31:
                    raise ValueError(f"{name} has {total:,} bytes of text in one batch; read fewer records at a time")
                offsets, out = np.empty(rows + 1, np.int32), np.empty(total, np.uint8)
                _gather(self.buffer, more, text_at[slot], length, out, offsets)
                columns[name] = pa.Array.from_buffers(pa.string(), rows, [mask, pa.py_buffer(offsets), pa.py_buffer(out)], nulls)
                continue
            data: npt.NDArray[Any] = floats[slot] if self.layout.kinds[field] == DOUBLE else ints[slot]
            if kind is Type.BOOL:
                data = np.packbits(data.astype(np.bool_), bitorder="little")
            elif kind is Type.FLOAT:
                with np.errstate(over="ignore"):
                    data = data.astype(np.float32)
            else:
                data = data.astype({Type.SMALLINT: np.int16, Type.INT: np.int32, Type.DATE: np.int32}.get(kind, data.dtype), copy=False)
            columns[name] = pa.Array.from_buffers(kind.arrow, rows, [mask, pa.py_buffer(np.ascontiguousarray(data))], nulls)
        return pa.table(columns)


@numba.njit(cache=True, nogil=True)
def _gather(buffer, more, start, length, out, offsets):  # type: ignore[no-untyped-def]
    """The texts one after the other; a start past the buffer is in `more`."""
    q = 0
    size = len(buffer)
    for i in range(len(start)):
        offsets[i] = q
        n, at = length[i], start[i]
        if at < size:
            copy(out, q, buffer, at, n)
        else:
            for j in range(n):
                out[q + j] = more[at - size + j]
        q += n
    offsets[len(start)] = q
