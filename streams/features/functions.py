"""The scalar functions: which types they take, what they give, and their text in DuckDB.

A function is a tuple of overloads. An argument class is a type name, `number`, `integer`, `any`, `text?` (what turns into text by itself),
or several joined by `|`; `...` behind the last one repeats it. What an overload cannot say in a template is a Python function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from streams.features.kinds import BIGINT, BOOL, DATE, DOUBLE, FLOAT, INT, INTEGERS, NULL, NUMBERS, SIGNATURE, STRING, TIMESTAMP, Kind, common, list_of, map_of
from streams.features.scalar import Scalar, Zone, cast, literal, made, promoted, text, truth

Give = Kind | Callable[[Sequence[Scalar], Zone], Scalar]


@dataclass(frozen=True)
class Overload:
    takes: tuple[str, ...]
    gives: Give
    sql: str = ""

    def accepts(self, kinds: Sequence[Kind]) -> bool:
        takes = self.takes
        if takes and takes[-1] == "...":
            fixed = takes[:-2]
            if len(kinds) < len(fixed):
                return False
            takes = (*fixed, *(takes[-2] for _ in kinds[len(fixed) :]))
        return len(takes) == len(kinds) and all(_fits(take, kind) for take, kind in zip(takes, kinds, strict=True))

    def build(self, arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        if not isinstance(self.gives, Kind):
            return self.gives(arguments, zone)
        return made(self.sql.format(*(argument.sql for argument in arguments), all=", ".join(a.sql for a in arguments)), self.gives, *arguments)


def _fits(take: str, kind: Kind) -> bool:
    if take == "any":
        return kind.name not in ("SIGNATURE",)
    if take == "column":
        return kind == NULL or kind.column is not None
    if kind == NULL:
        return take != "SIGNATURE"
    for option in take.split("|"):
        if option == kind.name or (option == "number" and kind.name in NUMBERS) or (option == "integer" and kind.name in INTEGERS):
            return True
    return False


def _math(function: str, floats: bool = True) -> Give:
    """DOUBLE, but FLOAT for a FLOAT where `floats`. What has no real value is NaN or infinity as in C, never an error."""

    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        argument = arguments[0]
        kind = FLOAT if floats and argument.kind == FLOAT else DOUBLE
        x = f"CAST({promoted(argument, INT, zone).sql if argument.kind == BOOL else argument.sql} AS DOUBLE)"
        sql = function.format(x=x)
        return made(f"CAST({sql} AS FLOAT)" if kind == FLOAT else sql, kind, argument)

    return build


def _double(argument: Scalar, zone: Zone) -> str:
    return f"CAST({promoted(argument, INT, zone).sql if argument.kind == BOOL else argument.sql} AS DOUBLE)"


def _whole(function: str) -> Give:
    """ceil, floor, round and truncate: integers stay themselves as BIGINT, floats stay floats."""

    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        argument = arguments[0]
        if function == "round" and argument.kind.name in INTEGERS:
            return argument
        if argument.kind.name in ("BOOL", *INTEGERS, "NULL"):
            return made(f"CAST({argument.sql} AS BIGINT)", BIGINT, argument)
        return made(f"CAST({function}({argument.sql}) AS {argument.kind.sql})", argument.kind, argument)

    return build


def _abs(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    argument = arguments[0]
    if argument.kind == BOOL:
        return argument
    if argument.kind.name in INTEGERS:
        return made(f"TRY_CAST(abs(CAST({argument.sql} AS HUGEINT)) AS {argument.kind.sql})", argument.kind, argument)
    return made(f"abs({argument.sql})", DOUBLE if argument.kind == NULL else argument.kind, argument)


def _round(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value, digits = arguments
    kind = DOUBLE if value.kind == NULL else value.kind
    return made(f"CAST(round({value.sql}, {digits.sql}) AS {kind.sql})", kind, value, digits)


def _same(function: str) -> Give:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        return made(function.format(*(a.sql for a in arguments)), arguments[0].kind, *arguments)

    return build


def _two(function: str) -> Give:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        a, b = (_double(argument, zone) for argument in arguments)
        return made(function.format(a=a, b=b), DOUBLE, *arguments)

    return build


def _pmod(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    kind = common([a.kind for a in arguments]) or DOUBLE
    a, b = (promoted(argument, kind, zone).sql for argument in arguments)
    if kind == BOOL:
        a, b, kind = f"CAST({a} AS INTEGER)", f"CAST({b} AS INTEGER)", INT
    rest = f"({a} % nullif({b}, 0))"
    return made(f"CAST(CASE WHEN {rest} < 0 THEN ({rest} + {b}) % {b} ELSE {rest} END AS {kind.sql})", kind, *arguments)


def _date_part(part: str) -> Give:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        argument = arguments[0]
        local = argument.sql if argument.kind == DATE else zone.local(f"CAST({argument.sql} AS BIGINT)")
        return made(f"CAST({part.format(local)} AS INTEGER)", INT, argument)

    return build


def _date_format(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value, pattern = arguments
    local = value.sql if value.kind == DATE else zone.local(f"CAST({value.sql} AS BIGINT)")
    return made(f"strftime({local}, {pattern.sql})", STRING, value, pattern)


def _last_day(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value = arguments[0]
    local = value.sql if value.kind == DATE else f"CAST({zone.local(f'CAST({value.sql} AS BIGINT)')} AS DATE)"
    return made(f"last_day({local})", DATE, value)


def _datediff(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    a, b = (cast(argument, DATE, zone) or argument for argument in arguments)
    return made(f"CAST({a.sql} - {b.sql} AS INTEGER)", INT, *arguments)


def _add_months(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    day, months = cast(arguments[0], DATE, zone) or arguments[0], arguments[1]
    return made(f"CAST({day.sql} + to_months(CAST({months.sql} AS INTEGER)) AS DATE)", DATE, day, months)


def _unix(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value = cast(arguments[0], TIMESTAMP, zone) or arguments[0]
    return made(f"({value.sql} // 1000)", BIGINT, *arguments)


def _as_text(argument: Scalar, zone: Zone) -> Scalar:
    return cast(argument, STRING, zone) or argument


def _concat(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    texts = [_as_text(argument, zone) for argument in arguments]
    return made(" || ".join(t.sql for t in texts).join("()"), STRING, *texts) if texts else literal("", STRING)


def _concat_ws(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    separator, *texts = (_as_text(argument, zone) for argument in arguments)
    return made(f"({f' || {separator.sql} || '.join(t.sql for t in texts)})", STRING, separator, *texts) if texts else literal("", STRING)


def _substring(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    """1 is the first character, negative counts from the end, 0 and what lies outside give the empty text."""
    value, start = arguments[0].sql, arguments[1].sql
    length = arguments[2].sql if len(arguments) == 3 else None
    sizes = f"length({value})"
    inside = f"({start} <> 0 AND abs({start}) <= {sizes}" + (f" AND {length} > 0)" if length else ")")
    some = f"substring({value}, {start}, {length})" if length else f"substring({value}, {start})"
    unknown = f"{value} IS NULL OR {start} IS NULL" + (f" OR {length} IS NULL" if length else "")
    return made(f"CASE WHEN {unknown} THEN NULL WHEN {inside} THEN {some} ELSE '' END", STRING, *arguments)


def _if_null(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value, other = arguments
    kind = common([value.kind, other.kind]) or value.kind
    a, b = (promoted(argument, kind, zone) for argument in arguments)
    return made(f"coalesce({a.sql}, {b.sql})", kind, *arguments)


def _nvl2(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value, then, other = arguments
    kind = common([then.kind, other.kind]) or then.kind
    a, b = promoted(then, kind, zone), promoted(other, kind, zone)
    return made(f"CASE WHEN {value.sql} IS NOT NULL THEN {a.sql} ELSE {b.sql} END", kind, *arguments)


def like(value: Scalar, pattern: Scalar, escape: Scalar | None, insensitive: bool) -> Scalar:
    """LIKE with a one-character escape (`\\` where none is given, none where it is empty)."""
    parts = [value, pattern] + ([escape] if escape is not None else [])
    function = "feature_ilike" if insensitive else "feature_like"
    constant = pattern.literal if pattern.is_literal else None
    mark = "\\" if escape is None else escape.literal if escape.is_literal else None
    if isinstance(mark, str) and len(mark) > 1:  # no character is that escape, so nothing matches
        return made(f"CASE WHEN {value.sql} IS NOT NULL AND {pattern.sql} IS NOT NULL THEN false END", BOOL, *parts)
    if isinstance(constant, str) and isinstance(mark, str):
        regex = text(like_regex(constant, mark))
        option = "'si'" if insensitive else "'s'"
        return made(f"regexp_full_match({value.sql}, {regex}, {option})", BOOL, *parts)
    return made(f"{function}({value.sql}, {pattern.sql}, {text(chr(92)) if escape is None else escape.sql})", BOOL, *parts)


def like_regex(pattern: str, escape: str) -> str:
    """The RE2 text that matches what a LIKE pattern matches. An escape at the very end matches nothing."""
    import re

    found, index = [], 0
    while index < len(pattern):
        sign = pattern[index]
        if escape and sign == escape[0] and len(escape) == 1:
            index += 1
            if index >= len(pattern):
                return r"[^\s\S]"
            found.append(re.escape(pattern[index]))
        else:
            found.append(".*" if sign == "%" else "." if sign == "_" else re.escape(sign))
        index += 1
    return "".join(found)


def _like(insensitive: bool) -> Give:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        return like(arguments[0], arguments[1], arguments[2] if len(arguments) == 3 else None, insensitive)

    return build


def _greatest(function: str) -> Give:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        kind = common([a.kind for a in arguments])
        kind = kind if kind is not None else STRING
        values = [promoted(argument, kind, zone) for argument in arguments]
        unknown = " OR ".join(f"{value.sql} IS NULL" for value in values)
        return made(f"CASE WHEN {unknown} THEN NULL ELSE {function}({', '.join(v.sql for v in values)}) END", kind, *values)

    return build


def _contains(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    items, value = arguments
    inner = items.kind.of[0] if items.kind.of else value.kind
    found = promoted(value, inner, zone)
    nulls = f"len(list_filter({items.sql}, lambda z: z IS NULL)) > 0"
    has = f"coalesce(list_contains({items.sql}, {found.sql}), false)"
    return made(f"CASE WHEN {found.sql} IS NULL THEN {nulls} ELSE {has} END", BOOL, items, value)


def _combine(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    """Every way to take one item of each list, joined by the delimiter."""
    delimiter, *lists = arguments
    found = f"list_transform({lists[0].sql}, lambda x: coalesce(x, ''))"
    for i, items in enumerate(lists[1:]):
        inner = f"list_transform({items.sql}, lambda y{i}: x{i} || {delimiter.sql} || coalesce(y{i}, ''))"
        found = f"flatten(list_transform({found}, lambda x{i}: {inner}))"
    return made(found, list_of(STRING), *arguments)


def _map(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    """map(k, v, k, v, ...). Of equal keys the first one counts."""
    keys, values = list(arguments[::2]), list(arguments[1::2])
    key, value = common([k.kind for k in keys]), common([v.kind for v in values])
    kind = map_of(key if key not in (None, NULL) else STRING, value if value not in (None, NULL) else STRING)  # type: ignore[arg-type]
    pairs = "[" + ", ".join(promoted(k, kind.of[0], zone).sql for k in keys) + "]", "[" + ", ".join(promoted(v, kind.of[1], zone).sql for v in values) + "]"
    struct = f"{{'keys': CAST({pairs[0]} AS {kind.of[0].sql}[]), 'values': CAST({pairs[1]} AS {kind.of[1].sql}[])}}"
    return made(struct, kind, *arguments)


def _identity(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    return arguments[0]


def _hash(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value = arguments[0]
    name = "STRING" if value.kind == NULL else value.kind.name
    sql = f"CAST({value.sql} - DATE '1970-01-01' AS INTEGER)" if name == "DATE" else value.sql
    return made(f"hash64_{name.lower()}({sql})", BIGINT, value)


def _signature(role: str) -> Callable[[Sequence[Scalar], Zone], Scalar]:
    """A feature signature is a list [role, value, hash]: what csv, libsvm and gcformat write."""

    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        value = arguments[0]
        if role == "discrete":
            hashed = _hash([value], zone).sql
            if len(arguments) == 2:
                size = f"CAST({arguments[1].sql} AS BIGINT)"
                hashed = f"CASE WHEN {size} > 0 THEN CAST((CAST({hashed} AS HUGEINT) + CASE WHEN {hashed} < 0 THEN 18446744073709551616::HUGEINT ELSE 0 END) % {size} AS BIGINT) END"
                return made(f"[{text(role)}, CAST({hashed} AS VARCHAR), CAST({size} AS VARCHAR)]", SIGNATURE, *arguments)
            return made(f"[{text(role)}, CAST({hashed} AS VARCHAR)]", SIGNATURE, *arguments)
        if value.kind == BOOL:
            shown = f"CAST(CAST({value.sql} AS INTEGER) AS VARCHAR)"
        elif value.kind in (FLOAT, DOUBLE):
            x = f"CAST({value.sql} AS DOUBLE)"
            shown = f"fixed_six({x})"
        else:
            shown = f"CAST({value.sql} AS VARCHAR)"
        return made(f"[{text(role)}, {shown}]", SIGNATURE, *arguments)

    return build


def _instance(form: str) -> Give:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        items = ", ".join(argument.sql for argument in arguments)
        return made(f"instance_{form}(CAST([{items}] AS VARCHAR[][]))", STRING, *arguments)

    return build


def _cast_function(kind: Kind) -> Give:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        return cast(arguments[0], kind, zone) or arguments[0]

    return build


def _log(function: str) -> str:
    return "CASE WHEN {x} < 0 THEN 'NaN'::DOUBLE WHEN {x} = 0 THEN '-Infinity'::DOUBLE ELSE " + function + " END"


_LOG_A = "CASE WHEN {a} < 0 THEN 'NaN'::DOUBLE WHEN {a} = 0 THEN '-Infinity'::DOUBLE ELSE ln({a}) END"
_LOG_B = _LOG_A.replace("{a}", "{b}")


def _table() -> dict[str, tuple[Overload, ...]]:
    one = lambda take, give, sql="": (Overload((take,), give, sql),)  # noqa: E731
    real, real_bool = "number", "number|BOOL"
    moment = "DATE|TIMESTAMP|BIGINT"
    strings = {
        "upper": "upper({0})",
        "lower": "lower({0})",
        "reverse": "reverse({0})",
        "unhex": "feature_unhex({0})",
    }
    table: dict[str, tuple[Overload, ...]] = {
        "abs": one(real_bool, _abs),
        "acos": one(real, _math("CASE WHEN abs({x}) > 1 THEN 'NaN'::DOUBLE ELSE acos({x}) END")),
        "asin": one(real, _math("CASE WHEN abs({x}) > 1 THEN 'NaN'::DOUBLE ELSE asin({x}) END")),
        "atan": (Overload((real,), _math("atan({x})")), Overload((real_bool, real_bool), _two("atan2({a}, {b})"))),
        "atan2": (Overload((real_bool, real_bool), _two("atan2({a}, {b})")),),
        "cos": one(real, _math("cos({x})")),
        "sin": one(real, _math("sin({x})")),
        "tan": one(real, _math("tan({x})")),
        "cot": one(real, _math("(1.0 / tan({x}))")),
        "exp": one(real, _math("exp({x})")),
        "sqrt": one(real, _math("CASE WHEN {x} < 0 THEN 'NaN'::DOUBLE ELSE sqrt({x}) END")),
        "degrees": one(real, _math("degrees({x})", floats=False)),
        "radians": one(real, _math("radians({x})", floats=False)),
        "ln": one(real_bool, _math(_log("ln({x})"))),
        "log2": one(real_bool, _math(_log("log2({x})"))),
        "log10": one(real_bool, _math(_log("log10({x})"))),
        "log": (
            Overload((real_bool,), _math(_log("ln({x})"))),
            Overload((real_bool, real_bool), _two(f"({_LOG_B} / {_LOG_A})")),
        ),
        "pow": (Overload((real_bool, real_bool), _two("pow({a}, {b})")),),
        "ceil": one(real_bool, _whole("ceil")),
        "floor": one(real_bool, _whole("floor")),
        "truncate": one(real_bool, _whole("trunc")),
        "round": (Overload((real,), _whole("round")), Overload((real, "integer"), _round)),
        "pmod": (Overload((real_bool, real_bool), _pmod),),
        "inc": one(real, _same("({0} + 1)")),
        "minimum": (Overload(("column", "column"), _greatest("least")),),
        "maximum": (Overload(("column", "column"), _greatest("greatest")),),
        "greatest": (Overload(("column", "column", "..."), _greatest("greatest")),),
        "least": (Overload(("column", "column", "..."), _greatest("least")),),
        "year": one(moment, _date_part("year({0})")),
        "month": one(moment, _date_part("month({0})")),
        "dayofmonth": one(moment, _date_part("day({0})")),
        "dayofweek": one(moment, _date_part("dayofweek({0}) + 1")),
        "dayofyear": one(moment, _date_part("dayofyear({0})")),
        "weekofyear": one(moment, _date_part("week({0})")),
        "hour": one("TIMESTAMP|BIGINT", _date_part("hour({0})")),
        "minute": one("TIMESTAMP|BIGINT", _date_part("minute({0})")),
        "second": one("TIMESTAMP|BIGINT", _date_part("second({0})")),
        "date_format": (Overload(("DATE|TIMESTAMP", "STRING"), _date_format),),
        "last_day": one(moment, _last_day),
        "datediff": (Overload(("DATE|STRING", "DATE|STRING"), _datediff),),
        "add_months": (Overload(("DATE|STRING", "integer"), _add_months),),
        "unix_timestamp": one("DATE|STRING|TIMESTAMP", _unix),
        "concat": (Overload(("column", "..."), _concat),),
        "concat_ws": (Overload(("column", "column", "..."), _concat_ws),),
        "substring": (Overload(("STRING", "integer"), _substring), Overload(("STRING", "integer", "integer"), _substring)),
        "strcmp": (
            Overload(("STRING", "STRING"), INT, "CAST(CASE WHEN {0} = {1} THEN 0 WHEN {0} < {1} THEN -1 WHEN {0} > {1} THEN 1 END AS INTEGER)"),
        ),
        "char": one("integer", STRING, "chr(CAST((({0} % 256) + 256) % 256 AS INTEGER))"),
        "char_length": one("STRING", INT, "CAST(strlen({0}) AS INTEGER)"),
        "replace": (
            Overload(("STRING", "STRING"), STRING, "replace({0}, {1}, '')"),
            Overload(("STRING", "STRING", "STRING"), STRING, "replace({0}, {1}, {2})"),
        ),
        "hex": (
            Overload(("integer",), STRING, "printf('%X', CAST({0} AS BIGINT))"),
            Overload(("FLOAT|DOUBLE",), STRING, "printf('%X', CAST(round({0}) AS BIGINT))"),
            Overload(("STRING",), STRING, "hex({0})"),
        ),
        "like_match": (Overload(("STRING", "STRING"), _like(False)), Overload(("STRING", "STRING", "STRING"), _like(False))),
        "ilike_match": (Overload(("STRING", "STRING"), _like(True)), Overload(("STRING", "STRING", "STRING"), _like(True))),
        "regexp_like": (
            Overload(("STRING", "STRING"), BOOL, "regexp_full_match({0}, {1})"),
            Overload(("STRING", "STRING", "STRING"), BOOL, "feature_regexp({0}, {1}, {2})"),
        ),
        "get_json_object": (Overload(("STRING", "STRING"), STRING, "feature_json({0}, {1})"),),
        "json_array_length": one("STRING", INT, "CAST(json_array_length(CASE WHEN json_valid({0}) THEN {0} END) AS INTEGER)"),
        "if_null": (Overload(("any", "any"), _if_null),),
        "nvl2": (Overload(("any", "any", "any"), _nvl2),),
        "is_null": one("any", BOOL, "({0} IS NULL)"),
        "identity": one("any", _identity),
        "hash64": one("column", _hash),
        "split": (Overload(("STRING", "STRING"), list_of(STRING), "feature_split({0}, {1})"),),
        "split_by_key": (Overload(("STRING", "STRING", "STRING"), list_of(STRING), "feature_split_key({0}, {1}, {2})"),),
        "split_by_value": (Overload(("STRING", "STRING", "STRING"), list_of(STRING), "feature_split_value({0}, {1}, {2})"),),
        "list_except_by_key": (Overload(("LIST", "STRING"), list_of(STRING), "feature_except_key({0}, {1})"),),
        "list_except_by_value": (Overload(("LIST", "STRING"), list_of(STRING), "feature_except_value({0}, {1})"),),
        "join": (Overload(("LIST", "STRING"), STRING, "coalesce(array_to_string({0}, {1}), '')"),),
        "size": one("LIST", INT, "CAST(len({0}) AS INTEGER)"),
        "array_contains": (Overload(("LIST", "column"), _contains),),
        "isin": (Overload(("column", "LIST"), lambda arguments, zone: _contains(arguments[::-1], zone)),),
        "array_combine": (Overload(("STRING", "LIST", "LIST", "..."), _combine),),
        "map": (Overload(("any", "..."), _map),),
        "map_keys": one("MAP", lambda arguments, zone: made(f"({arguments[0].sql}).keys", list_of(arguments[0].kind.of[0]), *arguments)),
        "earth_distance": (Overload(("number", "number", "number", "number"), DOUBLE, "feature_earth({0}, {1}, {2}, {3})"),),
        "continuous": one("number", _signature("continuous")),
        "discrete": (Overload(("column",), _signature("discrete")), Overload(("column", "integer"), _signature("discrete"))),
        "binary_label": one("BOOL", _signature("label")),
        "multiclass_label": one("integer", _signature("label")),
        "regression_label": one("number", _signature("label")),
        "csv": (Overload(("SIGNATURE", "..."), _instance("csv")),),
        "libsvm": (Overload(("SIGNATURE", "..."), _instance("libsvm")),),
        "gcformat": (Overload(("SIGNATURE", "..."), _instance("gcformat")),),
    }
    table |= {name: one("STRING", STRING, sql) for name, sql in strings.items()}
    table["distance_floats"] = (Overload(("LIST", "LIST", "STRING"), DOUBLE, "feature_distance({0}, {1}, {2})"),)
    for name, (takes, kind) in _CASTS.items():
        table[name] = one(takes, _cast_function(kind))
    for alias, name in ALIASES.items():
        table[alias] = table[name]
    return table


_CASTS: Mapping[str, tuple[str, Kind]] = {
    "bool": ("column", BOOL),
    "smallint": ("column", Kind("SMALLINT")),
    "int": ("column", INT),
    "bigint": ("column", BIGINT),
    "float": ("column", FLOAT),
    "double": ("column", DOUBLE),
    "string": ("column", STRING),
    "timestamp": ("column", TIMESTAMP),
    "date": ("STRING|TIMESTAMP|DATE", DATE),
}

ALIASES = {
    "boolean": "bool",
    "int16": "smallint",
    "i16": "smallint",
    "int32": "int",
    "integer": "int",
    "i32": "int",
    "int64": "bigint",
    "i64": "bigint",
    "varchar": "string",
    "ceiling": "ceil",
    "power": "pow",
    "day": "dayofmonth",
    "week": "weekofyear",
    "substr": "substring",
    "character_length": "char_length",
    "ifnull": "if_null",
    "nvl": "if_null",
    "isnull": "is_null",
    "ucase": "upper",
    "lcase": "lower",
    "farm_fingerprint": "hash64",
    "split_array": "split",
    "array_join": "join",
    "trunc": "truncate",
}

FUNCTIONS: Mapping[str, tuple[Overload, ...]] = MappingProxyType(_table())

__all__ = ["ALIASES", "FUNCTIONS", "Overload", "like", "like_regex", "truth"]
