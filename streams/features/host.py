"""What the scalar functions need beside DuckDB's own: macros, and Python functions over Arrow arrays.

Only what a plan uses is registered. The Python functions see whole arrays and give whole arrays.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from streams.errors import FeatureError
from streams.features.builders import like_regex
from streams.features.farm import of_floats, of_integers, of_texts, signed
from streams.features.kernel.udaf import Udaf
from streams.features.kinds import Kind
from streams.features.udf import ScalarUdf, Udfs

MACROS = {
    "number_text_float": "(x) AS regexp_replace(CAST(x AS VARCHAR), '\\.0$', '')",
    "number_text_double": "(x) AS regexp_replace(CAST(x AS VARCHAR), '\\.0$', '')",
    "fixed_six": "(x) AS CASE WHEN isnan(x) THEN 'nan' WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'inf' ELSE '-inf' END ELSE printf('%f', x) END",
    "feature_split": "(s, d) AS CASE WHEN s IS NULL OR d IS NULL OR d = '' THEN CAST([] AS VARCHAR[]) ELSE string_split(s, d) END",
    "feature_pairs": "(s, d, k) AS CASE WHEN s IS NULL OR d IS NULL OR d = '' OR k IS NULL OR k = '' THEN CAST([] AS VARCHAR[][]) "
    "ELSE list_filter(list_transform(string_split(s, d), lambda p: string_split(p, k)), lambda p: len(p) = 2) END",
    "feature_split_key": "(s, d, k) AS list_transform(feature_pairs(s, d, k), lambda p: p[1])",
    "feature_split_value": "(s, d, k) AS list_transform(feature_pairs(s, d, k), lambda p: p[2])",
    "feature_except_key": "(l, e) AS list_filter(l, lambda p: NOT list_contains(string_split(e, ','), string_split(p, ':')[1]))",
    "feature_except_value": "(l, e) AS list_filter(l, lambda p: NOT list_contains(string_split(e, ','), coalesce(string_split(p, ':')[2], '')))",
    "feature_earth": "(a, b, c, d) AS 2 * 6371.009 * asin(sqrt(least(1.0, pow(sin(radians(c - a) / 2), 2) "
    "+ cos(radians(a)) * cos(radians(c)) * pow(sin(radians(d - b) / 2), 2))))",
}
_NEEDS = {"feature_split_key": ("feature_pairs",), "feature_split_value": ("feature_pairs",)}


def prepare(connection: duckdb.DuckDBPyConnection, udfs: Udfs, text: str) -> None:
    """Register the macros, functions and project UDFs that `text` calls."""
    words = set(re.findall(r"\b[a-z_0-9]+(?=\()", text))
    for name in list(words):
        words.update(_NEEDS.get(name, ()))
    for name, body in MACROS.items():
        if name in words:
            connection.execute(f"CREATE MACRO {name}{body}")
    for name, (takes, gives, call) in FUNCTIONS.items():
        if name in words:
            _register(connection, name, takes, gives, _rowwise(call, gives, len(takes)))
    for name, (kind, function) in _HASHES.items():
        if name in words:
            _register(connection, name, [kind], "BIGINT", _arrays(function))
    for name, udf in udfs.scalars.items():
        if f"udf_{name}" in words:
            _register(
                connection,
                f"udf_{name}",
                [Kind(str(take)).sql for take in udf.takes],
                Kind(str(udf.gives)).sql,
                _of(_project(udf), len(udf.takes)),
            )


def _register(connection: duckdb.DuckDBPyConnection, name: str, takes: Sequence[str], gives: str, call: Callable[..., Any]) -> None:
    connection.create_function(name, call, list(takes), gives, type="arrow", null_handling="special", side_effects=False)  # type: ignore[call-overload]


def _arrays(function: Callable[[list[Any]], list[Any]]) -> Callable[..., pa.Array]:
    def call(column: Any) -> pa.Array:
        return pa.array(function(column.to_pylist()), pa.int64())

    return call


def _rowwise(function: Callable[..., Any], gives: str, count: int) -> Callable[..., pa.Array]:
    """A function of single values (any NULL gives NULL) over arrays."""
    kind = {"BOOLEAN": pa.bool_(), "DOUBLE": pa.float64()}.get(gives, pa.string())

    def call(*columns: Any) -> pa.Array:
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([None if any(value is None for value in row) else function(*row) for row in rows], kind)

    return _of(call, count)


def _of(call: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The same function with a fixed number of parameters, as the engine counts them."""
    forms: dict[int, Callable[..., Any]] = {
        1: lambda a: call(a),
        2: lambda a, b: call(a, b),
        3: lambda a, b, c: call(a, b, c),
        4: lambda a, b, c, d: call(a, b, c, d),
        5: lambda a, b, c, d, e: call(a, b, c, d, e),
        6: lambda a, b, c, d, e, f: call(a, b, c, d, e, f),
    }
    if count not in forms:
        raise FeatureError(f"met a function of {count} arguments, wished 1 to {len(forms)}")
    return forms[count]


