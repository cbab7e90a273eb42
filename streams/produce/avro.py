"""Rows of files as Avro records, for sources whose format is Avro: the project's schema, with the registry's five-byte header."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import fastavro
import pyarrow as pa

from connectors.formats import json as json_format
from connectors.formats.avro_schema import MILLIS, fields_of
from connectors.formats.registry import Registry
from connectors.kafka.columns import Bytes
from streams.errors import ProjectError
from streams.produce.chunk import Bad, Chunk
from streams.project import Project
from streams.sections import Source
from streams.types import Type

_PLAIN_ID = 1  # the id of the project's own schema, where there is no registry


def as_avro(project: Project, source: Source) -> Callable[[Chunk], Chunk]:
    """What turns JSON rows into Avro ones; a row that does not fit stays as it is, and is named among the bad ones."""
    if source.avsc is None:
        raise ProjectError(f'sources.{source.name}: format = "avro" needs schema = "FILE.avsc" to be written to.')
    schema = json.loads(source.avsc.read_text(encoding="utf-8"))
    parsed = fastavro.parse_schema(schema)
    scale = {field.name: MILLIS[field.logical] for field in fields_of(schema) if field.logical in MILLIS}
    number = _PLAIN_ID
    if project.schema_registry is not None:
        number = Registry(project.schema_registry).register(f"{project.topic(source.name)}-value", schema)
    head = struct.pack(">bI", 0, number)

    def convert(chunk: Chunk) -> Chunk:
        read = json_format.decode(chunk.values, source.fields)
        values = chunk.values.to_list()
        bad = list(chunk.bad)
        for at, row in zip(read.good, _rows(read.table, source, scale), strict=True):
            stream = io.BytesIO()
            try:
                fastavro.schemaless_writer(stream, parsed, row)
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                bad.append(
                    Bad(
                        f"{source.name}, sent row {int(at) + 1}",
                        f"it does not fit {source.avsc.name if source.avsc else 'the schema'}: {error}",
                        int(at),
                    )
                )
                continue
            values[int(at)] = head + stream.getvalue()
        return replace(chunk, values=Bytes.of(values), bad=bad)

    return convert


def _rows(table: pa.Table, source: Source, scale: Mapping[str, int]) -> list[dict[str, Any]]:
    """Times as numbers in the unit of their logical types, of which `scale` has how many are a millisecond."""
    for name, kind in source.fields.items():
        if kind is Type.TIMESTAMP:
            at = table.schema.get_field_index(name)
            table = table.set_column(at, name, table.column(name).cast(pa.int64()))
    found: list[dict[str, Any]] = table.to_pylist()
    for name, by in scale.items():
        for row in found:
            row[name] = None if row[name] is None else row[name] * by
    return found
