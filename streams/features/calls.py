"""Calls in an expression: scalar functions and UDFs by their overloads, aggregates handed to the window of their OVER."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlglot import exp

from streams.features.aggregates import AGGREGATES, OVER_ROWS, OVER_SPLITS, SPLITS, WISHES, Rule, fits, folded
from streams.features.dialect import FeatureWindow
from streams.features.engine import fault
from streams.features.functions import FUNCTIONS, PATTERNS, Overload
from streams.features.kinds import BIGINT, INT, NULL, STRING, Kind, common, wider
from streams.features.refusal import Refusals, did_you_mean
from streams.features.relation import Scope
from streams.features.scalar import Scalar, Zone, literal, made, promoted, quoted, text, truth
from streams.features.udf import Udfs


class Over(Protocol):
    """Where the aggregates of one window go. `add` gives the column its value will be in."""

    def add(self, function: str, arguments: Sequence[Scalar], parameters: Sequence[object], kind: Kind) -> Scalar: ...


class Windows(Protocol):
    """Finds the window of an OVER."""

    def over(self, node: FeatureWindow) -> Over: ...


class _Nested(Exception):
    """An aggregate was met inside the argument of another one."""


class Calls:
    """The part of `Expressions` that is about calls."""

    scope: Scope
    zone: Zone
    refusals: Refusals
    windows: Windows | None
    udfs: Udfs
    what: str
    _over: Over | None = None  # the window that aggregates belong to now
    _row: dict[str, Kind] | None = None  # inside a condition on the rows of a frame: the columns used
    _inside: bool = False  # inside the argument of an aggregate
    _count: int = 0

    def scalar(self, node: exp.Expr) -> Scalar:
        raise NotImplementedError

    def _arithmetic(self, node: exp.Binary) -> Scalar:
        raise NotImplementedError

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

    def _overloaded(self, node: exp.Expr, name: str, overloads: Sequence[Overload], values: list[Scalar]) -> Scalar:
        kinds = [value.kind for value in values]
        for overload in overloads:
            if overload.accepts(kinds):
                if name in ("if_null", "ifnull", "nvl") and common(kinds) is None:
                    break
                if name in PATTERNS:
                    self._check_pattern(node, name, values[1])
                return overload.build(values, self.zone)
        met = f"{name}({', '.join(map(str, kinds))})"
        wished = " or ".join(f"{name}({', '.join(overload.takes).replace('|', ' or ')})" for overload in overloads)
        raise self.refusals.at(node, met, wished, self._near_column(overloads, kinds))

    def _check_pattern(self, node: exp.Expr, name: str, pattern: Scalar) -> None:
        """Refuse at its place a constant that the engine would refuse without one."""
        what, wished, trial = PATTERNS[name]
        place = node.expressions[1] if node.expressions else node.expression
        if name == "date_format" and pattern.refs:
            raise self.refusals.at(place, "a format that is a column", "a constant")
        wrong = fault(trial.format(pattern.sql)) if isinstance(pattern.literal, str) else None
        if wrong is not None:
            raise self.refusals.at(place, f"{what} '{pattern.literal}'", wished, f"{wrong}.")

    def _near_column(self, overloads: Sequence[Overload], kinds: Sequence[Kind]) -> str:
        """A column of the right type, where one argument alone is wrong."""
        if len(kinds) != 1:
            return ""
        fitting = [f.name for f in self.scope.fields if any(overload.accepts([f.kind]) for overload in overloads)]
        return f"A column that fits: {fitting[0]}." if fitting else ""

    def _udf(self, node: exp.Expr, name: str, values: list[Scalar]) -> Scalar:
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
            raise self.refusals.at(node, f"{word(node.this)} OVER", "an aggregate under OVER", did_you_mean(word(node.this), AGGREGATES))
        return found

    def _constant_free(self, node: exp.Expr) -> bool:
        return not isinstance(node, exp.Anonymous) or _function_name(node) not in FUNCTIONS

    def _target(self, node: exp.Expr, name: str) -> Over:
        self._count += 1
        if self._inside:
            raise _Nested
        if self._over is not None:
            return self._over
        raise self.refusals.at(node, f"{name} without OVER", f"{name}(...) OVER window")

    def _aggregate(self, node: exp.Anonymous, name: str, arguments: list[exp.Expr]) -> Scalar:
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

    def _rule(self, node: exp.Expr, name: str, values: Sequence[Scalar]) -> Rule:
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

    def _call_over(self, node: exp.Expr, name: str, arguments: Sequence[exp.Expr], parameters: Sequence[object], kind: Kind) -> Scalar:
        over = self._target(node, name)
        self._inside = True
        try:
            values = [self.scalar(argument) for argument in arguments]
        except _Nested:
            raise self.refusals.at(node, "an aggregate inside an aggregate", "a value of each row") from None
        finally:
            self._inside = False
        return over.add(name, values, parameters, kind)

    def _over_split(self, node: exp.Expr, name: str, arguments: Sequence[exp.Expr]) -> Scalar:
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
        if any(not isinstance(parameter, str | None) for parameter in parameters):
            raise self.refusals.at(split, f"{kind} with a separator that is no STRING", "constant STRINGs")
        return self._call_over(node, f"{name}:{kind}", split.expressions[:1], parameters, OVER_SPLITS[name])

    def _udaf(self, node: exp.Expr, name: str, arguments: Sequence[exp.Expr]) -> Scalar:
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

    def _constant(self, node: exp.Expr, argument: exp.Expr) -> object:
        value = self.scalar(argument)
        if not value.is_literal:
            raise self.refusals.at(node, "a column", "a constant")
        return value.literal

    def _is_text(self, node: exp.Expr) -> bool:
        inside, self._inside = self._inside, True
        try:
            return self.scalar(node).kind in (STRING, NULL)
        except _Nested:
            return False
        finally:
            self._inside = inside

    # a condition that compares the rows of a frame with an aggregate of the same frame: count_where(x, x = last_value(x))

    def _current(self, node: exp.Expr) -> Scalar:
        """An aggregate that a condition on rows asks for: it is of the current row."""
        rows, self._row = self._row, None
        try:
            return self.scalar(node)
        finally:
            self._row = rows

    def _over_rows(self, node: exp.Anonymous, name: str, arguments: list[exp.Expr], over: Over) -> Scalar:
        base = name.removesuffix("_where")
        if base not in OVER_ROWS and base != "nth_value":
            raise self.refusals.at(node, f"an aggregate inside {name}", "one inside count, sum, avg, min, max or their _where forms")
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
        return made(f"TRY_CAST({OVER_ROWS[base](listed)} AS {kind.sql})", kind, *parts)

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


def _function_name(node: exp.Anonymous) -> str:
    return str(node.this.name if isinstance(node.this, exp.Identifier) else node.this).lower()


def word(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return _function_name(node)
    return node.name or type(node).__name__.upper()
