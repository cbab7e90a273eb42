"""The kernel against the plainest engine there can be, on rows that Hypothesis draws, whole, cut, resumed and split."""

from __future__ import annotations

import math
import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.features.kernel.column import Column
from streams.features.kernel.windows import WindowKernel
from streams.features.spec import Aggregate, Frame, Store, Window
from streams.types import Type
from tests.features.referee import Event, Referee, Value

MORE = settings(max_examples=3 * (settings.default or settings()).max_examples)
COLUMNS = (Type.DOUBLE, Type.BIGINT, Type.STRING, Type.BOOL)
NUMERIC = ("count", "sum", "avg", "min", "max", "var_pop", "var_samp", "stddev_pop", "stddev_samp")

tame = st.one_of(st.integers(-20, 20).map(lambda n: n / 4), st.sampled_from([0.1, 0.2, 0.3, 1e6, 12.34]))
wild = st.one_of(
    tame,
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1e300, -1e300, 1e-12, 2.0**42, 2.0**52, 1e16]),
)
whole = st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1), st.just(2**62))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    rows = draw(st.booleans())
    start = draw(st.one_of(st.none(), st.integers(0, 12)))
    end = draw(st.one_of(st.just(0), st.integers(0, 12 if start is None else start)))
    return Frame(
        rows,
        start,
        end,
        start_open=start is not None and draw(st.booleans()),
        end_open=draw(st.integers(0, 3)) == 0,
        maxsize=draw(st.one_of(st.none(), st.none(), st.integers(1, 4))),
        exclude_current_time=draw(st.integers(0, 3)) == 0,
        exclude_current_row=draw(st.integers(0, 3)) == 0,
    )


@st.composite
def aggregates(draw: st.DrawFn) -> Aggregate:
    kind = draw(st.integers(0, 5))
    if kind <= 2:
        name, column = draw(st.sampled_from(NUMERIC)), draw(st.integers(0, 1))
        type = COLUMNS[column] if name in ("sum", "min", "max") else Type.BIGINT if name == "count" else Type.DOUBLE
        return Aggregate(name, (column,), (), type)
    if kind == 3:
        return Aggregate("count", draw(st.sampled_from([(), (0,), (1,), (2,), (3,)])), (), Type.BIGINT)
    column = draw(st.integers(0, 3))
    if kind == 4:
        name = draw(st.sampled_from(["lag", "first_value", "last_value", "nth_value", "nth_value", "min", "max"]))
        if name == "lag":
            return Aggregate(name, (column,), (draw(st.integers(0, 5)),), COLUMNS[column])
        if name == "nth_value":
            arguments = (column, 3) if draw(st.booleans()) else (column,)
            return Aggregate(name, arguments, (draw(st.integers(-3, 3)),), COLUMNS[column])
        if name in ("min", "max"):
            return Aggregate(name, (column,), (), COLUMNS[column])
        return Aggregate(name, (column,), draw(st.sampled_from([(), (True,)])), COLUMNS[column])
    name = draw(st.sampled_from(["median", "distinct_count", "top1_ratio", "entropy"]))
    return Aggregate(name, (column % 2 if name == "median" else column,), (), Type.BIGINT if name == "distinct_count" else Type.DOUBLE)


@st.composite
def stores(draw: st.DrawFn) -> Store:
    windows = draw(st.lists(st.builds(Window, frames(), st.lists(aggregates(), min_size=1, max_size=4).map(tuple)), min_size=1, max_size=3))
    return Store(COLUMNS, tuple(windows), draw(st.sampled_from([None, 0, 3, 20])))


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    floats = draw(st.sampled_from([tame, wild]))
    disorder = draw(st.sampled_from([0, 0, 3, 30]))
    union = draw(st.booleans())
    time, rows = draw(st.sampled_from([0, 1_700_000_000_000, -50])), []
    for _ in range(draw(st.integers(0, 30))):
        time += draw(st.sampled_from([0, 0, 1, 1, 2, 5, 11]))
        late = draw(st.integers(0, disorder)) if disorder and draw(st.integers(0, 3)) == 0 else 0
        values = (
            draw(st.one_of(st.none(), floats)),
            draw(st.one_of(st.none(), whole)),
            draw(st.sampled_from([None, "a", "b", "c", "ü"])),
            draw(st.sampled_from([None, 0, 1])),
        )
        kind = draw(st.integers(0, 3)) if union else 0
        rows.append(Event(draw(st.integers(0, 2)), time - late, values, stored=kind != 1, answered=kind < 2))
    return rows