def _project(udf: ScalarUdf) -> Callable[..., pa.Array]:
    """A project's function: it sees Arrow arrays of the declared types, and must give one."""

    def call(*columns: Any) -> pa.Array:
        arrays = []
        for column, take in zip(columns, udf.takes, strict=True):
            whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            arrays.append(whole.cast(take.arrow) if whole.type != take.arrow else whole)
        given = udf.call(*arrays)
        given = given.combine_chunks() if isinstance(given, pa.ChunkedArray) else given
        given = given if isinstance(given, pa.Array) else pa.array(given, udf.gives.arrow)
        if len(given) != len(arrays[0]):
            raise ValueError(f"the UDF {udf.name} gave {len(given)} values for {len(arrays[0])} rows")
        given = given if given.type == udf.gives.arrow else given.cast(udf.gives.arrow)
        return given.cast(pa.int64()) if pa.types.is_timestamp(given.type) else given

    return call


# ---------------------------------------------------------------- functions of single values


def _like(value: str, pattern: str, escape: str) -> bool:
    return re.fullmatch(like_regex(pattern, escape), value, re.DOTALL) is not None


def _ilike(value: str, pattern: str, escape: str) -> bool:
    return re.fullmatch(like_regex(pattern, escape), value, re.DOTALL | re.IGNORECASE) is not None


def _unhex(value: str) -> str | None:
    digits = value if len(value) % 2 == 0 else "0" + value
    try:
        return bytes.fromhex(digits).decode()
    except ValueError:
        return None


def _json(document: str, pointer: str) -> str | None:
    """The value at a JSON Pointer (RFC 6901); texts without quotes."""
    try:
        found: Any = json.loads(document)
        for part in pointer.split("/")[1:] if pointer else []:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
        shown = found if isinstance(found, str) else json.dumps(found, separators=(",", ":"))
        shown.encode()  # half a surrogate pair is no text
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return shown


def _distance(left: list[Any], right: list[Any], kind: str) -> float | None:
    try:
        a, b = [float(x) for x in left], [float(x) for x in right]
        if len(a) != len(b):
            return None
        if kind.upper() == "L2":
            return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
        if kind.upper() == "IP":
            return math.fsum(x * y for x, y in zip(a, b, strict=True))
    except (TypeError, ValueError, OverflowError):  # a NULL among them, or a sum beyond all numbers
        return None
    return None


def _label(items: list[list[str | None]]) -> str:
    labels = [item[1] for item in items if item[0] == "label"]
    return (labels[-1] or "") if labels else ""


def _csv(items: list[list[str | None]]) -> str:
    return ",".join(item[1] or "" for item in items)


def _libsvm(items: list[list[str | None]]) -> str:
    """`label index:value ...`: a continuous feature takes one index, a discrete one as many as it has buckets."""
    parts = [_label(items)] if any(item[0] == "label" for item in items) else []
    index = 1
    for item in items:
        role, value = item[0], item[1]
        if role == "label":
            continue
        if role == "continuous":
            if value is not None:
                parts.append(f"{index}:{value}")
            index += 1
        else:
            size = int(item[2] or 0) if len(item) > 2 else 0
            if value is not None:
                parts.append(f"{index + int(value)}:1")
            index += max(size, 0)
    return " ".join(parts)


def _gcformat(items: list[list[str | None]]) -> str:
    """`label | slot:hash[:value] ...`; a continuous feature's hash is that of its slot."""
    parts, slot = [], 0
    for item in items:
        role, value = item[0], item[1]
        if role == "label":
            continue
        slot += 1
        if value is None:
            continue
        parts.append(f"{slot}:{value}" if role == "discrete" else f"{slot}:{signed(slot.to_bytes(8, 'little'))}:{value}")
    return f"{_label(items)} | {' '.join(parts)}"


FUNCTIONS: dict[str, tuple[list[str], str, Callable[..., Any]]] = {
    "feature_like": (["VARCHAR"] * 3, "BOOLEAN", _like),
    "feature_ilike": (["VARCHAR"] * 3, "BOOLEAN", _ilike),
    "feature_unhex": (["VARCHAR"], "VARCHAR", _unhex),
    "feature_json": (["VARCHAR", "VARCHAR"], "VARCHAR", _json),
    "feature_distance": (["DOUBLE[]", "DOUBLE[]", "VARCHAR"], "DOUBLE", _distance),
    "instance_csv": (["VARCHAR[][]"], "VARCHAR", _csv),
    "instance_libsvm": (["VARCHAR[][]"], "VARCHAR", _libsvm),
    "instance_gcformat": (["VARCHAR[][]"], "VARCHAR", _gcformat),
}

_HASHES: dict[str, tuple[str, Callable[[list[Any]], list[Any]]]] = {
    "hash64_bool": ("BOOLEAN", lambda values: of_integers([None if v is None else int(v) for v in values], 1)),
    "hash64_smallint": ("SMALLINT", lambda values: of_integers(values, 2)),
    "hash64_int": ("INTEGER", lambda values: of_integers(values, 4)),
    "hash64_bigint": ("BIGINT", lambda values: of_integers(values, 8)),
    "hash64_timestamp": ("BIGINT", lambda values: of_integers(values, 8)),
    "hash64_date": ("INTEGER", lambda values: of_integers(values, 4)),
    "hash64_float": ("FLOAT", lambda values: of_floats(values, "<f")),
    "hash64_double": ("DOUBLE", lambda values: of_floats(values, "<d")),
    "hash64_string": ("VARCHAR", of_texts),
}


def rows_udaf() -> Udaf:
    """The rows of a frame as JSON, for conditions that compare each of them with an aggregate."""

    def update(state: list[dict[str, Any]], *values: Any) -> list[dict[str, Any]]:
        state.append({f"a{i}": value for i, value in enumerate(values)})
        return state

    return Udaf(list, update, lambda state: json.dumps(state))
