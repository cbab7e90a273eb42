"""What an Avro record schema says of its fields, and the column that each becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException

from streams.errors import ProjectError
from streams.types import Type

# of a logical type's numbers, how many are a millisecond
MILLIS = {"timestamp-millis": 1, "timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
MILLIS |= {f"local-{name}": by for name, by in MILLIS.items()}
_COLUMNS = {
    "boolean": Type.BOOL,
    "int": Type.INT,
    "long": Type.BIGINT,
    "float": Type.FLOAT,
    "double": Type.DOUBLE,
    "string": Type.STRING,
    "enum": Type.STRING,
}


@dataclass(frozen=True)
class Field:
    """A field of a record schema: its type without the union with null, and what there is besides."""

    name: str
    kind: str  # the type's name; record, array, map, enum, fixed, union are as such
    logical: str | None
    full: Any
    null: int  # the branch of null in its union; -1: no union, 2: a union of one type
    default: Any
    has_default: bool
    aliases: tuple[str, ...]


def fields_of(schema: Any) -> list[Field]:
    """The fields in the order they are written; ProjectError where it is no record schema."""
    named: dict[str, Any] = {}
    found = []
    for field in parsed(schema, named)["fields"]:
        kind, null = field["type"], -1
        if isinstance(kind, list):
            others = [branch for branch in kind if branch != "null"]
            if len(kind) == 1:
                kind, null = kind[0], 2
            elif len(kind) == 2 and len(others) == 1:
                kind, null = others[0], kind.index("null")
        full = kind = named.get(kind, kind) if isinstance(kind, str) else kind
        logical = None
        while isinstance(kind, Mapping):
            logical = logical or kind.get("logicalType")
            kind = kind["type"]
        name = "union" if isinstance(kind, list) else str(kind)
        found.append(
            Field(field["name"], name, logical, full, null, field.get("default"), "default" in field, tuple(field.get("aliases", ())))
        )
    return found


def parsed(schema: Any, named: dict[str, Any] | None = None) -> Any:
    """A record schema as fastavro has it: each name with its namespace, and in `named` what it stands for. A default that does not fit
    its type does no harm to who reads by a schema. ProjectError where it is no record schema."""
    try:
        found: Any = fastavro.parse_schema(schema, named, _ignore_default_error=True)
    except (SchemaParseException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectError(f"this is no Avro schema: {type(error).__name__}: {error}") from error
    if not isinstance(found, Mapping) or found["type"] != "record":
        raise ProjectError("an Avro schema of events must be a record")
    return found


def columns_of(schema: Any) -> dict[str, Type]:
    """The columns of an Avro record schema; ProjectError for a field that no column can hold."""
    found = {}
    for field in fields_of(schema):
        if field.logical in MILLIS:
            kind: Type | None = Type.TIMESTAMP
        elif field.logical == "date":
            kind = Type.DATE
        else:
            kind = _COLUMNS.get(field.kind)
        if kind is None:
            raise ProjectError(
                f"field {field.name} of the Avro schema is {field.kind}; a column is boolean, a number, text, a date or a timestamp"
            )
        found[field.name] = kind
    return found


def may_nest(kind: Any, inside: frozenset[str | None] = frozenset()) -> bool:
    """Whether a type of a parsed schema has another of itself within, so that its values may be of any depth."""
    if isinstance(kind, str):
        return kind in inside
    if isinstance(kind, list):
        return any(may_nest(one, inside) for one in kind)
    within = [kind["type"], kind.get("items", []), kind.get("values", []), *(field["type"] for field in kind.get("fields", ()))]
    return any(may_nest(one, inside | {kind.get("name")}) for one in within)
