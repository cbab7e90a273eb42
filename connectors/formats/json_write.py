"""Columns as JSON, one object a row, in one pass."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.bytes import byte, copy, put
from connectors.formats.numbers import write_double, write_int
from connectors.kafka.columns import Bytes

BOOL, INTEGER, DOUBLE, TEXT, RAW = range(5)
WORDS = np.frombuffer(b"nulltruefalse\\u00", np.uint8).copy()
NULL, TRUE, FALSE, UNICODE = 0, 4, 8, 13
VALUE = "_value"  # a text column of this name is the record as it stands


@numba.njit(cache=True, nogil=True)
def _escapes(buffer, start, length):  # type: ignore[no-untyped-def]
    """How many bytes of the texts need an escape. `buffer` is an address."""
    n = 0
    for i in range(len(start)):
        for j in range(length[i]):
            letter = byte(buffer, start[i] + j)
            n += (letter < 32) | (letter == 34) | (letter == 92)  # no branch: several bytes at a time
    return n


@numba.njit(nogil=True)
def _write_text(out, p, buffer, at, size, clean):  # type: ignore[no-untyped-def]
    put(out, p, 34)
    p += 1
    if clean:
        copy(out, p, buffer, at, size)
        p += size
    else:
        for j in range(size):
            letter = byte(buffer, at + j)
            if letter == 34 or letter == 92:
                put(out, p, 92)
                put(out, p + 1, letter)
                p += 2
            elif letter < 32:
                short = 110 if letter == 10 else 116 if letter == 9 else 114 if letter == 13 else 0
                if short:
                    put(out, p, 92)
                    put(out, p + 1, short)
                    p += 2
                else:
                    copy(out, p, WORDS, UNICODE, 4)
                    low = letter & np.uint8(15)
                    put(out, p + 4, 48 + (letter >> np.uint8(4)))
                    put(out, p + 5, 48 + low if low < 10 else 87 + low)
                    p += 6
            else:
                put(out, p, letter)
                p += 1
    put(out, p, 34)
    return p + 1


@numba.njit(cache=True, nogil=True)
def _write(kinds, slots, names, name_at, ints, floats, texts, text_at, text_len, clean, valid, out, ends):  # type: ignore[no-untyped-def]
    """`names[name_at[c]:name_at[c+1]]` is what stands before the value of column c, its name in quotes and a colon.

    `names`, `texts` and `out` are addresses.
    """
    p = 0
    for i in range(len(ends)):
        for c in range(len(kinds)):
            copy(out, p, names, name_at[c], name_at[c + 1] - name_at[c])
            p += name_at[c + 1] - name_at[c]
            kind, slot = kinds[c], slots[c]
            if not valid[c, i]:
                copy(out, p, WORDS, NULL, 4)
                p += 4
            elif kind == INTEGER:
                p = write_int(out, p, ints[slot, i])
            elif kind == DOUBLE:
                p = write_double(out, p, floats[slot, i])
            elif kind == TEXT:
                p = _write_text(out, p, texts, text_at[slot, i], text_len[slot, i], clean[slot])
            elif kind == RAW:
                at, size = text_at[slot, i], text_len[slot, i]
                copy(out, p, texts, at, size)
                p += size
            elif ints[slot, i]:
                copy(out, p, WORDS, TRUE, 4)
                p += 4
            else:
                copy(out, p, WORDS, FALSE, 5)
                p += 5
        put(out, p, 125)
        p += 1
        ends[i] = p
    return p


def encode(table: pa.Table) -> Bytes:
    """One JSON object a row, its fields in the order of the columns.

    Numbers as Python's repr (so float(text) gives them back bit for bit), NaN and the infinities as bare words, NULL as null,
    timestamps as integer milliseconds, dates as text; structs, lists and decimals by a slower way. A text column named `_value`
    is the record itself.
    """
    rows = table.num_rows
    if VALUE in table.column_names:
        return Bytes.from_arrow(table.column(VALUE))
    if not table.num_columns:
        return Bytes.of([b"{}"] * rows)
    kinds, slots = [], []
    ints: list[Any] = []
    floats: list[Any] = []
    texts: list[Bytes] = []
    raw: list[bool] = []
    valid = np.ones((table.num_columns, rows), np.uint8)
    for place, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if array.null_count:
            valid[place] = array.is_valid().to_numpy(zero_copy_only=False)
        kind, data = cells_of(name, array)
        kinds.append(kind)
        store: list[Any] = floats if kind == DOUBLE else texts if kind in (TEXT, RAW) else ints
        slots.append(len(store))
        store.append(data)
        if store is texts:
            raw.append(kind == RAW)
    names, name_at = _names(tuple(table.column_names))
    room = rows * (len(names) + 1 + 5 * len(kinds) + 20 * len(ints) + 26 * len(floats))
    clean = np.ones(len(texts), np.bool_)
    for place, text in enumerate(texts):
        length = np.maximum(text.length, 0)
        escapes = 0 if raw[place] else int(_escapes(text.buffer.ctypes.data, text.start, length))
        clean[place] = not escapes
        room += text.nbytes + 2 * rows + 5 * escapes
    out, ends = np.empty(room, np.uint8), np.empty(rows, np.int64)
    joined, text_at = side_by_side(texts, rows)
    end = _write(
        np.array(kinds, np.int64),
        np.array(slots, np.int64),
        names.ctypes.data,
        name_at,
        np.stack(ints) if ints else np.empty((0, rows), np.int64),
        np.stack(floats) if floats else np.empty((0, rows)),
        joined.ctypes.data,
        text_at,
        np.stack([text.length for text in texts]) if texts else np.empty((0, rows), np.int64),
        clean,
        valid,
        out.ctypes.data,
        ends,
    )
    start = np.concatenate([[0], ends[:-1]]) if rows else ends
    return Bytes(out[: int(end)], start, ends - start)


@lru_cache(64)
def _names(columns: tuple[str, ...]) -> tuple[Any, Any]:
    """What stands before the values, and where each one's begins."""
    heads = [(("{" if not place else ",") + json.dumps(name, ensure_ascii=False) + ":").encode() for place, name in enumerate(columns)]
    return np.frombuffer(b"".join(heads), np.uint8), np.cumsum([0] + [len(head) for head in heads])


