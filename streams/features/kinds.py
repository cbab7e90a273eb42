"""Types while an expression is compiled: the column types, NULL, lists and maps."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from streams.types import Type


@dataclass(frozen=True)
class Kind:
    """A type as an expression has it. `name` is a `Type` value, NULL, LIST (`of` item), MAP (`of` key, value) or SIGNATURE."""

    name: str
    of: tuple[Kind, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}<{', '.join(map(str, self.of))}>" if self.of else self.name

    @property
    def column(self) -> Type | None:
        """The column type, None where no column can hold it."""
        return Type(self.name) if self.name in Type.__members__ else None

    @property
    def arrow(self) -> pa.DataType:
        if self.name == "LIST":
            return pa.list_(self.of[0].arrow)
        if self.name == "MAP":
            return pa.struct([("keys", pa.list_(self.of[0].arrow)), ("values", pa.list_(self.of[1].arrow))])
        return Type(self.name).arrow if self.column else pa.string()

    @property
    def sql(self) -> str:
        """How DuckDB holds it. A TIMESTAMP is a BIGINT of milliseconds there, so that no zone and no unit can get in."""
        if self.name == "LIST":
            return f"{self.of[0].sql}[]"
        if self.name == "MAP":
            return f"STRUCT(keys {self.of[0].sql}[], values {self.of[1].sql}[])"
        return _SQL[self.name]


_SQL = {
    "BOOL": "BOOLEAN",
    "SMALLINT": "SMALLINT",
    "INT": "INTEGER",
    "BIGINT": "BIGINT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "STRING": "VARCHAR",
    "TIMESTAMP": "BIGINT",
    "DATE": "DATE",
    "NULL": "INTEGER",
    "SIGNATURE": "VARCHAR[]",
}

BOOL, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, STRING, TIMESTAMP, DATE = (Kind(name) for name in Type.__members__)
NULL = Kind("NULL")
SIGNATURE = Kind("SIGNATURE")

INTEGERS = ("SMALLINT", "INT", "BIGINT")
NUMBERS = (*INTEGERS, "FLOAT", "DOUBLE")
_RANK = {name: rank for rank, name in enumerate(("BOOL", *NUMBERS))}

NAMES = {
    "BOOL": BOOL,
    "BOOLEAN": BOOL,
    "SMALLINT": SMALLINT,
    "INT16": SMALLINT,
    "I16": SMALLINT,
    "INT": INT,
    "INTEGER": INT,
    "INT32": INT,
    "I32": INT,
    "BIGINT": BIGINT,
    "INT64": BIGINT,
    "I64": BIGINT,
    "FLOAT": FLOAT,
    "DOUBLE": DOUBLE,
    "STRING": STRING,
    "VARCHAR": STRING,
    "TIMESTAMP": TIMESTAMP,
    "DATE": DATE,
}


def list_of(item: Kind) -> Kind:
    return Kind("LIST", (item,))


def map_of(key: Kind, value: Kind) -> Kind:
    return Kind("MAP", (key, value))


def is_number(kind: Kind) -> bool:
    return kind.name in NUMBERS


def is_integer(kind: Kind) -> bool:
    return kind.name in INTEGERS


def wider(left: Kind, right: Kind) -> Kind | None:
    """The type that arithmetic on two numbers (BOOL counts as 0 or 1) has, None where there is none."""
    if left == NULL or right == NULL:
        return right if left == NULL else left
    if left.name not in _RANK or right.name not in _RANK:
        return None
    return left if _RANK[left.name] >= _RANK[right.name] else right


def common(kinds: list[Kind]) -> Kind | None:
    """The type all branches of a CASE (or items of a list) can take, None where there is none."""
    found = NULL
    for kind in kinds:
        if kind in (found, NULL):
            continue
        if found == NULL:
            found = kind
            continue
        both = wider(found, kind)
        if both is None:
            return None
        found = both
    return found
