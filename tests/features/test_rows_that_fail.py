"""A value that an expression has no answer for is NULL in its row; the rows around it are answered, and the stream goes on."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams.errors import FeatureError
from streams.features.plan import compile_features
from streams.features.program import Answer, Program
from streams.features.step import feature_rows
from streams.types import Batch, Type
from tests.features.test_program import table

SCHEMA = {
    "x": Type.STRING, "pattern": Type.STRING, "p": Type.TIMESTAMP, "v": Type.DOUBLE, "f": Type.FLOAT, "s": Type.SMALLINT, "n": Type.INT,
    "l": Type.BIGINT,
}  # fmt: skip
GOOD = ("ab", "a.", 1_600_000_000_000, 1.5, 1.5, 5, 5, 5)
FAR = ('{"b":["\\ud800"]}', "[", 1_600_000_000_000_000_000, 1e300, 3e38, 32767, 2**31 - 1, 2**63 - 1)
MICROS = 1_600_000_000_000_000  # microseconds where milliseconds were meant: the year 52671
LEAST = ("[" * 200_000, "(", -(2**62), float("-inf"), float("-inf"), -32768, -(2**31), -(2**63))

# expression: its values for the rows GOOD, FAR, LEAST
EXPRESSIONS: dict[str, list[Any]] = {
    "hour(p)": [12, None, None],
    "if_null(hour(p), -1)": [12, -1, -1],
    "CAST(p AS STRING)": ["2020-09-13 12:26:40", None, None],
    "last_day(l)": [date(1970, 1, 31), None, None],
    "CAST(v AS FLOAT)": [1.5, float("inf"), float("-inf")],
    "exp(f)": [pytest.approx(4.481689), float("inf"), 0.0],
    "n % -1": [0, 0, 0],
    "l % -1": [0, 0, 0],
    "pmod(n, -1)": [0, 0, 0],
    "pmod(-7, n)": [3, 2**31 - 8, -7],
    "inc(s)": [6, None, -32767],
    "inc(l)": [6, None, -(2**63) + 1],
    "round(n, -1)": [10, None, None],
    "hex(v)": ["2", None, None],
    "substring(x, 1, l)": ["ab", FAR[0], ""],
    "substring(x, l)": ["", "", ""],
    "x RLIKE pattern": [True, None, None],
    "regexp_like(x, pattern)": [True, None, None],
    "regexp_like(x, pattern, 'i')": [True, None, None],
    "get_json_object(x, '/b/0')": [None, None, None],
    "distance_floats([v, v], [1.0, 2.0], 'IP')": [4.5, pytest.approx(3e300), float("-inf")],
    "distance_floats([v, v], [1.0, 2.0], 'L2')": [pytest.approx(0.5**0.5), None, float("inf")],
}


def values(expression: str, rows: list[tuple[Any, ...]]) -> list[Any]:
    plan = compile_features(f"SELECT {expression} AS o FROM t", {"t": SCHEMA})
    given = table(SCHEMA, rows)
    answer = Program(plan, spill=Path(tempfile.gettempdir())).process(Batch({"t": given}, {"t": np.arange(len(rows))}))
    return answer.table.column(0).to_pylist()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_one_rows_value_stops_nothing(expression: str) -> None:
    whole = values(expression, [GOOD, FAR, LEAST])
    assert whole == EXPRESSIONS[expression]
    assert [values(expression, [row])[0] for row in (GOOD, FAR, LEAST)] == EXPRESSIONS[expression], "it depends on the rows beside it"


def test_what_the_engine_refuses_is_said_before_the_first_row() -> None:
    plan = compile_features("SELECT x RLIKE ('[' || 'a') AS o FROM t", {"t": SCHEMA})
    with pytest.raises(FeatureError, match="cannot be computed"):
        Program(plan, spill=Path(tempfile.gettempdir()))


ONE: dict[Type, Any] = {Type.INT: 1, Type.BIGINT: 1, Type.FLOAT: 1.0, Type.DOUBLE: 1.0, Type.BOOL: True, Type.STRING: "1"}


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Type.INT, Type.BIGINT),
        (Type.DOUBLE, Type.FLOAT),
        (Type.INT, Type.DOUBLE),
        (Type.BOOL, Type.INT),
        (Type.STRING, Type.INT),
        (Type.BIGINT, Type.STRING),
    ],
)
def test_null_is_null_also_where_the_types_of_a_key_differ(mine: Type, theirs: Type) -> None:
    left, right = {"i": Type.INT, "g": mine}, {"ri": Type.INT, "rl": theirs}
    plan = compile_features("SELECT j1.i, r.ri FROM j1 LAST JOIN r ON j1.g = r.rl", {"j1": left, "r": right})
    zero = type(ONE[mine])(0)
    batch = Batch(
        {"r": table(right, [(101, ONE[theirs]), (102, None)]), "j1": table(left, [(1, None), (2, ONE[mine]), (3, zero)])},
        {"r": np.array([0, 1]), "j1": np.array([2, 3, 4])},
    )
    found = Program(plan, spill=Path(tempfile.gettempdir())).process(batch).table
    assert found.column(1).to_pylist() == [102, 101, None]
    assert plan.joins[0].residual is None  # one right row a key is kept, not all of them


def test_a_float_is_the_key_that_it_is_compared_as() -> None:
    left, right = {"g": Type.INT}, {"rf": Type.FLOAT}
    plan = compile_features("SELECT r.rf FROM t LAST JOIN r ON t.g = r.rf", {"t": left, "r": right})
    batch = Batch(
        {"r": table(right, [(2.0**24,)]), "t": table(left, [(2**24,), (2**24 + 1,)])}, {"r": np.array([0]), "t": np.array([1, 2])}
    )
    assert Program(plan, spill=Path(tempfile.gettempdir())).process(batch).table.column(0).to_pylist() == [2.0**24, None]


@pytest.mark.parametrize(
    "frame",
    [
        "-5 PRECEDING AND CURRENT ROW",
        f"{2**63}d PRECEDING AND CURRENT ROW",
        "10s PRECEDING AND CURRENT ROW MAXSIZE 99999999999999999999",
    ],
)
def test_a_frame_that_no_window_has_is_refused(frame: str) -> None:
    window = f"(PARTITION BY x ORDER BY p ROWS_RANGE BETWEEN {frame})"
    with pytest.raises(FeatureError, match=r"features.sql:1:\d+: met (a bound of|a frame from -5 to 0|MAXSIZE)"):
        compile_features(f"SELECT sum(v) OVER w AS o FROM t WINDOW w AS {window}", {"t": SCHEMA})


def test_a_frame_that_ends_behind_the_row_ends_with_it() -> None:
    """Rows of a later event time that are there already, as for one that comes late, are not in it."""
    schema = {"k": Type.STRING, "ts": Type.TIMESTAMP, "v": Type.DOUBLE}
    windows = ", ".join(
        f"{name} AS (PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN 10s PRECEDING AND {end})"
        for name, end in (("w", "-60000 PRECEDING"), ("c", "CURRENT ROW"))
    )
    plan = compile_features(f"SELECT sum(v) OVER w AS o, sum(v) OVER c AS c FROM t WINDOW {windows}", {"t": schema})
    rows = table(schema, [("a", 10_000, 1.0), ("a", 50_000, 100.0), ("a", 11_000, 3.0)])
    found = Program(plan, spill=Path(tempfile.gettempdir())).process(Batch({"t": rows}, {"t": np.arange(3)})).table
    assert found.column(0).to_pylist() == found.column(1).to_pylist() == [1.0, 100.0, 4.0]


@pytest.mark.parametrize("by", ["p", "date(p)", "x, p"])
def test_a_time_beyond_the_calendar_is_a_key_like_any_other(by: str) -> None:
    plan = compile_features(
        f"SELECT count(*) OVER w AS o FROM t WINDOW w AS (PARTITION BY {by} ORDER BY l ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
        {"t": SCHEMA},
    )
    batch = Batch({"t": table(SCHEMA, [("ab", "", p, 1.0, 1.0, 1, 1, 1) for p in (MICROS, 0, MICROS)])}, {"t": np.arange(3)})
    program = Program(plan, spill=Path(tempfile.gettempdir()))
    assert program.process(batch).table.column(0).to_pylist() == [1, 1, 2]
    again = Program(plan, spill=Path(tempfile.gettempdir()))
    again.restore(program.snapshot())
    assert again.process(batch).table.column(0).to_pylist() == [3, 2, 4]


def test_a_time_beyond_the_calendar_reads_as_its_number() -> None:
    window = "(PARTITION BY x ORDER BY l ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
    plan = compile_features(f"SELECT top(p, 2) OVER w AS o, count_cate(v, date(p)) OVER w AS c FROM t WINDOW w AS {window}", {"t": SCHEMA})
    rows = table(SCHEMA, [("ab", "", p, 1.0, 1.0, 1, 1, 1) for p in (MICROS, 0)])
    found = Program(plan, spill=Path(tempfile.gettempdir())).process(Batch({"t": rows}, {"t": np.arange(2)})).table
    days = MICROS // 86_400_000
    assert found.column(0).to_pylist() == [str(MICROS), f"{MICROS},1970-01-01 00:00:00"]
    assert found.column(1).to_pylist() == [f"{days}:1", f"1970-01-01:1,{days}:1"]


def test_a_date_that_no_reader_has_is_null_in_the_feature_row() -> None:
    plan = compile_features("SELECT date(p) AS d, add_months('2020-01-31', n) AS m FROM t", {"t": SCHEMA})
    times = (0, 253_402_214_400_000, 253_402_300_800_000, MICROS)
    rows = table(SCHEMA, [("ab", "", p, 1.0, 1.0, 1, n, 1) for n, p in zip((1, 2, None, 1_200_000), times, strict=True)])
    answer = Program(plan, spill=Path(tempfile.gettempdir())).process(Batch({"t": rows}, {"t": np.arange(4)}))
    found = feature_rows(answer, rows, plan)
    assert found.column("d").to_pylist() == [date(1970, 1, 1), date(9999, 12, 31), None, None]
    assert found.column("m").to_pylist() == [date(2020, 2, 29), date(2020, 3, 31), None, None]
    assert feature_rows(Answer(answer.table.slice(0, 0), answer.index[:0], answer.seen.slice(0, 0)), rows.slice(0, 0), plan).num_rows == 0
