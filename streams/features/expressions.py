"""Syntax tree of an expression to a typed `Scalar`: names are resolved, types checked, aggregates handed to their window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from streams.features.builders import like
from streams.features.calls import Calls, Windows, word
from streams.features.dialect import FeatureWindow, TypedArray, TypedCast, TypeName, UnitLiteral
from streams.features.functions import FUNCTIONS
from streams.features.kinds import (
    BIGINT,
    BOOL,
    DOUBLE,
    FLOAT,
    INT,
    NAMES,
    NULL,
    STRING,
    TIMESTAMP,
    Kind,
    common,
    is_integer,
    is_number,
    list_of,
    map_of,
    wider,
)
from streams.features.refusal import Refusals, did_you_mean
from streams.features.relation import Scope
from streams.features.scalar import Scalar, Zone, arithmetic, cast, comparable, compare, literal, made, promoted, quoted, truth
from streams.features.udf import Udfs


@dataclass
class Expressions(Calls):
    """Compiles the expressions of one SELECT. `windows` is None where no window may stand (a condition, a key)."""

    scope: Scope
    zone: Zone
    refusals: Refusals
    windows: Windows | None = None
    udfs: Udfs = field(default_factory=Udfs)
    what: str = "here"

    # ------------------------------------------------------------ entry

    def scalar(self, node: exp.Expr) -> Scalar:
        for kind in type(node).__mro__:
            build = _BUILD.get(kind)
            if build is not None:
                return build(self, node)
        raise self.refusals.at(node, f"{word(node)}", "a column, a constant, an operator or a function")

    def condition(self, node: exp.Expr) -> Scalar:
        return truth(self.scalar(node), self.zone)

    # ------------------------------------------------------------ names and constants

    def _column(self, node: exp.Column) -> Scalar:
        if isinstance(node.this, exp.Star):
            raise self.refusals.at(node, "*", "one column")
        found = self.scope.resolve(node)
        if self._row is not None and found.column is not None:
            self._row[found.column] = found.kind
            return Scalar(f"r.{quoted(found.column)}", found.kind)
        return found

    def _literal(self, node: exp.Literal) -> Scalar:
        if node.is_string:
            return literal(node.this, STRING)
        return self._number(node, node.this)

    def _number(self, node: exp.Expr, shown: str) -> Scalar:
        try:
            if shown.isdigit() or shown.lower().startswith("0x"):
                whole = int(shown, 0 if shown.lower().startswith("0x") else 10)
                if whole >= 2**63:
                    raise self.refusals.at(node, f"the number {shown}", "one that BIGINT can hold")
                return literal(whole, INT if whole < 2**31 else BIGINT)
            return Scalar(f"CAST('{float(shown)!r}' AS DOUBLE)", DOUBLE, literal=float(shown))
        except ValueError as error:
            raise self.refusals.at(node, f"the number {shown}", "a number") from error

    def _unit(self, node: UnitLiteral) -> Scalar:
        shown, unit = node.this, node.args["unit"]
        if unit == "L" and shown.isdigit() and int(shown) < 2**63:
            return literal(int(shown), BIGINT)
        if unit == "F":
            return Scalar(f"CAST('{float(shown)!r}' AS FLOAT)", FLOAT, literal=float(shown))
        raise self.refusals.at(node, f"{shown}{unit.lower()}", "a number, as units belong into the bounds of a window")

    def _null(self, node: exp.Null) -> Scalar:
        return literal(None, NULL)

    def _boolean(self, node: exp.Boolean) -> Scalar:
        return literal(bool(node.this), BOOL)

    def _paren(self, node: exp.Paren) -> Scalar:
        return self.scalar(node.this)

    # ------------------------------------------------------------ operators

    def _arithmetic(self, node: exp.Binary) -> Scalar:
        operator = _ARITHMETIC[type(node)]
        left, right = self.scalar(node.this), self.scalar(node.expression)
        a, b = left.kind, right.kind
        met = f"{a} {operator} {b}"
        if TIMESTAMP in (a, b) and operator in ("+", "-") and self._moves(operator, a, b):
            x, y = (promoted(side, BIGINT, self.zone) for side in (left, right))
            moved = arithmetic(operator, x, y, BIGINT, self.zone)
            return made(moved.sql, BIGINT if operator == "-" and b == TIMESTAMP else TIMESTAMP, left, right)
        kind = wider(a, b) if {a.name, b.name} <= _ARITHMETIC_KINDS else None
        if kind is None or (operator == "DIV" and kind in (FLOAT, DOUBLE)):
            wished = (
                "two integers"
                if operator == "DIV"
                else "two numbers" + (", or a TIMESTAMP and an integer" if operator in ("+", "-") else "")
            )
            raise self.refusals.at(node, met, wished, _cast_hint(a, b))
        return arithmetic(operator, left, right, INT if kind == NULL else kind, self.zone)

    def _moves(self, operator: str, a: Kind, b: Kind) -> bool:
        steps = {"BOOL", "SMALLINT", "INT", "BIGINT", "TIMESTAMP", "NULL"}
        return a.name in steps and b.name in steps and (operator == "+" or a == TIMESTAMP)

    def _bitwise(self, node: exp.Binary) -> Scalar:
        operator = _BITWISE[type(node)]
        left, right = self.scalar(node.this), self.scalar(node.expression)
        kind = wider(left.kind, right.kind)
        if kind is None or not (is_integer(kind) or kind == NULL) or BOOL in (left.kind, right.kind):
            raise self.refusals.at(node, f"{left.kind} {operator} {right.kind}", "two integers")
        kind = INT if kind == NULL else kind
        a, b = promoted(left, kind, self.zone).sql, promoted(right, kind, self.zone).sql
        return made(f"xor({a}, {b})" if operator == "^" else f"({a} {operator} {b})", kind, left, right)

    def _not_bits(self, node: exp.BitwiseNot) -> Scalar:
        value = self.scalar(node.this)
        if not is_integer(value.kind) and value.kind != NULL:
            raise self.refusals.at(node, f"~{value.kind}", "an integer")
        return made(f"CAST(~{value.sql} AS {value.kind.sql})", value.kind, value)

    def _negative(self, node: exp.Neg) -> Scalar:
        value = self.scalar(node.this)
        if not (is_number(value.kind) or value.kind in (BOOL, NULL)):
            raise self.refusals.at(node, f"-{value.kind}", "a number")
        if value.kind == BOOL:
            return value
        if value.is_literal and value.literal is not None:
            minus = -value.literal
            return (
                literal(minus, value.kind)
                if is_integer(value.kind)
                else Scalar(f"CAST('{minus!r}' AS {value.kind.sql})", value.kind, literal=minus)
            )
        if is_integer(value.kind):
            return arithmetic("-", literal(0, value.kind), value, value.kind, self.zone)
        return made(f"(-{value.sql})", value.kind, value)

    def _compare(self, node: exp.Binary) -> Scalar:
        operator = _COMPARE[type(node)]
        return self._compared(node, operator, self.scalar(node.this), self.scalar(node.expression))

    def _compared(self, node: exp.Expr, operator: str, left: Scalar, right: Scalar) -> Scalar:
        if not comparable(left.kind, right.kind):
            raise self.refusals.at(
                node, f"{left.kind} {operator} {right.kind}", "two numbers, or two values of one type", _cast_hint(left.kind, right.kind)
            )
        return compare(operator, left, right, self.zone)

    def _between(self, node: exp.Between) -> Scalar:
        self.refusals.unread(node)
        value, low, high = self.scalar(node.this), self.scalar(node.args["low"]), self.scalar(node.args["high"])
        above, below = self._compared(node, ">=", value, low), self._compared(node, "<=", value, high)
        return made(f"({above.sql} AND {below.sql})", BOOL, above, below)

    def _in(self, node: exp.In) -> Scalar:
        if node.args.get("query") or not node.expressions:
            raise self.refusals.at(node, "IN of a query", "IN of a list of values")
        value = self.scalar(node.this)
        hits = [self._compared(node, "=", value, self.scalar(item)) for item in node.expressions]
        return made(f"({' OR '.join(hit.sql for hit in hits)})", BOOL, *hits)

    def _like(self, node: exp.Binary, escape: exp.Expr | None = None) -> Scalar:
        value, pattern = self.scalar(node.this), self.scalar(node.expression)
        for side in (value, pattern):
            if side.kind not in (STRING, NULL):
                raise self.refusals.at(node, f"{value.kind} LIKE {pattern.kind}", "two STRINGs", _cast_hint(side.kind, STRING))
        mark = None
        if escape is not None:
            mark = self.scalar(escape)
            if not isinstance(mark.literal, str) or len(mark.literal) > 1:
                raise self.refusals.at(
                    node, f"ESCAPE {mark.literal!r}" if mark.is_literal else "ESCAPE of a column", "one constant character"
                )
        found = like(promoted(value, STRING, self.zone), promoted(pattern, STRING, self.zone), mark, isinstance(node, exp.ILike))
        return made(f"(NOT {found.sql})", BOOL, found) if node.args.get("negate") else found

    def _escape(self, node: exp.Escape) -> Scalar:
        inner = node.this
        if isinstance(inner, exp.Not):
            found = self._escape(exp.Escape(this=inner.this, expression=node.expression))
            return made(f"(NOT {found.sql})", BOOL, found)
        if not isinstance(inner, (exp.Like, exp.ILike)):
            raise self.refusals.at(node, "ESCAPE", "ESCAPE behind LIKE or ILIKE")
        return self._like(inner, node.expression)

    def _regexp(self, node: exp.RegexpLike) -> Scalar:
        value, pattern = self.scalar(node.this), self.scalar(node.expression)
        if any(side.kind not in (STRING, NULL) for side in (value, pattern)):
            raise self.refusals.at(node, f"{value.kind} RLIKE {pattern.kind}", "two STRINGs")
        return self._overloaded(node, "regexp_like", FUNCTIONS["regexp_like"], [value, pattern])

    def _concat(self, node: exp.DPipe) -> Scalar:
        left, right = self.scalar(node.this), self.scalar(node.expression)
        if any(side.kind not in (STRING, NULL) for side in (left, right)):
            raise self.refusals.at(node, f"{left.kind} || {right.kind}", "two STRINGs", "concat() takes other types too.")
        return made(f"({left.sql} || {right.sql})", STRING, left, right)

    def _logic(self, node: exp.Connector) -> Scalar:
        left, right = self.condition(node.this), self.condition(node.expression)
        if isinstance(node, exp.Xor):
            return made(f"({left.sql} <> {right.sql})", BOOL, left, right)
        return made(f"({left.sql} {'AND' if isinstance(node, exp.And) else 'OR'} {right.sql})", BOOL, left, right)

    def _not(self, node: exp.Not) -> Scalar:
        value = self.condition(node.this)
        return made(f"(NOT {value.sql})", BOOL, value)

    def _is(self, node: exp.Is) -> Scalar:
        if not isinstance(node.expression, exp.Null):
            raise self.refusals.at(node, "IS", "IS NULL or IS NOT NULL")
        value = self.scalar(node.this)
        return made(f"({value.sql} IS {'NOT ' if node.args.get('negate') else ''}NULL)", BOOL, value)

    def _case(self, node: exp.Case) -> Scalar:
        subject = self.scalar(node.this) if node.this is not None else None
        whens, thens = [], []
        for branch in node.args["ifs"]:
            if subject is not None:
                whens.append(self._compared(branch, "=", subject, self.scalar(branch.this)))
            else:
                whens.append(self.condition(branch.this))
            thens.append(self.scalar(branch.args["true"]))
        default = node.args.get("default")
        other = self.scalar(default) if default is not None else literal(None, NULL)
        kind = common([*(then.kind for then in thens), other.kind])
        if kind is None:
            kinds = ", ".join(dict.fromkeys(str(then.kind) for then in [*thens, other]))
            raise self.refusals.at(node, f"a CASE of {kinds}", "one type in all branches", "Bring them together with CAST.")
        kind = INT if kind == NULL else kind
        parts = "".join(f" WHEN {w.sql} THEN {promoted(t, kind, self.zone).sql}" for w, t in zip(whens, thens, strict=True))
        return made(f"CASE{parts} ELSE {promoted(other, kind, self.zone).sql} END", kind, *whens, *thens, other)

    # ------------------------------------------------------------ types

    def _type(self, node: TypeName) -> Kind:
        name = node.this
        inner = [self._type(item) for item in node.expressions]
        if name == "MAP" and len(inner) == 2:
            return map_of(*inner)
        if name == "ARRAY" and len(inner) == 1:
            return list_of(inner[0])
        if name not in NAMES or inner:
            raise self.refusals.at(node, f"the type {name}", "a type of this dialect", did_you_mean(name, NAMES))
        return NAMES[name]

    def _cast(self, node: TypedCast) -> Scalar:
        value, kind = self.scalar(node.this), self._type(node.args["to"])
        found = cast(value, kind, self.zone)
        if found is None:
            raise self.refusals.at(node, f"CAST({value.kind} AS {kind})", f"a type that turns into {kind}")
        return found

    def _array(self, node: exp.Array | TypedArray) -> Scalar:
        items = [self.scalar(item) for item in node.expressions]
        wished = self._type(node.args["to"]).of[0] if isinstance(node, TypedArray) else common([item.kind for item in items])
        if wished is None:
            raise self.refusals.at(node, "an array of " + ", ".join(str(item.kind) for item in items), "items of one type")
        kind = list_of(INT if wished == NULL else wished)
        inside = ", ".join(promoted(item, kind.of[0], self.zone).sql for item in items)
        return made(f"CAST([{inside}] AS {kind.sql})", kind, *items)

    def _bracket(self, node: exp.Bracket) -> Scalar:
        value = self.scalar(node.this)
        if len(node.expressions) != 1 or value.kind.name not in ("MAP", "LIST"):
            raise self.refusals.at(node, f"{value.kind}[...]", "a map or an array, and one key")
        key = self.scalar(node.expressions[0])
        if value.kind.name == "LIST":
            return made(f"list_extract({value.sql}, {key.sql})", value.kind.of[0], value, key)
        wished = value.kind.of[0]
        if key.kind not in (wished, NULL) and not (is_integer(key.kind) and is_integer(wished)):
            raise self.refusals.at(node, f"the key {key.kind}", f"{wished}, the type of the map's keys")
        position = f"list_position(({value.sql}).keys, {promoted(key, wished, self.zone).sql})"
        return made(f"CASE WHEN {position} > 0 THEN list_extract(({value.sql}).values, {position}) END", value.kind.of[1], value, key)


def _cast_hint(a: Kind, b: Kind) -> str:
    return "A CAST turns one into the other." if STRING in (a, b) and a != b else ""


_ARITHMETIC: dict[type, str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.IntDiv: "DIV"}
_ARITHMETIC_KINDS = {"BOOL", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "NULL"}
_BITWISE: dict[type, str] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "^"}
_COMPARE: dict[type, str] = {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}

_BUILD: Mapping[type, Callable[[Expressions, Any], Scalar]] = {
    exp.Column: Expressions._column,
    exp.Literal: Expressions._literal,
    UnitLiteral: Expressions._unit,
    exp.Null: Expressions._null,
    exp.Boolean: Expressions._boolean,
    exp.Paren: Expressions._paren,
    exp.Alias: Expressions._paren,
    exp.Neg: Expressions._negative,
    exp.BitwiseNot: Expressions._not_bits,
    exp.Between: Expressions._between,
    exp.In: Expressions._in,
    exp.Like: Expressions._like,
    exp.ILike: Expressions._like,
    exp.Escape: Expressions._escape,
    exp.RegexpLike: Expressions._regexp,
    exp.DPipe: Expressions._concat,
    exp.And: Expressions._logic,
    exp.Or: Expressions._logic,
    exp.Xor: Expressions._logic,
    exp.Not: Expressions._not,
    exp.Is: Expressions._is,
    exp.Case: Expressions._case,
    TypedCast: Expressions._cast,
    exp.Array: Expressions._array,
    TypedArray: Expressions._array,
    exp.Bracket: Expressions._bracket,
    exp.Anonymous: Expressions._function,
    FeatureWindow: Expressions._window,
    **dict.fromkeys(_ARITHMETIC, Expressions._arithmetic),
    **dict.fromkeys(_BITWISE, Expressions._bitwise),
    **dict.fromkeys(_COMPARE, Expressions._compare),
}
