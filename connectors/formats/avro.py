"""Avro records with Confluent's five-byte header (0, then the writer's schema id) as columns and back.

Each record is read by the schema it was written with, resolved to the wished columns by Avro's rules: fields that were added or removed,
defaults, aliases, promotions (int to long to float to double, bytes to string). Flat records are read by numba; a writer's schema with
nested fields by fastavro, record by record, for the same result.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import fastavro
import fastavro._read_py as _read_py
import numpy as np
import numpy.typing as npt

from connectors.formats import avro_scan as fast
from connectors.formats.avro_schema import MILLIS, Field, columns_of, fields_of, may_nest, parsed
from connectors.formats.avro_write import encode, schema_of_table
from connectors.formats.cells import BITS, BOOL, DATE, DOUBLE, INTEGER, TEXT, Cells, Layout, Read, Unreadable
from connectors.formats.registry import ProjectSchemas, Registry, Schemas
from connectors.kafka.columns import Bytes
from streams.errors import ProjectError
from streams.types import Int64, Schema, Type

__all__ = ["Decoder", "ProjectSchemas", "Registry", "Schemas", "columns_of", "decode", "encode", "schema_of_table"]

_PRIMITIVES = {
    "null": fast.NULL,
    "boolean": fast.BOOLEAN,
    "int": fast.INT,
    "long": fast.LONG,
    "float": fast.FLOAT,
    "double": fast.DOUBLE,
    "string": fast.STRING,
    "bytes": fast.BYTES,
}
_FOUND = {
    fast.SHORT: "the record breaks off",
    fast.LEFT_OVER: "bytes are left over after the last field",
    fast.BRANCH: "there is no such branch in its union",
    fast.SYMBOL: "there is no such symbol in its enum",
    fast.NO_TEXT: "the text is not UTF-8",
    fast.RANGE: "the value does not fit",
}


def _fits(field: Field, kind: Type) -> tuple[int, int, int] | None:
    """(store, divide, writer's kind) of a writer's field for a column of this type, by Avro's promotions; None where it does not fit."""
    written = _PRIMITIVES.get(field.kind, fast.ENUM if field.kind == "enum" else -1)
    if written == fast.NULL:
        return fast.SKIP, 1, written
    if kind is Type.STRING and (written in (fast.STRING, fast.ENUM) or (written == fast.BYTES and field.logical is None)):
        return fast.TEXTS, 1, written  # bytes of a logical type are a decimal's digits, no text
    if kind is Type.BOOL and written == fast.BOOLEAN:
        return fast.INTS, 1, written
    if field.logical in MILLIS and written == fast.LONG:
        return (
            (fast.INTS, MILLIS[field.logical], written)
            if kind is Type.TIMESTAMP
            else (fast.INTS, 1, written)
            if kind is Type.BIGINT
            else None
        )
    if kind is Type.TIMESTAMP and written in (fast.INT, fast.LONG) and field.logical is None:
        return fast.INTS, 1, written
    if kind is Type.DATE and written == fast.INT and field.logical == "date":
        return fast.INTS, 1, written
    whole = {Type.BIGINT: (fast.INT, fast.LONG), Type.INT: (fast.INT,), Type.SMALLINT: (fast.INT,)}
    if written in whole.get(kind, ()):
        return fast.INTS, 1, written
    if kind in (Type.DOUBLE, Type.FLOAT) and written in (fast.INT, fast.LONG, fast.FLOAT, *((fast.DOUBLE,) if kind is Type.DOUBLE else ())):
        return fast.FLOATS, 1, written
    return None


def decode(values: Bytes, schema: Schema, schemas: Schemas, *, reader: Any = None, required: Collection[str] = ()) -> Read:
    """Read Avro records into the columns of the schema. See `Decoder`, which is to be kept where there are many batches."""
    return Decoder(schema, schemas, reader, required).decode(values)


class Decoder:
    """Reads Avro records by the schemas they were written with.

    `reader` is the project's own Avro schema, where it has one: its defaults and aliases fill in fields that a writer did not have.
    A column that is neither written nor has a default is NULL, and refused where it is `required`.
    """

    def __init__(self, schema: Schema, schemas: Schemas, reader: Any = None, required: Collection[str] = ()) -> None:
        self.schema, self.schemas = dict(schema), schemas
        self._required = tuple(name for name in schema if name in required)
        self._layout = Layout(schema, required)
        self._reader = {field.name: field for field in fields_of(reader)} if reader is not None else {}
        self._plans: dict[int, _Plan | str] = {}

    def decode(self, values: Bytes) -> Read:
        """Read the records; a null value is refused as an empty message. BrokerError where the registry does not answer."""
        rows, layout = len(values), self._layout
        cells = Cells(layout, rows, values.buffer)
        reasons: dict[int, str] = {}
        ids = self._ids(values, reasons)
        for number in np.unique(ids[ids >= 0]).tolist():
            chosen = np.flatnonzero(ids == number)
            plan = self._plan(number)
            if isinstance(plan, str):
                reasons.update(dict.fromkeys(chosen.tolist(), plan))
                continue
            plan.read(values, chosen, cells, reasons)
        for field in layout.needed.tolist():
            for row in np.flatnonzero((cells.valid[field] == 0) & (ids >= 0)).tolist():
                name = list(self.schema)[field]
                reasons.setdefault(row, f"field {name}: {self.schema[name]} wanted, met null or nothing")
        if not reasons:
            return Read(cells.table(), np.arange(rows), [])
        good = np.setdiff1d(np.arange(rows), np.fromiter(reasons, np.int64, len(reasons)))
        return Read(cells.table(good), good, sorted(reasons.items()))

    def _ids(self, values: Bytes, reasons: dict[int, str]) -> Int64:
        """The schema id of each record, -1 where there is none."""
        ids = np.full(len(values), -1, np.int64)
        long = np.flatnonzero(values.length >= 5)
        at = values.start[long]
        ids[long] = sum(values.buffer[at + 1 + i].astype(np.int64) << (24 - 8 * i) for i in range(4)) if len(long) else 0
        for row in np.flatnonzero(values.length < 5).tolist():
            empty = values.length[row] <= 0
            reasons[row] = (
                "an empty message; wished one Avro record" if empty else "too short for Avro with Confluent's header of five bytes"
            )
        for row in long[values.buffer[at] != 0].tolist():
            ids[row] = -1
            reasons[row] = f"the first byte is {int(values.buffer[values.start[row]])}, wished 0 and a schema id (Confluent's header)"
        return ids

    def _plan(self, number: int) -> _Plan | str:
        """How to read a writer's records, or why they cannot be read."""
        if number not in self._plans:
            try:
                writer = self.schemas.schema(number)
                if writer is None:
                    return f"schema id {number} is not known to {self.schemas}"
                self._plans[number] = self._resolve(number, writer)
            except (Unreadable, ProjectError) as error:
                self._plans[number] = str(error)
        return self._plans[number]

    def _resolve(self, number: int, writer: Any) -> _Plan:
        written = fields_of(writer)
        by_name = {field.name: place for place, field in enumerate(written)}
        goes: dict[int, int] = {}
        defaults: dict[int, Any] = {}
        for column, (name, kind) in enumerate(self.schema.items()):
            wished = self._reader.get(name)
            place = next((by_name[one] for one in (name, *(wished.aliases if wished else ())) if one in by_name), None)
            if place is None:
                if wished is not None and not wished.has_default and self._reader:
                    raise Unreadable(f"field {name}: the writer's schema {number} does not have it, and the project's gives no default")
                if wished is not None and wished.default is not None:
                    defaults[column] = _default(wished, kind)
                continue
            field = written[place]
            if _fits(field, kind) is None:
                logical = f" ({field.logical})" if field.logical else ""
                raise Unreadable(f"field {name}: {kind} wanted, the writer's schema {number} has {field.kind}{logical}")
            goes[place] = column
        return _Plan(number, writer, written, goes, defaults, self._layout, list(self.schema.values()))


class _Plan:
    """How the records of one writer's schema become columns."""

    def __init__(
        self,
        number: int,
        writer: Any,
        written: Sequence[Field],
        goes: Mapping[int, int],
        defaults: Mapping[int, Any],
        layout: Layout,
        types: Sequence[Type],
    ) -> None:
        self.number, self.written, self.goes, self.defaults, self.types = number, written, goes, defaults, types
        self.flat = all(field.kind in _PRIMITIVES or field.kind in ("enum", "fixed") for field in written)
        self._parsed: Any = None if self.flat else parsed(_bare(writer))
        # the compiled reader has no end to how deep it goes, and would take the process with it
        self._read = _read_py.schemaless_reader if not self.flat and may_nest(self._parsed) else fastavro.schemaless_reader
        self._symbols: list[bytes | int] = []  # an enum's number of symbols, then these
        count = len(written)
        self._table = np.zeros((7, count), np.int64)
        kinds, nulls, stores, slots, fields, divide, sizes = self._table
        divide[:] = 1
        self._least, self._most = np.full(count, -(2**63), np.int64), np.full(count, 2**63 - 1, np.int64)
        for place, field in enumerate(written):
            kinds[place] = _PRIMITIVES.get(field.kind, fast.ENUM if field.kind == "enum" else fast.FIXED)
            nulls[place] = field.null
            if field.kind == "enum":
                sizes[place] = len(self._symbols)
                symbols = _inner(field.full)["symbols"]
                self._symbols += [len(symbols), *(symbol.encode() for symbol in symbols)]
            elif field.kind == "fixed":
                sizes[place] = _inner(field.full)["size"]
            if place in goes:
                column = goes[place]
                fit = _fits(field, types[column])
                assert fit is not None
                stores[place], divide[place], _ = fit
                slots[place], fields[place] = layout.slots[column], column
                self._least[place], self._most[place] = layout.least[column], layout.most[column]

    def read(self, values: Bytes, rows: Int64, cells: Cells, reasons: dict[int, str]) -> None:
        for column, value in self.defaults.items():
            self._fill(cells, rows, column, value)
        if not self.flat:
            for row in rows.tolist():
                try:
                    self._read_one(values[row] or b"", row, cells)
                except Unreadable as error:
                    reasons[row] = str(error)
            return
        kinds, nulls, stores, slots, fields, divide, sizes = self._table
        status, where = np.zeros(len(values), np.uint8), np.zeros(len(values), np.int64)
        fast.decode(
            values.buffer.ctypes.data, rows, values.start + 5, values.length - 5, kinds, nulls, stores, slots, fields, divide, sizes,
            self._least, self._most, self._places(cells), cells.ints, cells.floats, cells.text_at, cells.text_len, cells.valid, status, where,
        )  # fmt: skip
        for row in np.flatnonzero(status).tolist():
            cells.valid[:, row] = 1  # its reason is this one, not a missing field
            found = int(status[row])
            name = "" if found == fast.LEFT_OVER or not self.written else f"field {self.written[int(where[row])].name}: "
            reasons[row] = f"{name}{_FOUND[found]} (written with schema {self.number})"

    def _places(self, cells: Cells) -> npt.NDArray[np.int64]:
        table = np.zeros((max(len(self._symbols), 1), 2), np.int64)
        for place, one in enumerate(self._symbols):
            table[place] = (0, one) if isinstance(one, int) else (cells.keep(one), len(one))
        return table

    def _fill(self, cells: Cells, rows: Int64, column: int, value: Any) -> None:
        slot, kind = cells.layout.slots[column], cells.layout.kinds[column]
        cells.valid[column, rows] = 1
        if kind == TEXT:
            cells.text_at[slot, rows], cells.text_len[slot, rows] = cells.keep(value.encode()), len(value.encode())
        elif kind == DOUBLE:
            cells.floats[slot, rows] = value
        else:
            cells.ints[slot, rows] = value

    def _read_one(self, value: bytes, row: int, cells: Cells) -> None:
        """By fastavro, without logical types: the bare numbers are scaled as in the quick way."""
        data = io.BytesIO(value[5:])
        try:
            found: Any = self._read(data, self._parsed, None)
        except RecursionError:
            cells.valid[:, row] = 1
            raise Unreadable(f"nested too deeply (written with schema {self.number})") from None
        except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
            cells.valid[:, row] = 1
            raise Unreadable(f"the record cannot be read (written with schema {self.number}): {type(error).__name__}: {error}") from None
        if data.read(1):
            cells.valid[:, row] = 1
            raise Unreadable(f"{_FOUND[fast.LEFT_OVER]} (written with schema {self.number})")
        for place, column in self.goes.items():
            field, kind = self.written[place], self.types[column]
            cell = found[field.name]
            if cell is None:
                continue
            if isinstance(cell, bytes):
                try:
                    cell = cell.decode()
                except UnicodeDecodeError:
                    cells.valid[:, row] = 1
                    raise Unreadable(f"field {field.name}: {_FOUND[fast.NO_TEXT]} (written with schema {self.number})") from None
            if cells.layout.kinds[column] in (INTEGER, DATE, BOOL):
                cell = int(cell) // int(self._table[5, place])
                bits = BITS.get(kind, 64)
                if not -(2 ** (bits - 1)) <= cell < 2 ** (bits - 1):
                    cells.valid[:, row] = 1
                    raise Unreadable(f"field {field.name}: {_FOUND[fast.RANGE]} (written with schema {self.number})")
            cells.put(row, column, cell)


def _inner(kind: Any) -> Any:
    while isinstance(kind, Mapping) and isinstance(kind["type"], Mapping):
        kind = kind["type"]
    return kind


def _bare(schema: Any) -> Any:
    """The schema without logical types."""
    if isinstance(schema, Mapping):
        return {name: _bare(inner) for name, inner in schema.items() if name != "logicalType"}
    return [_bare(inner) for inner in schema] if isinstance(schema, list) else schema


def _default(field: Field, kind: Type) -> Any:
    """The reader's default as it is kept."""
    value = field.default
    if field.logical in MILLIS and kind is Type.TIMESTAMP:
        return int(value) // MILLIS[field.logical]
    if kind in (Type.DOUBLE, Type.FLOAT):
        return float(value)
    if kind is Type.BOOL:
        return int(value)
    if isinstance(value, (int, str)):
        return value
    raise ProjectError(f"the default of field {field.name} is {value!r}, wished {kind}")
