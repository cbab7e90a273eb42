"""JSON objects, one a record, as columns and back.

Reading is strict about types (what does not fit is refused with the field, the wished type and the value met) and exact: a number is
Python's float() of its text. Writing keeps every value: numbers as Python's repr, NaN and the infinities as the bare words NaN,
Infinity and -Infinity, which the reader takes too.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.formats import json_scan as fast
from connectors.formats.json_write import encode
from connectors.kafka.columns import Bytes
from streams.types import Int64, Schema, Type

__all__ = ["Decoder", "decode", "encode"]

_KIND = {
    Type.BOOL: fast.BOOL,
    Type.SMALLINT: fast.INTEGER,
    Type.INT: fast.INTEGER,
    Type.BIGINT: fast.INTEGER,
    Type.TIMESTAMP: fast.INTEGER,
    Type.FLOAT: fast.DOUBLE,
    Type.DOUBLE: fast.DOUBLE,
    Type.STRING: fast.TEXT,
    Type.DATE: fast.DATE,
}
_BITS = {Type.SMALLINT: 16, Type.INT: 32, Type.BIGINT: 64, Type.TIMESTAMP: 64}
_WORDS = tuple(np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null", b"NaN"))
_PLAIN = np.array([32 <= byte < 127 + 1 and byte not in b'"\\' for byte in range(256)])
_EPOCH = datetime.date(1970, 1, 1)


class Unreadable(ValueError):
    """Why one record cannot be read."""


class Read(NamedTuple):
    """`table` has the rows that could be read, `good` their indexes, `errors` (index, reason) of the others."""

    table: pa.Table
    good: Int64
    errors: list[tuple[int, str]]


def decode(values: Bytes, schema: Schema, *, required: Collection[str] = (), strict: bool = False) -> Read:
    """Read one JSON object a record into the columns of the schema. See `Decoder`."""
    return _decoder(tuple(schema.items()), tuple(sorted(required)), strict).decode(values)


class Decoder:
    """Reads JSON objects by one schema.

    A field that is missing or null is NULL, and refused where it is `required`. A field without a column is passed over and counted
    in `unknown_fields` (`unknown_names` has some of their names), or refused where `strict`. A TIMESTAMP is integer milliseconds since
    the epoch, a DATE is text (YYYY-MM-DD); whole numbers may be written 5 or 5.0; of a field that stands twice, the last counts.
    """

    def __init__(self, schema: Schema, required: Collection[str] = (), strict: bool = False) -> None:
        self.schema = dict(schema)
        self.strict = strict
        self.required = frozenset(required)
        self.unknown_fields = 0
        self.unknown_names: set[str] = set()
        if missing := self.required - set(schema):
            raise ValueError(f"required fields without a column: {', '.join(sorted(missing))}")
        names = [name.encode() for name in self.schema]
        kinds = [_KIND[kind] for kind in self.schema.values()]
        self._names = np.frombuffer(b"".join(names) or b" ", np.uint8)
        self._name_at = np.cumsum([0] + [len(name) for name in names]).astype(np.int64)
        self._kinds = np.array(kinds, np.int64)
        counts = {"ints": 0, "floats": 0, "texts": 0}
        slots = []
        for kind in kinds:
            store = "floats" if kind == fast.DOUBLE else "texts" if kind == fast.TEXT else "ints"
            slots.append(counts[store])
            counts[store] += 1
        self._slots, self._counts = np.array(slots, np.int64), counts
        bits = [_BITS.get(kind, 64) for kind in self.schema.values()]
        self._least = np.array([-(2 ** (n - 1)) for n in bits], np.int64)
        self._most = np.array([2 ** (n - 1) - 1 for n in bits], np.int64)
        self._needed = np.array([i for i, name in enumerate(self.schema) if name in self.required], np.int64)

    def decode(self, values: Bytes) -> Read:
        """Read the records; a null value is refused as an empty message."""
        rows, fields = len(values), len(self.schema)
        ints = np.zeros((self._counts["ints"], rows), np.int64)
        floats = np.zeros((self._counts["floats"], rows))
        text_at = np.zeros((self._counts["texts"], rows), np.int64)
        text_len = np.zeros((self._counts["texts"], rows), np.int64)
        valid = np.zeros((fields, rows), np.uint8)
        status, unknown = np.empty(rows, np.uint8), np.zeros(rows, np.int32)
        fast.scan(
            values.buffer, values.start, values.length, self._names, self._name_at, self._kinds, self._slots, self._least, self._most,
            self._needed, _PLAIN, _WORDS, ints, floats, text_at, text_len, valid, status, unknown,
        )  # fmt: skip
        if self.strict:
            status[unknown > 0] = 1
        errors: list[tuple[int, str]] = []
        extra = bytearray()
        base = len(values.buffer)
        for row in np.flatnonzero(status).tolist():
            valid[:, row] = 0
            try:
                cells = self._exact(values[row])
            except Unreadable as error:
                errors.append((row, str(error)))
                continue
            status[row] = 0
            for field, cell in enumerate(cells):
                if cell is None:
                    continue
                valid[field, row] = 1
                slot, kind = self._slots[field], self._kinds[field]
                if kind == fast.TEXT:
                    text = cell.encode()
                    text_at[slot, row], text_len[slot, row] = base + len(extra), len(text)
                    extra += text
                elif kind == fast.DOUBLE:
                    floats[slot, row] = cell
                else:
                    ints[slot, row] = cell
        if not self.strict and unknown.any():
            first = int(unknown.argmax())
            self._exact(values[first])  # for their names; counts them too
            self.unknown_fields += int(unknown.sum()) - int(unknown[first])
        good = np.flatnonzero(status == 0)
        columns = self._columns(values, bytes(extra), ints, floats, text_at, text_len, valid, good if errors else None)
        return Read(pa.table(columns), good, errors)

    def _columns(
        self, values: Bytes, extra: bytes, ints: Any, floats: Any, text_at: Any, text_len: Any, valid: Any, good: Int64 | None
    ) -> dict[str, pa.Array]:
        if good is not None:
            ints, floats, text_at, text_len, valid = (part[:, good] for part in (ints, floats, text_at, text_len, valid))
        more = np.frombuffer(extra or b" ", np.uint8)
        columns = {}
        for field, (name, kind) in enumerate(self.schema.items()):
            slot, has = self._slots[field], valid[field]
            size = len(has)
            nulls = size - int(np.count_nonzero(has))
            mask = pa.py_buffer(np.packbits(has, bitorder="little")) if nulls else None
            if kind is Type.STRING:
                length = np.where(has, text_len[slot], 0) if nulls else text_len[slot]
                total = int(length.sum())
                if total >= 2**31:
                    raise ValueError(f"{name} has {total:,} bytes of text in one batch; read fewer records at a time")
                offsets, out = np.empty(size + 1, np.int32), np.empty(total, np.uint8)
                _gather(values.buffer, more, text_at[slot], length, out, offsets)
                columns[name] = pa.Array.from_buffers(pa.string(), size, [mask, pa.py_buffer(offsets), pa.py_buffer(out)], nulls)
                continue
            data: npt.NDArray[Any] = floats[slot] if self._kinds[field] == fast.DOUBLE else ints[slot]
            if kind is Type.BOOL:
                data = np.packbits(data.astype(np.bool_), bitorder="little")
            elif kind is Type.FLOAT:
                with np.errstate(over="ignore"):
                    data = data.astype(np.float32)
            else:
                data = data.astype({Type.SMALLINT: np.int16, Type.INT: np.int32, Type.DATE: np.int32}.get(kind, data.dtype), copy=False)
            columns[name] = pa.Array.from_buffers(kind.arrow, size, [mask, pa.py_buffer(np.ascontiguousarray(data))], nulls)
        return columns

    def _exact(self, value: bytes | None) -> list[Any]:
        """One record by Python's own reader: a cell a field, or Unreadable with the reason."""
        if not value:
            raise Unreadable("an empty message; wished one JSON object")
        try:
            found = json.loads(value.decode(), parse_int=_whole)
        except UnicodeDecodeError as error:
            raise Unreadable(f"not UTF-8 at byte {error.start}; wished one JSON object") from None
        except RecursionError:
            raise Unreadable("nested too deeply; wished one flat JSON object") from None
        except ValueError as error:
            raise Unreadable(f"not JSON: {error}") from None
        if not isinstance(found, dict):
            raise Unreadable(f"a JSON object wanted, met {_met(found)}")
        strange = [name for name in found if name not in self.schema]
        if strange:
            self.unknown_fields += len(strange)
            self.unknown_names.update(name[:100] for name in strange[: max(20 - len(self.unknown_names), 0)])
            if self.strict:
                raise Unreadable(f"field {strange[0]} is not in the schema, and the source is strict")
        cells = []
        for name, kind in self.schema.items():
            cell = found.get(name)
            if cell is None:
                if name in self.required:
                    raise Unreadable(f"field {name}: {kind} wanted, " + ("met null" if name in found else "it is missing"))
                cells.append(None)
            else:
                cells.append(_cell(name, kind, cell))
        return cells


