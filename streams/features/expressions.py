"""Syntax tree of an expression to a typed `Scalar`: names are resolved, types checked, aggregates handed to their window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlglot import exp

from streams.features.aggregates import AGGREGATES, OVER_ROWS, OVER_SPLITS, SPLITS, WISHES, Rule, fits, folded
from streams.features.dialect import FeatureWindow, TypedArray, TypedCast, TypeName, UnitLiteral
from streams.features.functions import FUNCTIONS, Overload, like
from streams.features.kinds import BIGINT, BOOL, DOUBLE, FLOAT, INT, NAMES, NULL, STRING, TIMESTAMP, Kind, common, is_integer, is_number, list_of, map_of, wider
from streams.features.refusal import Refusals, did_you_mean
from streams.features.relation import Scope
from streams.features.scalar import Scalar, Zone, arithmetic, cast, comparable, compare, literal, made, promoted, quoted, text, truth
from streams.features.udf import Udfs


class Over(Protocol):
    """Where the aggregates of one window go. `add` gives the column its value will be in."""

    def add(self, function: str, arguments: Sequence[Scalar], parameters: Sequence[object], kind: Kind) -> Scalar: ...


class Windows(Protocol):
    """Finds the window of an OVER."""

    def over(self, node: FeatureWindow) -> Over: ...


class _Nested(Exception):
    """An aggregate was met inside the argument of another one."""


@dataclass
class Expressions:
    """Compiles the expressions of one SELECT. `windows` is None where no window may stand (a condition, a key)."""

    scope: Scope
    zone: Zone
    refusals: Refusals
    windows: Windows | None = None
    udfs: Udfs = field(default_factory=Udfs)
    table: Over | None = None  # aggregates without OVER: over the whole table
    what: str = "here"
    _over: Over | None = None
    _row: dict[str, Kind] | None = None  # inside a condition on the rows of a frame: the columns used
    _inside: bool = False

    # ------------------------------------------------------------ entry

    def scalar(self, node: exp.Expression) -> Scalar:
        for kind in type(node).__mro__:
            build = _BUILD.get(kind)
            if build is not None:
                return build(self, node)
        raise self.refusals.at(node, f"{_word(node)}", "a column, a constant, an operator or a function")

    def condition(self, node: exp.Expression) -> Scalar:
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

    def _number(self, node: exp.Expression, shown: str) -> Scalar:
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
            kind = BIGINT if operator == "-" and b == TIMESTAMP else TIMESTAMP
            x, y = (promoted(side, BIGINT, self.zone) for side in (left, right))
            moved = arithmetic(operator, x, y, BIGINT, self.zone)
            return made(moved.sql, kind, left, right)
        kind = wider(a, b) if {a.name, b.name} <= _ARITHMETIC_KINDS else None
        if kind is None or (operator == "DIV" and kind in (FLOAT, DOUBLE)):
            wished = "two integers" if operator == "DIV" else "two numbers" + (", or a TIMESTAMP and an integer" if operator in ("+", "-") else "")
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
            return literal(minus, value.kind) if is_integer(value.kind) else Scalar(f"CAST('{minus!r}' AS {value.kind.sql})", value.kind, literal=minus)
        if is_integer(value.kind):
            return arithmetic("-", literal(0, value.kind), value, value.kind, self.zone)
        return made(f"(-{value.sql})", value.kind, value)

    def _compare(self, node: exp.Binary) -> Scalar:
        operator = _COMPARE[type(node)]
        return self._compared(node, operator, self.scalar(node.this), self.scalar(node.expression))

    def _compared(self, node: exp.Expression, operator: str, left: Scalar, right: Scalar) -> Scalar:
        if not comparable(left.kind, right.kind):
            raise self.refusals.at(node, f"{left.kind} {operator} {right.kind}", "two numbers, or two values of one type", _cast_hint(left.kind, right.kind))
        return compare(operator, left, right, self.zone)

    def _between(self, node: exp.Between) -> Scalar:
        value, low, high = self.scalar(node.this), self.scalar(node.args["low"]), self.scalar(node.args["high"])
        above, below = self._compared(node, ">=", value, low), self._compared(node, "<=", value, high)
        return made(f"({above.sql} AND {below.sql})", BOOL, above, below)

    def _in(self, node: exp.In) -> Scalar:
        if node.args.get("query") or not node.expressions:
            raise self.refusals.at(node, "IN of a query", "IN of a list of values")
        value = self.scalar(node.this)
        hits = [self._compared(node, "=", value, self.scalar(item)) for item in node.expressions]
        return made(f"({' OR '.join(hit.sql for hit in hits)})", BOOL, *hits)

    def _like(self, node: exp.Binary, escape: exp.Expression | None = None) -> Scalar:
        value, pattern = self.scalar(node.this), self.scalar(node.expression)
        for side in (value, pattern):
            if side.kind not in (STRING, NULL):
                raise self.refusals.at(node, f"{value.kind} LIKE {pattern.kind}", "two STRINGs", _cast_hint(side.kind, STRING))
        mark = None
        if escape is not None:
            mark = self.scalar(escape)
            if not isinstance(mark.literal, str) or len(mark.literal) > 1:
                raise self.refusals.at(node, f"ESCAPE {mark.literal!r}" if mark.is_literal else "ESCAPE of a column", "one constant character")
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
        return made(f"regexp_full_match({value.sql}, {pattern.sql})", BOOL, value, pattern)

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

    # ------------------------------------------------------------ functions

    def _function(self, node: exp.Anonymous) -> Scalar:
        name = _function_name(node)
        arguments = node.expressions
        if arguments and isinstance(arguments[0], exp.Anonymous) and _function_name(arguments[0]) in SPLITS and name in OVER_SPLITS:
            return self._over_split(node, name, arguments)
        if name in AGGREGATES:
            return self._aggregate(node, name, arguments)
        udaf = self.udfs.aggregates.get(name)
        if udaf is not None:
            return self._udaf(node, name, arguments)
        if name == "join" and arguments and (self._over is not None) and self._is_text(arguments[0]):
            return self._call_over(node, "join", arguments[:1], [self._constant(node, argument) for argument in arguments[1:]], STRING)
        if name == "add" and len(arguments) == 2:
            return self._arithmetic(exp.Add(this=arguments[0], expression=arguments[1]))
        if name in SPLITS:
            raise self.refusals.at(node, f"{name} alone", f"{name} inside join, count, distinct_count or top1_ratio")
        values = [self.scalar(argument) for argument in arguments]
        udf = self.udfs.scalars.get(name)
        if udf is not None:
            return self._udf(node, name, values)
        overloads = FUNCTIONS.get(name)
        if overloads is None:
            known = [*FUNCTIONS, *AGGREGATES, *SPLITS, *self.udfs.scalars, *self.udfs.aggregates]
            raise self.refusals.at(node, f"the function {name}", "a function of this dialect", did_you_mean(name, known))
        return self._overloaded(node, name, overloads, values)

    def _overloaded(self, node: exp.Expression, name: str, overloads: Sequence[Overload], values: list[Scalar]) -> Scalar:
        kinds = [value.kind for value in values]
        for overload in overloads:
            if overload.accepts(kinds):
                if name in ("if_null", "ifnull", "nvl") and common(kinds) is None:
                    break
                return overload.build(values, self.zone)
        met = f"{name}({', '.join(map(str, kinds))})"
        wished = " or ".join(f"{name}({', '.join(overload.takes).replace('|', ' or ')})" for overload in overloads)
        raise self.refusals.at(node, met, wished, self._near_column(overloads, kinds))

    def _near_column(self, overloads: Sequence[Overload], kinds: Sequence[Kind]) -> str:
        """A column of the right type, where one argument alone is wrong."""
        if len(kinds) != 1:
            return ""
        fitting = [f.name for f in self.scope.fields if any(overload.accepts([f.kind]) for overload in overloads)]
        return f"A column that fits: {fitting[0]}." if fitting else ""

    def _udf(self, node: exp.Expression, name: str, values: list[Scalar]) -> Scalar:
        udf = self.udfs.scalars[name]
        wished = [Kind(str(kind)) for kind in udf.takes]
        if len(values) != len(wished) or not all(_turns_into(value.kind, kind) for value, kind in zip(values, wished, strict=True)):
            raise self.refusals.at(node, f"{name}({', '.join(str(v.kind) for v in values)})", f"{name}({', '.join(map(str, wished))})")
        inside = ", ".join(promoted(value, kind, self.zone).sql for value, kind in zip(values, wished, strict=True))
        return made(f"udf_{name}({inside})", Kind(str(udf.gives)), *values)

    # ------------------------------------------------------------ aggregates

    def _window(self, node: FeatureWindow) -> Scalar:
        if self._inside:
            raise _Nested
        if self.windows is None:
            raise self.refusals.at(node, "OVER", f"no window {self.what}")
        outer, self._over = self._over, self.windows.over(node)
        before = self._count
        try:
            found = self.scalar(node.this)
        finally:
            self._over = outer
        if self._count == before and self._constant_free(node.this):
            raise self.refusals.at(node, f"{_word(node.this)} OVER", "an aggregate under OVER", did_you_mean(_word(node.this), AGGREGATES))
        return found

    _count: int = 0

    def _constant_free(self, node: exp.Expression) -> bool:
        return not isinstance(node, exp.Anonymous) or _function_name(node) not in FUNCTIONS

    def _target(self, node: exp.Expression, name: str) -> Over:
        self._count += 1
        if self._inside:
            raise _Nested
        if self._over is not None:
            return self._over
        if self.table is not None:
            return self.table
        raise self.refusals.at(node, f"{name} without OVER", f"{name}(...) OVER window")

    def _aggregate(self, node: exp.Anonymous, name: str, arguments: list[exp.Expression]) -> Scalar:
        if self._row is not None:
            return self._current(node)
        over, known = self._target(node, name), False
        if name == "count" and len(arguments) == 1 and isinstance(arguments[0], exp.Star):
            return over.add("count", (), (), BIGINT)
        if name == "count_where" and len(arguments) == 2 and isinstance(arguments[0], exp.Star):
            arguments = [exp.Boolean(this=True), arguments[1]]
        if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct):
            if name != "count" or len(arguments[0].expressions) != 1:
                raise self.refusals.at(node, "DISTINCT", "count(DISTINCT x)")
            name, arguments, known = "distinct_count", arguments[0].expressions, True
        self._inside = True
        try:
            values = [self.scalar(argument) for argument in arguments]
        except _Nested:
            self._inside = False
            return self._over_rows(node, name, arguments, over)
        finally:
            self._inside = False
        rule = self._rule(node, name, values)
        roles = dict(zip((take.partition(":")[0] for take in rule.takes), values, strict=True))
        value = roles["value"]
        if value.kind == NULL:
            value = promoted(value, INT, self.zone)
        if "where" in roles:
            value = folded(value, roles["where"], self.zone)
        condition = [truth(roles["condition"], self.zone)] if "condition" in roles else []
        category = [roles["category"]] if "category" in roles else []
        parameters = [v.literal for take, v in zip(rule.takes, values, strict=True) if take.startswith("constant")]
        if rule.kernel == "lag" and not parameters:
            parameters = [1]
        if rule.kernel == "lag" and isinstance(parameters[0], int) and parameters[0] < 0:
            raise self.refusals.at(node, f"{name}(..., {parameters[0]})", "an offset of 0 or more: rows to come are not known")
        return over.add("distinct_known" if known else rule.kernel, [value, *condition, *category], parameters, rule.gives or value.kind)

    def _rule(self, node: exp.Expression, name: str, values: Sequence[Scalar]) -> Rule:
        rules = AGGREGATES[name]
        for rule in rules:
            if len(rule.takes) == len(values) and all(fits(t, v.kind, v.is_literal) for t, v in zip(rule.takes, values, strict=True)):
                return rule
        best = next((rule for rule in rules if len(rule.takes) == len(values)), rules[0])
        met = f"{name}({', '.join(str(value.kind) for value in values)})"
        wished = f"{name}({', '.join(WISHES[take] for take in best.takes)})"
        hint = ""
        if len(best.takes) == len(values):
            wrong = next(i for i, (t, v) in enumerate(zip(best.takes, values, strict=True)) if not fits(t, v.kind, v.is_literal))
            fitting = [f.name for f in self.scope.fields if fits(best.takes[wrong], f.kind, False)]
            hint = f"A column that fits: {fitting[0]}." if fitting and not best.takes[wrong].startswith("constant") else ""
        raise self.refusals.at(node, met, wished, hint)

    def _call_over(self, node: exp.Expression, name: str, arguments: Sequence[exp.Expression], parameters: Sequence[object], kind: Kind) -> Scalar:
        over = self._target(node, name)
        self._inside = True
        try:
            values = [self.scalar(argument) for argument in arguments]
        except _Nested:
            raise self.refusals.at(node, "an aggregate inside an aggregate", "a value of each row") from None
        finally:
            self._inside = False
        return over.add(name, values, parameters, kind)

    def _over_split(self, node: exp.Expression, name: str, arguments: Sequence[exp.Expression]) -> Scalar:
        split = arguments[0]
        assert isinstance(split, exp.Anonymous)
        kind = _function_name(split)
        count = SPLITS[kind]
        if len(split.expressions) != 1 + count:
            raise self.refusals.at(split, f"{kind} with {len(split.expressions)} arguments", f"a STRING and {count} separators")
        if not self._is_text(split.expressions[0]):
            raise self.refusals.at(split, f"{kind} of something else", f"{kind} of a STRING")
        wished = 1 if name == "join" else 0
        if len(arguments) != 1 + wished:
            raise self.refusals.at(node, f"{name} with {len(arguments)} arguments", f"{1 + wished}")
        parameters = [self._constant(node, argument) for argument in [*split.expressions[1:], *arguments[1:]]]
        return self._call_over(node, f"{name}:{kind}", split.expressions[:1], parameters, OVER_SPLITS[name])

    def _udaf(self, node: exp.Expression, name: str, arguments: Sequence[exp.Expression]) -> Scalar:
        udaf = self.udfs.aggregates[name]
        over = self._target(node, name)
        self._inside = True
        try:
            values = [self.scalar(argument) for argument in arguments]
        except _Nested:
            raise self.refusals.at(node, "an aggregate inside an aggregate", "a value of each row") from None
        finally:
            self._inside = False
        wished = [Kind(str(kind)) for kind in udaf.takes]
        if len(values) != len(wished) or not all(_turns_into(value.kind, kind) for value, kind in zip(values, wished, strict=True)):
            raise self.refusals.at(node, f"{name}({', '.join(str(v.kind) for v in values)})", f"{name}({', '.join(map(str, wished))})")
        inside = [promoted(value, kind, self.zone) for value, kind in zip(values, wished, strict=True)]
        return over.add(f"udaf:{name}", inside, (), Kind(str(udaf.gives)))

    def _constant(self, node: exp.Expression, argument: exp.Expression) -> object:
        value = self.scalar(argument)
        if not value.is_literal:
            raise self.refusals.at(node, "a column", "a constant")
        return value.literal

    def _is_text(self, node: exp.Expression) -> bool:
        inside, self._inside = self._inside, True
        try:
            return self.scalar(node).kind in (STRING, NULL)
        except _Nested:
            return False
        finally:
            self._inside = inside

    # a condition that compares the rows of a frame with an aggregate of the same frame: count_where(x, x = last_value(x))

    def _current(self, node: exp.Expression) -> Scalar:
        """An aggregate that a condition on rows asks for: it is of the current row."""
        rows, self._row = self._row, None
        try:
            return self.scalar(node)
        finally:
            self._row = rows

    def _over_rows(self, node: exp.Anonymous, name: str, arguments: list[exp.Expression], over: Over) -> Scalar:
        base = name.removesuffix("_where")
        if base not in OVER_ROWS and base != "nth_value":
            raise self.refusals.at(node, f"an aggregate inside {name}", f"one inside count, sum, avg, min, max or their _where forms")
        self._row, outer = {}, self._over
        self._over = over
        try:
            values = [self.scalar(argument) for argument in arguments]
            used = dict(self._row)
        finally:
            self._row, self._over = None, outer
        self._rule(node, name, values)
        columns = [_held(ref, kind) for ref, kind in used.items()] or [literal(1, INT)]
        shape = ", ".join(f'"a{i}": "{column.kind.sql}"' for i, column in enumerate(columns))
        held = over.add("udaf:_rows", columns, (), STRING)
        rows = f"from_json({held.sql}, {text('[{' + shape + '}]')})"
        lifted = [self._lifted(value, used) for value in values]
        condition = values[-1] if name.endswith("_where") else None
        if condition is not None:
            rows = f"list_filter({rows}, lambda r: {truth(Scalar(self._lifted(condition, used), condition.kind, condition.refs), self.zone).sql})"
        listed = f"list_transform({rows}, lambda r: {lifted[0]})"
        parts = [held, *values]
        if base == "nth_value":
            return made(f"CASE WHEN {lifted[1]} <> 0 THEN list_extract({listed}, {lifted[1]}) END", values[0].kind, *parts)
        kind = AGGREGATES[name][0].gives or values[0].kind
        return made(f"CAST({OVER_ROWS[base](listed)} AS {kind.sql})", kind, *parts)

    def _lifted(self, value: Scalar, used: Mapping[str, Kind]) -> str:
        """The expression over the fields of a held row."""
        sql = value.sql
        for i, (ref, kind) in enumerate(used.items()):
            field_ = f"CAST(r.a{i} AS {kind.sql})" if kind.name in ("BOOL", "DATE") else f"r.a{i}"
            sql = sql.replace(f"r.{quoted(ref)}", field_)
        return sql


def _held(ref: str, kind: Kind) -> Scalar:
    """A column as JSON can carry it."""
    sql = quoted(ref)
    if kind.name == "BOOL":
        return Scalar(f"CAST({sql} AS INTEGER)", INT, frozenset({ref}))
    if kind.name == "DATE":
        return Scalar(f"CAST({sql} AS VARCHAR)", STRING, frozenset({ref}))
    return Scalar(sql, kind, frozenset({ref}), ref)


def _turns_into(kind: Kind, wished: Kind) -> bool:
    return kind in (wished, NULL) or (wider(kind, wished) == wished)


def _cast_hint(a: Kind, b: Kind) -> str:
    return "A CAST turns one into the other." if STRING in (a, b) and a != b else ""


def _function_name(node: exp.Anonymous) -> str:
    return str(node.this.name if isinstance(node.this, exp.Identifier) else node.this).lower()


def _word(node: exp.Expression) -> str:
    if isinstance(node, exp.Anonymous):
        return _function_name(node)
    return node.name or type(node).__name__.upper()


_ARITHMETIC: dict[type, str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.IntDiv: "DIV"}
_ARITHMETIC_KINDS = {"BOOL", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "NULL"}
_BITWISE: dict[type, str] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "^"}
_COMPARE: dict[type, str] = {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}

_BUILD: Mapping[type, Callable[[Expressions, exp.Expression], Scalar]] = {
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
}  # type: ignore[dict-item]