def column(values: list[Value], type: Type) -> Column:
    valid = np.array([v is not None for v in values], np.bool_)
    if type is Type.STRING:
        words = sorted({str(v) for v in values if v is not None})
        return Column(np.array([words.index(str(v)) if v is not None else 0 for v in values], np.int64), valid, words)
    kind = np.float64 if type is Type.DOUBLE else np.int64
    return Column(np.array([0 if v is None else v for v in values], kind), valid)


def take(kernel: WindowKernel, rows: list[Event]) -> list[list[list[Value]]]:
    """One list of windows for each answered row."""
    columns = [column([row.values[c] for row in rows], type) for c, type in enumerate(kernel.store.columns)]
    result = kernel.process(
        np.array([row.key for row in rows], np.int64),
        np.array([row.time for row in rows], np.int64),
        np.array([row.stored for row in rows], np.bool_),
        np.array([row.answered for row in rows], np.bool_),
        columns,
    )
    return [[[value_at(c, i) for c in window] for window in result] for i in range(sum(row.answered for row in rows))]


def value_at(column: Column, i: int) -> Value:
    if column.valid is not None and not column.valid[i]:
        return None
    value = column.values[i].item()
    return column.words[value] if column.words is not None else value


def bits(value: Value) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value


def same(got: Value, wanted: Value, exact: bool = True) -> bool:
    if isinstance(got, float) and isinstance(wanted, float | int) and not exact:
        return math.isclose(got, wanted, rel_tol=1e-12, abs_tol=1e-12)
    if isinstance(got, float) and isinstance(wanted, float):
        return got == wanted or (math.isnan(got) and math.isnan(wanted))
    return got == wanted and (got is None) == (wanted is None)


def check(store: Store, rows: list[Event], got: list[list[list[Value]]]) -> None:
    referee = Referee(store)
    wanted = [answer for row in rows if (answer := referee.answer(row)) is not None]
    assert len(got) == len(wanted)
    for i, (windows, expected) in enumerate(zip(got, wanted, strict=True)):
        for window, values, answers in zip(store.windows, windows, expected, strict=True):
            for aggregate, value, answer in zip(window.aggregates, values, answers, strict=True):
                assert same(value, answer, aggregate.function != "entropy"), (i, aggregate, value, answer)


@MORE
@given(stores(), events())
def test_every_value_is_the_plain_engines(store: Store, rows: list[Event]) -> None:
    check(store, rows, take(WindowKernel(store), rows))


@MORE
@given(stores(), events(), st.data())
def test_cut_resumed_and_split_is_the_same_bit_for_bit(store: Store, rows: list[Event], data: st.DataObject) -> None:
    whole = take(WindowKernel(store), rows)
    kernel, answers, begin = WindowKernel(store), [], 0
    while begin < len(rows):
        end = data.draw(st.integers(begin + 1, len(rows)))
        answers += take(kernel, rows[begin:end])
        begin = end
        move = data.draw(st.integers(0, 3))
        if move == 1:
            state, kernel = kernel.snapshot(), WindowKernel(store)
            kernel.restore(state)
        elif move == 2:
            odd, even = kernel.split(np.array([1])), kernel.split(np.array([0, 2]))
            kernel = WindowKernel(store)
            kernel.restore(odd)
            kernel.restore(even)
        elif move == 3:
            kernel.restore(kernel.snapshot())
    assert [[[bits(v) for v in w] for w in row] for row in answers] == [[[bits(v) for v in w] for w in row] for row in whole]