def _whole(text: str) -> int | float:
    """A whole number; -0 keeps its sign for a DOUBLE, and one too long for int() is read as float() reads it."""
    return float(text) if text == "-0" or len(text) > 4000 else int(text)


def _cell(name: str, kind: Type, cell: Any) -> Any:
    """The value as it is kept, or Unreadable."""
    number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
    if kind in (Type.DOUBLE, Type.FLOAT) and number:
        try:
            return float(cell)
        except OverflowError:
            return float("inf") if cell > 0 else float("-inf")  # as float() of its text
    if kind is Type.STRING and isinstance(cell, str):
        try:
            cell.encode()
        except UnicodeEncodeError:
            raise Unreadable(f"field {name}: the text has half a surrogate pair, which is no character") from None
        return cell
    if kind is Type.BOOL and isinstance(cell, bool):
        return int(cell)
    if kind in _BITS and number:
        if isinstance(cell, float) and not cell.is_integer():
            raise Unreadable(f"field {name}: {_wanted(kind)} wanted, met {_met(cell)}")
        bits = _BITS[kind]
        if not -(2 ** (bits - 1)) <= cell < 2 ** (bits - 1):
            raise Unreadable(f"field {name}: {kind} wanted ({bits} bits), met {_met(cell)}, which does not fit")
        return int(cell)
    if kind is Type.DATE and isinstance(cell, str):
        text = np.frombuffer(cell.encode("utf-8", "replace") or b" ", np.uint8)
        days = int(fast.days_of(text, 0, len(text)))
        if days > -(2**62):
            return days
    raise Unreadable(f"field {name}: {_wanted(kind)} wanted, met {_met(cell)}")


