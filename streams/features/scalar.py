"""A scalar expression after compilation: DuckDB SQL text over named columns, its type, and what it is made of.

The texts here carry the semantics: an overflow or a division by zero is NULL, never an error that would stop a stream; a narrowing CAST
wraps as in C; a TIMESTAMP is a BIGINT of milliseconds and is shown in the time zone of the plan.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streams.features.kinds import BIGINT, BOOL, DATE, DOUBLE, FLOAT, INT, NULL, SMALLINT, STRING, TIMESTAMP, Kind, is_integer, is_number


class _NoLiteral:
    def __repr__(self) -> str:
        return "no literal"


NO_LITERAL: Any = _NoLiteral()


@dataclass(frozen=True)
class Scalar:
    """`sql` over the columns `refs`; `column` is set where it is nothing but that column, `literal` where it is a constant as written."""

    sql: str
    kind: Kind
    refs: frozenset[str] = frozenset()
    column: str | None = None
    literal: Any = field(default=NO_LITERAL, compare=False)

    @property
    def is_literal(self) -> bool:
        return self.literal is not NO_LITERAL


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def column(ref: str, kind: Kind) -> Scalar:
    return Scalar(quoted(ref), kind, frozenset({ref}), ref)


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def literal(value: Any, kind: Kind) -> Scalar:
    if value is None:
        return Scalar("NULL", kind, literal=None)
    if kind == STRING:
        return Scalar(text(value), kind, literal=value)
    if kind == BOOL:
        return Scalar("true" if value else "false", kind, literal=value)
    return Scalar(f"{value!r}::{kind.sql}", kind, literal=value)


def made(sql: str, kind: Kind, *parts: Scalar) -> Scalar:
    refs: frozenset[str] = frozenset().union(*(part.refs for part in parts)) if parts else frozenset()
    return Scalar(sql, kind, refs)


@dataclass(frozen=True)
class Zone:
    """The time zone in which timestamps are read and shown: a fixed offset as in `+08:00`, or a name as in `Asia/Shanghai`."""

    name: str

    @property
    def known(self) -> bool:
        """Whether both the engine and the kernel can show times in it."""
        if self.offset is not None:
            return self.offset % 3_600_000 == 0 and abs(self.offset) <= 14 * 3_600_000
        try:
            return bool(ZoneInfo(self.name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return False

    @property
    def offset(self) -> int | None:
        if self.name.upper() in ("UTC", "Z", "ETC/UTC"):
            return 0
        found = re.fullmatch(r"([+-])(\d\d):?(\d\d)", self.name)
        return (1 if found[1] == "+" else -1) * (int(found[2]) * 60 + int(found[3])) * 60_000 if found else None

    def local(self, ms: str) -> str:
        """Milliseconds since the epoch to the local TIMESTAMP; NULL for one that no calendar has."""
        if self.offset is not None:
            shifted = f"{ms} + {self.offset}" if self.offset else ms
            return f"TRY(make_timestamp_ms({shifted}))"
        return f"TRY(timezone({text(self.name)}, timezone('UTC', make_timestamp_ms({ms}))))"

    def instant(self, local: str) -> str:
        """A local TIMESTAMP to milliseconds since the epoch."""
        if self.offset is not None:
            ms = f"epoch_ms({local})"
            return f"({ms} - {self.offset})" if self.offset else ms
        return f"epoch_ms(timezone({text(self.name)}, {local}))"


_WRAP = {"SMALLINT": (65_535, 32_768), "INT": (4_294_967_295, 2_147_483_648)}
_TIMES = "['%Y-%m-%d %H:%M:%S', '%Y-%m-%dT%H:%M:%S', '%Y-%m-%d', '%Y%m%d', '%Y%m%d%H%M%S']"


def narrowed(sql: str, kind: Kind) -> str:
    """A BIGINT to a smaller integer, wrapping around as in C."""
    if kind == BIGINT:
        return f"CAST({sql} AS BIGINT)"
    mask, half = _WRAP[kind.name]
    return f"CAST((((({sql}) & {mask}) + {half}) & {mask}) - {half} AS {kind.sql})"


def as_float(sql: str) -> str:
    """A DOUBLE to FLOAT: what is too large becomes infinite, as in C."""
    return f"coalesce(TRY_CAST({sql} AS FLOAT), CAST(sign({sql}) * 'inf'::DOUBLE AS FLOAT))"


def number_text(value: Scalar) -> str:
    """A number as text: the shortest digits that read back, without a trailing `.0`."""
    if is_integer(value.kind):
        return f"CAST({value.sql} AS VARCHAR)"
    return f"number_text_{value.kind.name.lower()}({value.sql})"


def cast(value: Scalar, kind: Kind, zone: Zone) -> Scalar | None:
    """CAST as the feature SQL means it; None where there is no such cast."""
    source = value.kind
    if source == kind:
        return value
    if source == NULL:
        return Scalar(f"CAST(NULL AS {kind.sql})", kind, literal=None)
    sql = _cast(value, source, kind, zone)
    return made(sql, kind, value) if sql is not None else None


def _cast(value: Scalar, source: Kind, kind: Kind, zone: Zone) -> str | None:
    x = value.sql
    if kind.name in ("MAP", "LIST"):
        return f"CAST({x} AS {kind.sql})" if source.name == kind.name else None
    if source.column is None:
        return None
    if source == STRING:
        return _from_text(x, kind, zone)
    if source == DATE:
        if kind == STRING:
            return f"strftime({x}, '%Y-%m-%d')"
        if kind == TIMESTAMP:
            return zone.instant(f"CAST({x} AS TIMESTAMP)")
        return f"CASE WHEN {x} IS NULL THEN NULL END::{kind.sql}"
    if source == TIMESTAMP:
        if kind == STRING:
            return f"strftime({zone.local(x)}, '%Y-%m-%d %H:%M:%S')"
        if kind == DATE:
            return f"CAST({zone.local(x)} AS DATE)"
        source = BIGINT
    if source == BOOL:
        if kind == STRING:
            return f"CAST({x} AS VARCHAR)"
        return None if kind == DATE else f"CAST(CAST({x} AS INTEGER) AS {kind.sql})"
    if kind == DATE:
        return None
    if kind == BOOL:
        return f"({x} <> 0)"
    if kind == STRING:
        return number_text(value)
    if kind == FLOAT and source == DOUBLE:
        return as_float(x)
    if kind in (FLOAT, DOUBLE):
        return f"CAST({x} AS {kind.sql})"
    if kind == TIMESTAMP:
        whole = f"CAST({x} AS BIGINT)" if is_integer(source) else f"TRY_CAST(trunc({x}) AS BIGINT)"
        return f"CASE WHEN {whole} >= 0 THEN {whole} END"
    if is_integer(source):
        return narrowed(f"CAST({x} AS BIGINT)", kind)
    return narrowed(f"TRY_CAST(trunc({x}) AS BIGINT)", kind)


def _from_text(x: str, kind: Kind, zone: Zone) -> str:
    if is_integer(kind):
        return f"CASE WHEN regexp_full_match(trim({x}), '[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)') THEN TRY_CAST(trim({x}) AS {kind.sql}) END"
    if kind in (FLOAT, DOUBLE):
        return f"TRY_CAST(trim({x}) AS {kind.sql})"
    if kind == BOOL:
        yes, no = "'t', 'true', 'y', 'yes', '1'", "'f', 'false', 'n', 'no', '0'"
        return f"CASE WHEN lower({x}) IN ({yes}) THEN true WHEN lower({x}) IN ({no}) THEN false END"
    if kind == DATE:
        return f"CAST(try_strptime({x}, {_TIMES}) AS DATE)"
    return zone.instant(f"try_strptime({x}, {_TIMES})")


def truth(value: Scalar, zone: Zone) -> Scalar:
    """Any value as a condition: numbers by being nonzero, texts by not being empty, dates by being there."""
    if value.kind == BOOL:
        return value
    if value.kind == NULL:
        return Scalar("CAST(NULL AS BOOLEAN)", BOOL, literal=None)
    if value.kind == STRING:
        return made(f"({value.sql} <> '')", BOOL, value)
    if value.kind == DATE:
        return made(f"CASE WHEN {value.sql} IS NOT NULL THEN true END", BOOL, value)
    return made(f"({value.sql} <> 0)", BOOL, value)


def promoted(value: Scalar, kind: Kind, zone: Zone) -> Scalar:
    """An implicit conversion to the type another operand has; only where `kinds.wider` or `kinds.common` gave it."""
    return cast(value, kind, zone) or value


_NEXT = {"BOOL": "INTEGER", "SMALLINT": "INTEGER", "INT": "BIGINT", "BIGINT": "HUGEINT"}


def arithmetic(operator: str, left: Scalar, right: Scalar, kind: Kind, zone: Zone) -> Scalar:
    """`+ - * % /` and DIV on two numbers of types that `kinds.wider` joins into `kind`."""
    if operator == "/":
        return made(f"(CAST({left.sql} AS DOUBLE) / nullif(CAST({right.sql} AS DOUBLE), 0))", DOUBLE, left, right)
    a, b = promoted(left, kind, zone).sql, promoted(right, kind, zone).sql
    if kind == BOOL:  # one bit: + and - are exclusive or, * is and
        x, y = f"CAST({left.sql} AS INTEGER)", f"CAST({right.sql} AS INTEGER)"
        whole = {"+": f"{x} + {y}", "-": f"{x} - {y}", "*": f"{x} * {y}", "%": f"{x} % nullif({y}, 0)", "DIV": f"{x} // nullif({y}, 0)"}
        return made(f"({whole[operator]} <> 0)", BOOL, left, right)
    if operator == "%":
        return made(remainder(a, b, kind), kind, left, right)
    if operator == "DIV":
        wide = f"CAST({a} AS {_NEXT[kind.name]}) // nullif({b}, 0)"
        return made(f"TRY_CAST({wide} AS {kind.sql})", kind, left, right)
    if is_number(kind) and not is_integer(kind):
        return made(f"({a} {operator} {b})", kind, left, right)
    wide = _NEXT[kind.name]
    return made(f"TRY_CAST(CAST({a} AS {wide}) {operator} {b} AS {kind.sql})", kind, left, right)


def remainder(a: str, b: str, kind: Kind) -> str:
    """`a % b`, NULL where b is 0. By -1 it is 0 also of the least integer, whose quotient no type has."""
    rest = f"{a} % nullif({b}, 0)"
    return f"CASE WHEN {b} = -1 THEN {a} - {a} ELSE {rest} END" if is_integer(kind) else f"({rest})"


_COMPARE = {"=", "<>", "<", "<=", ">", ">="}


def comparable(left: Kind, right: Kind) -> bool:
    """Whether two types can be compared: numbers with numbers, anything with text, else like with like."""
    if NULL in (left, right) or left == right:
        return left.name not in ("LIST", "MAP", "SIGNATURE")
    if left.column is None or right.column is None:
        return False
    if STRING in (left, right):
        return True
    numbers = (BOOL.name, "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE")
    return left.name in numbers and right.name in numbers


def compare(operator: str, left: Scalar, right: Scalar, zone: Zone) -> Scalar:
    """A comparison of two values that are `comparable`; one NULL gives NULL; text compares with the text of the other side."""
    assert operator in _COMPARE
    if left.kind != right.kind and NULL not in (left.kind, right.kind):
        if STRING in (left.kind, right.kind):
            left, right = promoted(left, STRING, zone), promoted(right, STRING, zone)
        elif BOOL in (left.kind, right.kind):
            left, right = (
                promoted(left, INT, zone) if left.kind == BOOL else left,
                promoted(right, INT, zone) if right.kind == BOOL else right,
            )
        elif {left.kind, right.kind} == {FLOAT, DOUBLE} or FLOAT in (left.kind, right.kind):
            left, right = promoted(left, DOUBLE, zone), promoted(right, DOUBLE, zone)
    return made(f"({left.sql} {operator} {right.sql})", BOOL, left, right)


__all__ = [
    "NO_LITERAL",
    "SMALLINT",
    "Scalar",
    "Zone",
    "arithmetic",
    "as_float",
    "cast",
    "column",
    "comparable",
    "compare",
    "literal",
    "made",
    "narrowed",
    "number_text",
    "promoted",
    "quoted",
    "text",
    "truth",
]
