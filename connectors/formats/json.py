"""JSON objects, one a record, as columns and back.

Reading is strict about types (what does not fit is refused with the field, the wished type and the value met) and exact: a number is
Python's float() of its text. Writing keeps every value: numbers as Python's repr, NaN and the infinities as the bare words NaN,
Infinity and -Infinity, which the reader takes too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from connectors.formats import json_scan as fast
from connectors.formats.cells import BITS, Cells, Layout, Read, Unreadable
from connectors.formats.json_write import encode
from connectors.formats.times import NONE, days_of
from connectors.kafka.columns import Bytes
from streams.types import Schema, Type

__all__ = ["Decoder", "decode", "encode"]

_WORDS = tuple(np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null", b"NaN"))
NO_SIZE = 1 << 62


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
        self._layout = Layout(schema, required)
        names = [name.encode() for name in self.schema]
        self._names = np.frombuffer(b"".join(names) + bytes(8), np.uint8)
        self._name_at = np.cumsum([0] + [len(name) for name in names]).astype(np.int64)
        # a name that has to be escaped stands nowhere as it is
        escaped = [any(byte < 32 or byte in b'"\\' for byte in name) for name in names]
        self._name_len = np.array([NO_SIZE if bad else len(name) for name, bad in zip(names, escaped, strict=True)], np.int64)

    def decode(self, values: Bytes) -> Read:
        """Read the records; a null value is refused as an empty message."""
        rows, layout = len(values), self._layout
        cells = Cells(layout, rows, values.buffer)
        status, unknown = np.empty(rows, np.uint8), np.zeros(rows, np.int32)
        fast.scan(
            values.buffer.ctypes.data, len(values.buffer), values.start, values.length, self._names, self._name_at, self._name_len,
            layout.kinds, layout.slots, layout.least, layout.most, layout.needed, _WORDS, cells.ints, cells.floats, cells.text_at, cells.text_len, cells.valid, status, unknown,
        )  # fmt: skip
        if self.strict:
            status[unknown > 0] = 1
        errors: list[tuple[int, str]] = []
        for row in np.flatnonzero(status).tolist():
            cells.valid[:, row] = 0
            try:
                found = self._exact(values[row])
            except Unreadable as error:
                errors.append((row, str(error)))
                continue
            status[row] = 0
            for field, cell in enumerate(found):
                if cell is not None:
                    cells.put(row, field, cell)
        if not self.strict and unknown.any():
            first = int(unknown.argmax())
            self._exact(values[first])  # for their names; counts them too
            self.unknown_fields += int(unknown.sum()) - int(unknown[first])
        good = np.flatnonzero(status == 0)
        return Read(cells.table(good if errors else None), good, errors)

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
        cells: list[Any] = []
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
    if kind in BITS and number:
        if isinstance(cell, float) and not cell.is_integer():
            raise Unreadable(f"field {name}: {_wanted(kind)} wanted, met {_met(cell)}")
        bits = BITS[kind]
        if not -(2 ** (bits - 1)) <= cell < 2 ** (bits - 1):
            raise Unreadable(f"field {name}: {kind} wanted ({bits} bits), met {_met(cell)}, which does not fit")
        return int(cell)
    if kind is Type.DATE and isinstance(cell, str):
        text = np.frombuffer(cell.encode("utf-8", "replace") or b" ", np.uint8)
        found = int(days_of(text, 0, len(text)))
        if found != NONE:
            return found
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


@lru_cache(64)
def _decoder(schema: tuple[tuple[str, Type], ...], required: tuple[str, ...], strict: bool) -> Decoder:
    fields: Mapping[str, Type] = dict(schema)
    return Decoder(fields, required, strict)
