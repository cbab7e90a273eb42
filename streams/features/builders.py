"""Scalar functions that a template cannot say: their types follow from their arguments, or their text from constants."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from streams.features.kinds import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    INTEGERS,
    NULL,
    SIGNATURE,
    STRING,
    TIMESTAMP,
    Kind,
    common,
    list_of,
    map_of,
)
from streams.features.scalar import Scalar, Zone, arithmetic, as_float, cast, literal, made, promoted, text

Build = Callable[[Sequence[Scalar], Zone], Scalar]


def math(function: str, floats: bool = True) -> Build:
    """DOUBLE, but FLOAT for a FLOAT where `floats`. What has no real value is NaN or infinity as in C, never an error."""

    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        argument = arguments[0]
        kind = FLOAT if floats and argument.kind == FLOAT else DOUBLE
        x = f"CAST({promoted(argument, INT, zone).sql if argument.kind == BOOL else argument.sql} AS DOUBLE)"
        sql = function.format(x=x)
        return made(as_float(sql) if kind == FLOAT else sql, kind, argument)

    return build


def as_double(argument: Scalar, zone: Zone) -> str:
    return f"CAST({promoted(argument, INT, zone).sql if argument.kind == BOOL else argument.sql} AS DOUBLE)"


def whole(function: str) -> Build:
    """ceil, floor, round and truncate: integers stay themselves as BIGINT, floats stay floats."""

    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        argument = arguments[0]
        if function == "round" and argument.kind.name in INTEGERS:
            return argument
        if argument.kind.name in ("BOOL", *INTEGERS, "NULL"):
            return made(f"CAST({argument.sql} AS BIGINT)", BIGINT, argument)
        return made(f"CAST({function}({argument.sql}) AS {argument.kind.sql})", argument.kind, argument)

    return build


def abs_(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    argument = arguments[0]
    if argument.kind == BOOL:
        return argument
    if argument.kind.name in INTEGERS:
        return made(f"TRY_CAST(abs(CAST({argument.sql} AS HUGEINT)) AS {argument.kind.sql})", argument.kind, argument)
    return made(f"abs({argument.sql})", DOUBLE if argument.kind == NULL else argument.kind, argument)


def round_(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value, digits = arguments
    kind = DOUBLE if value.kind == NULL else value.kind
    return made(f"TRY(CAST(round({value.sql}, {digits.sql}) AS {kind.sql}))", kind, value, digits)


def inc(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value = arguments[0]
    return arithmetic("+", value, literal(1, INT), INT if value.kind == NULL else value.kind, zone)


def two(function: str) -> Build:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        a, b = (as_double(argument, zone) for argument in arguments)
        return made(function.format(a=a, b=b), DOUBLE, *arguments)

    return build


def pmod(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    kind = common([a.kind for a in arguments]) or DOUBLE
    a, b = (promoted(argument, kind, zone).sql for argument in arguments)
    if kind == BOOL:
        a, b, kind = f"CAST({a} AS INTEGER)", f"CAST({b} AS INTEGER)", INT
    if kind.name in INTEGERS:
        a, b = f"CAST({a} AS HUGEINT)", f"CAST({b} AS HUGEINT)"
    rest = f"({a} % nullif({b}, 0))"
    return made(f"CAST(CASE WHEN {rest} < 0 THEN ({rest} + {b}) % {b} ELSE {rest} END AS {kind.sql})", kind, *arguments)


def date_part(part: str) -> Build:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        argument = arguments[0]
        local = argument.sql if argument.kind == DATE else zone.local(f"CAST({argument.sql} AS BIGINT)")
        return made(f"CAST({part.format(local)} AS INTEGER)", INT, argument)

    return build


def date_format(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value, pattern = arguments
    local = value.sql if value.kind == DATE else zone.local(f"CAST({value.sql} AS BIGINT)")
    return made(f"strftime({local}, {pattern.sql})", STRING, value, pattern)


def last_day(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value = arguments[0]
    local = value.sql if value.kind == DATE else f"CAST({zone.local(f'CAST({value.sql} AS BIGINT)')} AS DATE)"
    return made(f"last_day({local})", DATE, value)


def datediff(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    a, b = (cast(argument, DATE, zone) or argument for argument in arguments)
    return made(f"CAST({a.sql} - {b.sql} AS INTEGER)", INT, *arguments)


def add_months(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    day, months = cast(arguments[0], DATE, zone) or arguments[0], arguments[1]
    return made(f"TRY(CAST({day.sql} + to_months(CAST({months.sql} AS INTEGER)) AS DATE))", DATE, day, months)


def unix(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value = cast(arguments[0], TIMESTAMP, zone) or arguments[0]
    return made(f"({value.sql} // 1000)", BIGINT, *arguments)


def as_text(argument: Scalar, zone: Zone) -> Scalar:
    return cast(argument, STRING, zone) or argument


def concat(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    texts = [as_text(argument, zone) for argument in arguments]
    return made(" || ".join(t.sql for t in texts).join("()"), STRING, *texts) if texts else literal("", STRING)


def concat_ws(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    separator, *texts = (as_text(argument, zone) for argument in arguments)
    return made(f"({f' || {separator.sql} || '.join(t.sql for t in texts)})", STRING, separator, *texts) if texts else literal("", STRING)


def substring(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    """1 is the first character, negative counts from the end, 0 and what lies outside give the empty text."""
    value, start = arguments[0].sql, arguments[1].sql
    length = f"least({arguments[2].sql}, {2**31 - 1})" if len(arguments) == 3 else None
    sizes = f"length({value})"
    inside = f"({start} <> 0 AND {start} BETWEEN -{sizes} AND {sizes}" + (f" AND {length} > 0)" if length else ")")
    some = f"substring({value}, {start}, {length})" if length else f"substring({value}, {start})"
    unknown = f"{value} IS NULL OR {start} IS NULL" + (f" OR {length} IS NULL" if length else "")
    return made(f"CASE WHEN {unknown} THEN NULL WHEN {inside} THEN {some} ELSE '' END", STRING, *arguments)


def if_null(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value, other = arguments
    kind = common([value.kind, other.kind]) or value.kind
    a, b = (promoted(argument, kind, zone) for argument in arguments)
    return made(f"coalesce({a.sql}, {b.sql})", kind, *arguments)


def nvl2(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
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


def like_match(insensitive: bool) -> Build:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        return like(arguments[0], arguments[1], arguments[2] if len(arguments) == 3 else None, insensitive)

    return build


def greatest(function: str) -> Build:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        kind = common([a.kind for a in arguments])
        kind = kind if kind is not None else STRING
        values = [promoted(argument, kind, zone) for argument in arguments]
        unknown = " OR ".join(f"{value.sql} IS NULL" for value in values)
        return made(f"CASE WHEN {unknown} THEN NULL ELSE {function}({', '.join(v.sql for v in values)}) END", kind, *values)

    return build


def contains(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    items, value = arguments
    inner = items.kind.of[0] if items.kind.of else value.kind
    found = promoted(value, inner, zone)
    nulls = f"len(list_filter({items.sql}, lambda z: z IS NULL)) > 0"
    has = f"coalesce(list_contains({items.sql}, {found.sql}), false)"
    return made(f"CASE WHEN {found.sql} IS NULL THEN {nulls} ELSE {has} END", BOOL, items, value)


def combine(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    """Every way to take one item of each list, joined by the delimiter."""
    delimiter, *lists = arguments
    found = f"list_transform({lists[0].sql}, lambda x: coalesce(x, ''))"
    for i, items in enumerate(lists[1:]):
        inner = f"list_transform({items.sql}, lambda y{i}: x{i} || {delimiter.sql} || coalesce(y{i}, ''))"
        found = f"flatten(list_transform({found}, lambda x{i}: {inner}))"
    return made(found, list_of(STRING), *arguments)


def map_(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    """map(k, v, k, v, ...). Of equal keys the first one counts."""
    keys, values = list(arguments[::2]), list(arguments[1::2])
    key, value = common([k.kind for k in keys]), common([v.kind for v in values])
    kind = map_of(key if key not in (None, NULL) else STRING, value if value not in (None, NULL) else STRING)
    pairs = (
        "[" + ", ".join(promoted(k, kind.of[0], zone).sql for k in keys) + "]",
        "[" + ", ".join(promoted(v, kind.of[1], zone).sql for v in values) + "]",
    )
    struct = f"{{'keys': CAST({pairs[0]} AS {kind.of[0].sql}[]), 'values': CAST({pairs[1]} AS {kind.of[1].sql}[])}}"
    return made(struct, kind, *arguments)


def identity(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    return arguments[0]


def hash_(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
    value = arguments[0]
    name = "STRING" if value.kind == NULL else value.kind.name
    sql = f"CAST({value.sql} - DATE '1970-01-01' AS INTEGER)" if name == "DATE" else value.sql
    return made(f"hash64_{name.lower()}({sql})", BIGINT, value)


def signature(role: str) -> Callable[[Sequence[Scalar], Zone], Scalar]:
    """A feature signature is a list [role, value, hash]: what csv, libsvm and gcformat write."""

    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        value = arguments[0]
        if role == "discrete":
            hashed = hash_([value], zone).sql
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


def instance(form: str) -> Build:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        items = ", ".join(argument.sql for argument in arguments)
        return made(f"instance_{form}(CAST([{items}] AS VARCHAR[][]))", STRING, *arguments)

    return build


def cast_function(kind: Kind) -> Build:
    def build(arguments: Sequence[Scalar], zone: Zone) -> Scalar:
        return cast(arguments[0], kind, zone) or arguments[0]

    return build


def log_text(function: str) -> str:
    return "CASE WHEN {x} < 0 THEN 'NaN'::DOUBLE WHEN {x} = 0 THEN '-Infinity'::DOUBLE ELSE " + function + " END"


LOG_A = "CASE WHEN {a} < 0 THEN 'NaN'::DOUBLE WHEN {a} = 0 THEN '-Infinity'::DOUBLE ELSE ln({a}) END"
LOG_B = LOG_A.replace("{a}", "{b}")