def _wanted(kind: Type) -> str:
    if kind is Type.TIMESTAMP:
        return "TIMESTAMP as integer milliseconds since the epoch"
    return "DATE as text YYYY-MM-DD" if kind is Type.DATE else str(kind)


def _met(cell: Any) -> str:
    if isinstance(cell, str):
        return f'text "{cell[:60]}"' + ("..." if len(cell) > 60 else "")
    if isinstance(cell, bool) or cell is None:
        return {True: "true", False: "false", None: "null"}[cell]
    if isinstance(cell, (int, float)):
        if isinstance(cell, int) and abs(cell) >= 10**40:
            return "a number of more than 40 digits"
        return f"number {cell!r}"
    return "an array" if isinstance(cell, list) else "an object"


@numba.njit(cache=True, nogil=True)  # type: ignore[misc]
def _gather(buffer, more, start, length, out, offsets):  # type: ignore[no-untyped-def]
    """The texts one after the other; a start past the buffer is in `more`."""
    q = 0
    size = len(buffer)
    for i in range(len(start)):
        offsets[i] = q
        n, at = length[i], start[i]
        if at < size:
            for j in range(n):
                out[q + j] = buffer[at + j]
        else:
            for j in range(n):
                out[q + j] = more[at - size + j]
        q += n
    offsets[len(start)] = q


@lru_cache(64)
def _decoder(schema: tuple[tuple[str, Type], ...], required: tuple[str, ...], strict: bool) -> Decoder:
    fields: Mapping[str, Type] = dict(schema)
    return Decoder(fields, required, strict)
