"""The scalar functions: which types they take, what they give, and their text in DuckDB.

A function is a tuple of overloads. An argument class is a type name, `number`, `integer`, `any`, `text?` (what turns into text by itself),
or several joined by `|`; `...` behind the last one repeats it. What an overload cannot say in a template is a Python function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from streams.features.builders import (
    LOG_A,
    LOG_B,
    abs_,
    add_months,
    cast_function,
    combine,
    concat,
    concat_ws,
    contains,
    date_format,
    date_part,
    datediff,
    greatest,
    hash_,
    identity,
    if_null,
    inc,
    instance,
    last_day,
    like_match,
    log_text,
    map_,
    math,
    nvl2,
    pmod,
    round_,
    signature,
    substring,
    two,
    unix,
    whole,
)
from streams.features.kinds import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    INTEGERS,
    NULL,
    NUMBERS,
    STRING,
    TIMESTAMP,
    Kind,
    common,
    list_of,
)
from streams.features.scalar import Scalar, Zone, made

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
        return len(takes) == len(kinds) and all(_fits(take, kind, kinds) for take, kind in zip(takes, kinds, strict=True))

    def build(self, arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        if not isinstance(self.gives, Kind):
            return self.gives(arguments, zone)
        return made(
            self.sql.format(*(argument.sql for argument in arguments), all=", ".join(a.sql for a in arguments)), self.gives, *arguments
        )


def _fits(take: str, kind: Kind, kinds: Sequence[Kind]) -> bool:
    if take.startswith("item:"):
        items = kinds[int(take[5:])].of
        return not items or kind in (items[0], NULL)
    if take == "pairs":
        return len(kinds) % 2 == 0 and common(list(kinds[::2])) is not None and common(list(kinds[1::2])) is not None
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


def one(take: str, gives: Give, sql: str = "") -> tuple[Overload, ...]:
    return (Overload((take,), gives, sql),)


_FLAGGED = "'(?' || regexp_replace({2}, '[^ims]', '', 'g') || ')' || {1}"  # RE2's flags: i no case, m lines, s a dot for newlines too


def _table() -> dict[str, tuple[Overload, ...]]:
    real, real_bool = "number", "number|BOOL"
    moment = "DATE|TIMESTAMP|BIGINT"
    strings = {
        "upper": "upper({0})",
        "lower": "lower({0})",
        "reverse": "reverse({0})",
        "unhex": "feature_unhex({0})",
    }
    table: dict[str, tuple[Overload, ...]] = {
        "abs": one(real_bool, abs_),
        "acos": one(real, math("CASE WHEN abs({x}) > 1 THEN 'NaN'::DOUBLE ELSE acos({x}) END")),
        "asin": one(real, math("CASE WHEN abs({x}) > 1 THEN 'NaN'::DOUBLE ELSE asin({x}) END")),
        "atan": (Overload((real,), math("atan({x})")), Overload((real_bool, real_bool), two("atan2({a}, {b})"))),
        "atan2": (Overload((real_bool, real_bool), two("atan2({a}, {b})")),),
        "cos": one(real, math("cos({x})")),
        "sin": one(real, math("sin({x})")),
        "tan": one(real, math("tan({x})")),
        "cot": one(real, math("(1.0 / tan({x}))")),
        "exp": one(real, math("exp({x})")),
        "sqrt": one(real, math("CASE WHEN {x} < 0 THEN 'NaN'::DOUBLE ELSE sqrt({x}) END")),
        "degrees": one(real, math("degrees({x})", floats=False)),
        "radians": one(real, math("radians({x})", floats=False)),
        "ln": one(real_bool, math(log_text("ln({x})"))),
        "log2": one(real_bool, math(log_text("log2({x})"))),
        "log10": one(real_bool, math(log_text("log10({x})"))),
        "log": (
            Overload((real_bool,), math(log_text("ln({x})"))),
            Overload((real_bool, real_bool), two(f"({LOG_B} / {LOG_A})")),
        ),
        "pow": (Overload((real_bool, real_bool), two("pow({a}, {b})")),),
        "ceil": one(real_bool, whole("ceil")),
        "floor": one(real_bool, whole("floor")),
        "truncate": one(real_bool, whole("trunc")),
        "round": (Overload((real,), whole("round")), Overload((real, "integer"), round_)),
        "pmod": (Overload((real_bool, real_bool), pmod),),
        "inc": one(real, inc),
        "minimum": (Overload(("column", "column"), greatest("least")),),
        "maximum": (Overload(("column", "column"), greatest("greatest")),),
        "greatest": (Overload(("column", "column", "..."), greatest("greatest")),),
        "least": (Overload(("column", "column", "..."), greatest("least")),),
        "year": one(moment, date_part("year({0})")),
        "month": one(moment, date_part("month({0})")),
        "dayofmonth": one(moment, date_part("day({0})")),
        "dayofweek": one(moment, date_part("dayofweek({0}) + 1")),
        "dayofyear": one(moment, date_part("dayofyear({0})")),
        "weekofyear": one(moment, date_part("week({0})")),
        "hour": one("TIMESTAMP|BIGINT", date_part("hour({0})")),
        "minute": one("TIMESTAMP|BIGINT", date_part("minute({0})")),
        "second": one("TIMESTAMP|BIGINT", date_part("second({0})")),
        "date_format": (Overload(("DATE|TIMESTAMP", "STRING"), date_format),),
        "last_day": one(moment, last_day),
        "datediff": (Overload(("DATE|STRING", "DATE|STRING"), datediff),),
        "add_months": (Overload(("DATE|STRING", "integer"), add_months),),
        "unix_timestamp": one("DATE|STRING|TIMESTAMP", unix),
        "concat": (Overload(("column", "..."), concat),),
        "concat_ws": (Overload(("column", "column", "..."), concat_ws),),
        "substring": (Overload(("STRING", "integer"), substring), Overload(("STRING", "integer", "integer"), substring)),
        "strcmp": (
            Overload(
                ("STRING", "STRING"), INT, "CAST(CASE WHEN {0} = {1} THEN 0 WHEN {0} < {1} THEN -1 WHEN {0} > {1} THEN 1 END AS INTEGER)"
            ),
        ),
        "char": one("integer", STRING, "chr(CAST((({0} % 256) + 256) % 256 AS INTEGER))"),
        "char_length": one("STRING", INT, "CAST(strlen({0}) AS INTEGER)"),
        "replace": (
            Overload(("STRING", "STRING"), STRING, "replace({0}, {1}, '')"),
            Overload(("STRING", "STRING", "STRING"), STRING, "replace({0}, {1}, {2})"),
        ),
        "hex": (
            Overload(("integer",), STRING, "printf('%X', CAST({0} AS BIGINT))"),
            Overload(("FLOAT|DOUBLE",), STRING, "TRY(printf('%X', CAST(round({0}) AS BIGINT)))"),
            Overload(("STRING",), STRING, "hex({0})"),
        ),
        "like_match": (Overload(("STRING", "STRING"), like_match(False)), Overload(("STRING", "STRING", "STRING"), like_match(False))),
        "ilike_match": (Overload(("STRING", "STRING"), like_match(True)), Overload(("STRING", "STRING", "STRING"), like_match(True))),
        "regexp_like": (
            Overload(("STRING", "STRING"), BOOL, "TRY(regexp_full_match({0}, {1}))"),
            Overload(("STRING", "STRING", "STRING"), BOOL, f"TRY(regexp_full_match({{0}}, {_FLAGGED}))"),
        ),
        "get_json_object": (Overload(("STRING", "STRING"), STRING, "feature_json({0}, {1})"),),
        "json_array_length": one("STRING", INT, "CAST(json_array_length(CASE WHEN json_valid({0}) THEN {0} END) AS INTEGER)"),
        "if_null": (Overload(("any", "any"), if_null),),
        "nvl2": (Overload(("any", "any", "any"), nvl2),),
        "is_null": one("any", BOOL, "({0} IS NULL)"),
        "identity": one("any", identity),
        "hash64": one("column", hash_),
        "split": (Overload(("STRING", "STRING"), list_of(STRING), "feature_split({0}, {1})"),),
        "split_by_key": (Overload(("STRING", "STRING", "STRING"), list_of(STRING), "feature_split_key({0}, {1}, {2})"),),
        "split_by_value": (Overload(("STRING", "STRING", "STRING"), list_of(STRING), "feature_split_value({0}, {1}, {2})"),),
        "list_except_by_key": (Overload(("LIST", "STRING"), list_of(STRING), "feature_except_key({0}, {1})"),),
        "list_except_by_value": (Overload(("LIST", "STRING"), list_of(STRING), "feature_except_value({0}, {1})"),),
        "join": (Overload(("LIST", "STRING"), STRING, "coalesce(array_to_string({0}, {1}), '')"),),
        "size": one("LIST", INT, "CAST(len({0}) AS INTEGER)"),
        "array_contains": (Overload(("LIST", "item:0"), contains),),
        "isin": (Overload(("item:1", "LIST"), lambda arguments, zone: contains(arguments[::-1], zone)),),
        "array_combine": (Overload(("STRING", "LIST", "LIST", "..."), combine),),
        "map": (Overload(("pairs", "..."), map_),),
        "map_keys": one("MAP", lambda arguments, zone: made(f"({arguments[0].sql}).keys", list_of(arguments[0].kind.of[0]), *arguments)),
        "earth_distance": (Overload(("number", "number", "number", "number"), DOUBLE, "feature_earth({0}, {1}, {2}, {3})"),),
        "continuous": one("number", signature("continuous")),
        "discrete": (Overload(("column",), signature("discrete")), Overload(("column", "integer"), signature("discrete"))),
        "binary_label": one("BOOL", signature("label")),
        "multiclass_label": one("integer", signature("label")),
        "regression_label": one("number", signature("label")),
        "csv": (Overload(("SIGNATURE", "..."), instance("csv")),),
        "libsvm": (Overload(("SIGNATURE", "..."), instance("libsvm")),),
        "gcformat": (Overload(("SIGNATURE", "..."), instance("gcformat")),),
    }
    table |= {name: one("STRING", STRING, sql) for name, sql in strings.items()}
    table["distance_floats"] = (Overload(("LIST", "LIST", "STRING"), DOUBLE, "feature_distance({0}, {1}, {2})"),)
    for name, (takes, kind) in _CASTS.items():
        table[name] = one(takes, cast_function(kind))
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

# functions whose second argument has a syntax of its own: what it is, what it should be, and a call that tries it
PATTERNS: Mapping[str, tuple[str, str, str]] = {
    "date_format": ("the format", "the codes of strftime, as in %Y-%m-%d %H:%M:%S", "strftime(DATE '1970-01-01', {})"),
    "regexp_like": ("the pattern", "a regular expression of RE2", "regexp_full_match('', {})"),
}

__all__ = ["ALIASES", "FUNCTIONS", "PATTERNS", "Overload"]
