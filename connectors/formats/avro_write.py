"""Columns as Avro records, each with Confluent's five-byte header."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import pyarrow as pa

from connectors.formats import avro_scan as fast
from connectors.formats.cells import BOOL, DOUBLE, INTEGER, TEXT
from connectors.formats.json_write import cells_of, side_by_side
from connectors.kafka.columns import Bytes

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def schema_of_table(schema: pa.Schema, name: str = "Row") -> dict[str, Any]:
    """The Avro schema that `encode` writes a table of this schema with: every field may be null, and is by default."""
    fields = []
    for field in schema:
        if not _NAME.fullmatch(field.name):
            raise TypeError(f"column {field.name} is no name in Avro; give it an alias of letters, digits and _")
        fields.append({"name": field.name, "type": ["null", _type(field.name, field.type)], "default": None})
    return {"type": "record", "name": name, "fields": fields}


def _type(name: str, kind: pa.DataType) -> Any:
    if pa.types.is_dictionary(kind):
        return _type(name, kind.value_type)
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_uint32(kind) or pa.types.is_int64(kind):
        return "long"
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return "int"
    if pa.types.is_float64(kind):
        return "double"
    if pa.types.is_floating(kind):
        return "float"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    if pa.types.is_timestamp(kind):
        return {"type": "long", "logicalType": "timestamp-millis"}
    if pa.types.is_date(kind):
        return {"type": "int", "logicalType": "date"}
    raise TypeError(f"column {name} is {kind}, which is not written as Avro; cast it to a number, text, a date or a timestamp")


def encode(table: pa.Table, number: int) -> Bytes:
    """One record a row, written with `schema_of_table(table.schema)`, which the registry knows as schema `number`."""
    schema_of_table(table.schema)
    rows = table.num_rows
    names = {"boolean": fast.BOOLEAN, "int": fast.INT, "long": fast.LONG, "float": fast.FLOAT, "double": fast.DOUBLE, "string": fast.STRING}
    kinds, slots = [], []
    ints: list[Any] = []
    floats: list[Any] = []
    texts: list[Bytes] = []
    valid = np.ones((table.num_columns, rows), np.uint8)
    for place, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if isinstance(array, pa.ChunkedArray):
            array = pa.array([], column.type)
        if array.null_count:
            valid[place] = array.is_valid().to_numpy(zero_copy_only=False)
        if pa.types.is_date(array.type):
            array = array.cast(pa.date32()).cast(pa.int32())
        kind = _type(name, table.schema.field(place).type)
        kinds.append(names[kind["type"] if isinstance(kind, dict) else kind])
        how, data = cells_of(name, array)
        store: list[Any] = {DOUBLE: floats, TEXT: texts, INTEGER: ints, BOOL: ints}[how]
        slots.append(len(store))
        store.append(data)
    matrix = np.stack(floats) if floats else np.empty((0, rows))
    with np.errstate(over="ignore"):
        singles = matrix.astype(np.float32).view(np.uint32)
    room = rows * (5 + len(kinds) + 10 * len(ints) + 8 * len(floats) + 10 * len(texts)) + sum(text.nbytes for text in texts)
    out, ends = np.empty(room, np.uint8), np.empty(rows, np.int64)
    joined, text_at = side_by_side(texts, rows)
    end = fast.encode(
        np.frombuffer(struct.pack(">bI", 0, number), np.uint8),
        np.array(kinds, np.int64),
        np.array(slots, np.int64),
        np.ones(len(kinds), np.bool_),
        singles,
        np.stack(ints) if ints else np.empty((0, rows), np.int64),
        matrix,
        joined.ctypes.data,
        text_at,
        np.stack([np.maximum(text.length, 0) for text in texts]) if texts else np.empty((0, rows), np.int64),
        valid,
        out.ctypes.data,
        ends,
    )
    start = np.concatenate([[0], ends[:-1]]) if rows else ends
    return Bytes(out[: int(end)], start, ends - start)
