"""The kernel against DuckDB's window operator: frames of both kinds, drawn rows, NULL, NaN and infinities."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.features.kernel.column import Column
from streams.features.kernel.windows import WindowKernel
from streams.features.spec import Aggregate, Frame, Store, Window
from streams.types import Type
from tests.features.test_kernel_windows import value_at

MORE = settings(max_examples=3 * (settings.default or settings()).max_examples)

FUNCTIONS = ("count", "sum", "avg", "min", "max", "var_pop", "stddev_samp", "median", "first_value", "last_value")

number = st.one_of(st.none(), st.integers(-40, 40).map(lambda n: n / 8), st.sampled_from([0.1, 1e6, 12.34, 1e-3]))
odd = st.one_of(number, st.sampled_from([math.nan, math.inf, -math.inf]))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    start = draw(st.one_of(st.none(), st.integers(0, 15)))
    return Frame(draw(st.booleans()), start, draw(st.integers(0, 15 if start is None else start)))


def clause(frame: Frame) -> str:
    start = "UNBOUNDED" if frame.start is None else str(frame.start)
    end = f"{frame.end} PRECEDING" if frame.end else "CURRENT ROW"
    return f"(PARTITION BY k ORDER BY t {'ROWS' if frame.rows else 'RANGE'} BETWEEN {start} PRECEDING AND {end})"


@MORE
@given(
    st.lists(frames(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), number), min_size=1, max_size=40),
)
def test_values_are_duckdbs(windows: list[Frame], rows: list[tuple[int, int, float | None]]) -> None:
    compare(windows, rows, FUNCTIONS)


@MORE
@given(
    st.lists(frames(), min_size=1, max_size=2),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), odd), min_size=1, max_size=30),
)
def test_values_are_duckdbs_where_it_knows_nan(windows: list[Frame], rows: list[tuple[int, int, float | None]]) -> None:
    compare(windows, rows, ("count", "min", "max", "first_value", "last_value"))


def compare(windows: list[Frame], rows: list[tuple[int, int, float | None]], functions: tuple[str, ...]) -> None:
    keys = np.array([row[0] for row in rows], np.int64)
    times = np.cumsum([row[1] for row in rows])  # no ties: RANGE of the standard sees later peers
    values = pa.array([row[2] for row in rows], pa.float64())
    aggregates = tuple(Aggregate(f, (0,), (), Type.BIGINT if f == "count" else Type.DOUBLE) for f in functions)
    kernel = WindowKernel(Store((Type.DOUBLE,), tuple(Window(frame, aggregates) for frame in windows), history=0))
    yes = np.ones(len(rows), np.bool_)
    answers = kernel.process(keys, times, yes, yes, [Column.from_arrow(values, Type.DOUBLE)])
    connection = duckdb.connect()
    connection.register("rows", pa.table({"i": np.arange(len(rows)), "k": keys, "t": times, "v": values}))
    columns = ", ".join(f"{f}(v) OVER w{w}" for w in range(len(windows)) for f in functions)
    frames_ = ", ".join(f"w{w} AS {clause(frame)}" for w, frame in enumerate(windows))
    wanted = connection.execute(f"SELECT {columns} FROM rows WINDOW {frames_} ORDER BY i").fetchall()
    for i, line in enumerate(wanted):
        got = [value_at(column, i) for window in answers for column in window]
        for name, mine, theirs in zip(functions * len(windows), got, line, strict=True):
            assert (mine is None) == (theirs is None), (i, name, mine, theirs)
            if mine is not None:
                tolerance = 1e-6 if name.startswith(("var", "std")) else 1e-12  # theirs are not exact
                equal = math.isclose(mine, theirs, rel_tol=tolerance, abs_tol=tolerance)  # type: ignore[arg-type]
                assert equal or (mine != mine and theirs != theirs), (i, name, mine, theirs)