def cells_of(name: str, array: pa.Array) -> tuple[int, Any]:
    """How a column is written, and its values: int64, float64 or Bytes."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return cells_of(name, array.dictionary_decode())
    if pa.types.is_boolean(kind):
        return BOOL, _numbers(array.cast(pa.int8()), np.int64)
    if pa.types.is_uint64(kind) or pa.types.is_decimal(kind):
        return RAW, Bytes.from_arrow(array.cast(pa.string()))
    if pa.types.is_integer(kind):
        return INTEGER, _numbers(array, np.int64)
    if pa.types.is_floating(kind):
        return DOUBLE, _numbers(array.cast(pa.float32()) if pa.types.is_float16(kind) else array, np.float64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return TEXT, Bytes.from_arrow(array)
    if pa.types.is_timestamp(kind):
        if kind.unit in ("us", "ns"):
            array = pc.floor_temporal(array, unit="millisecond")
        return INTEGER, _numbers(array.cast(pa.timestamp("ms", kind.tz)).cast(pa.int64()), np.int64)
    if pa.types.is_date(kind):
        return TEXT, Bytes.from_arrow(array.cast(pa.date32()).cast(pa.string()))
    if pa.types.is_null(kind):
        return INTEGER, np.zeros(len(array), np.int64)
    if pa.types.is_struct(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return RAW, Bytes.of([json.dumps(_plain(cell), ensure_ascii=False, separators=(",", ":")).encode() for cell in array.to_pylist()])
    raise TypeError(f"column {name} is {kind}, which JSON has no value for; cast it to a number or to text")


def side_by_side(texts: list[Bytes], rows: int) -> tuple[Any, Any]:
    """The texts of all columns in one buffer, and where each one begins in it, by column and row. One column's buffer is not copied."""
    if not texts:
        return np.empty(0, np.uint8), np.empty((0, rows), np.int64)
    if len(texts) == 1:
        return texts[0].buffer, texts[0].start[np.newaxis]
    shift = np.cumsum([0] + [len(text.buffer) for text in texts[:-1]])
    return np.concatenate([text.buffer for text in texts]), np.stack([text.start + by for text, by in zip(texts, shift, strict=True)])


def _numbers(array: pa.Array, kind: Any) -> Any:
    filled = array.fill_null(0) if array.null_count else array
    return filled.to_numpy(zero_copy_only=False).astype(kind, copy=False)


def _plain(cell: Any) -> Any:
    """Nested values with timestamps and dates as at the top."""
    if isinstance(cell, dict):
        return {name: _plain(inner) for name, inner in cell.items()}
    if isinstance(cell, list):
        return [_plain(inner) for inner in cell]
    if hasattr(cell, "timestamp"):
        import calendar

        return calendar.timegm(cell.timetuple()) * 1000 + cell.microsecond // 1000
    return cell.isoformat() if hasattr(cell, "isoformat") else cell
