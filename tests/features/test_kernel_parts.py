"""Keys, joins, scans, sums at their limits, snapshots that are not ours."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import FeatureError, StateError
from streams.features.kernel.column import Column
from streams.features.kernel.compiled import drop_stale
from streams.features.kernel.joins import JoinKernel
from streams.features.kernel.keys import KeyIndex
from streams.features.kernel.udaf import Udaf
from streams.features.kernel.windows import WindowKernel
from streams.features.spec import Aggregate, Frame, LastJoin, Store, Window
from streams.types import Type
from tests.features.test_kernel_windows import column, value_at

FOREVER = Frame(False, None)


def last_of(aggregate: Aggregate, types: tuple[Type, ...], rows: list[tuple[object, ...]], **options: object) -> object:
    """The value of the newest of these rows of one key, one a second, over all of them."""
    kernel = WindowKernel(Store(types, (Window(FOREVER, (aggregate,)),)), **options)  # type: ignore[arg-type]
    n = len(rows)
    columns = [column([row[c] for row in rows], type) for c, type in enumerate(types)]  # type: ignore[misc]
    [[answer]] = kernel.process(np.zeros(n, np.int64), np.arange(n) * 1000, np.ones(n, np.bool_), np.ones(n, np.bool_), columns)
    return value_at(answer, n - 1)


PAIRS = [(0, "x"), (1, "y"), (2, "x"), (3, "y"), (4, "x"), (None, "y"), (7, None)]


@pytest.mark.parametrize(
    ("name", "parameters", "wanted"),
    [
        ("count_cate", (), "x:3,y:2"),
        ("sum_cate", (), "x:6,y:4"),
        ("avg_cate", (), "x:2.000000,y:2.000000"),
        ("min_cate", (), "x:0,y:1"),
        ("max_cate_where", (), "x:4,y:3"),
        ("top_n_key_sum_cate_where", (1,), "y:4"),
        ("top_n_value_sum_cate", (1,), "x:6"),
        ("top_n_value_avg_cate", (2,), "y:2.000000,x:2.000000"),
    ],
)
def test_by_category(name: str, parameters: tuple[int, ...], wanted: str) -> None:
    assert last_of(Aggregate(name, (0, 1), parameters, Type.STRING), (Type.INT, Type.STRING), PAIRS) == wanted


def test_share_of_a_condition_by_category() -> None:
    rows = [(0, 1, "x"), (2, 1, "x"), (4, 1, "x"), (1, 1, "y"), (3, 0, "y"), (5, 1, "z"), (6, 1, "z")]
    types = (Type.INT, Type.BOOL, Type.STRING)
    assert last_of(Aggregate("top_n_key_ratio_cate", (0, 1, 2), (2,), Type.STRING), types, rows) == "z:1.000000,y:0.500000"
    assert last_of(Aggregate("top_n_value_ratio_cate", (0, 1, 2), (2,), Type.STRING), types, rows) == "z:1.000000,x:1.000000"


@pytest.mark.parametrize(
    ("name", "parameters", "values", "wanted"),
    [
        ("drawdown", (), [1, 8, 5, 2, 10, 4], 0.75),
        ("drawdown", (), [0.0], 0.0),
        ("ew_avg", (0.5,), [0, 1, 2, 3, 4], 3.161290322580645),
        ("ew_avg", (0.0,), [1, 2, None, 3], 2.0),
        ("entropy", (), [1, 1, 2, 3], 1.5),
        ("median", (), [1, 2, 3, None, 4], 2.5),
        ("median", (), [math.nan, 1, 2], 2.0),
        ("top", (3,), [1, 2, 3, 4, 4], "4.000000,4.000000,3.000000"),
        ("topn_frequency", (3,), [2, 1, 2], "2.000000,1.000000,NULL"),
        ("top1_ratio", (), [], 0.0),
        ("distinct_count", (), [0.0, -0.0, math.nan, math.nan, None], 2),
        ("nth_value", (-2,), [5, 6, 7], 6.0),
    ],
)
def test_of_one_column(name: str, parameters: tuple[float, ...], values: list[float | None], wanted: object) -> None:
    type = Type.STRING if isinstance(wanted, str) else Type.BIGINT if isinstance(wanted, int) else Type.DOUBLE
    rows: list[tuple[object, ...]] = [(v if v is None else float(v),) for v in values] or [(None,)]
    got = last_of(Aggregate(name, (0,), parameters, type), (Type.DOUBLE,), rows)
    assert got == pytest.approx(wanted, rel=1e-14) if isinstance(wanted, float) else got == wanted


@pytest.mark.parametrize(
    ("name", "parameters", "wanted"),
    [
        ("join", ("|",), "1:1|1:1 1:2"),
        ("join:window_split", (" ", "|"), "1:1|1:1|1:2"),
        ("join:window_split_by_key", (" ", ":", "|"), "1|1|1"),
        ("join:window_split_by_value", (" ", ":", "|"), "1|1|2"),
        ("join:window_split_by_value", ("", ":", "|"), ""),
        ("top1_ratio:window_split_by_value", (" ", ":"), 2 / 3),
        ("count:window_split", (" ",), 3),
        ("min", (), "1:1"),
        ("last_value", (True,), "1:1"),
    ],
)
def test_of_text(name: str, parameters: tuple[object, ...], wanted: object) -> None:
    type = Type.STRING if isinstance(wanted, str) else Type.BIGINT if isinstance(wanted, int) else Type.DOUBLE
    rows: list[tuple[object, ...]] = [("1:1 1:2",), ("1:1",), (None,)]
    assert last_of(Aggregate(name, (0,), parameters, type), (Type.STRING,), rows) == wanted  # type: ignore[arg-type]


def test_times_read_in_the_zone_asked_for() -> None:
    aggregate = Aggregate("top", (0,), (1,), Type.STRING)
    assert last_of(aggregate, (Type.TIMESTAMP,), [(1590738990000,)]) == "2020-05-29 07:56:30"
    assert last_of(aggregate, (Type.TIMESTAMP,), [(1590738990000,)], timezone="Asia/Shanghai") == "2020-05-29 15:56:30"


def test_an_aggregate_in_python() -> None:
    spread = Udaf(list, lambda seen, x: [*seen, x] if x is not None else seen, lambda seen: max(seen) - min(seen) if seen else None)
    aggregate = Aggregate("udaf:spread", (0,), (), Type.BIGINT)
    assert last_of(aggregate, (Type.BIGINT,), [(3,), (9,), (None,)], udafs={"spread": spread}) == 6
    with pytest.raises(FeatureError, match="no aggregate `spread` is registered; there are none"):
        last_of(aggregate, (Type.BIGINT,), [(3,)])
    with pytest.raises(FeatureError, match="the kernel has no aggregate `mode`; it has avg, "):
        last_of(Aggregate("mode", (0,)), (Type.BIGINT,), [(3,)])


def test_an_integer_sum_that_does_not_fit_is_null_and_counted() -> None:
    windows = tuple(Window(FOREVER, (Aggregate("sum", (0,), (), type), Aggregate("avg", (0,)))) for type in (Type.BIGINT, Type.SMALLINT))
    kernel = WindowKernel(Store((Type.BIGINT,), windows))
    n, yes = 3, np.ones(3, np.bool_)
    result = kernel.process(np.zeros(n, np.int64), np.arange(n), yes, yes, [Column(np.array([2**63 - 1, 1, -(2**15) - 2]))])
    assert [value_at(result[0][0], i) for i in range(n)] == [2**63 - 1, None, 2**63 - 2 - 2**15]
    assert [value_at(result[1][0], i) for i in range(n)] == [None, None, None]
    assert value_at(result[0][1], 1) == float(2**63) / 2
    assert kernel.overflows == 4


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9).map(lambda n: n * 1e17))
        ),
        max_size=12,
    )
)
def test_sums_far_apart_are_exact_and_leave_nothing_behind(pairs: list[tuple[int, float]]) -> None:
    kernel = WindowKernel(Store((Type.DOUBLE,), (Window(Frame(True, 2), (Aggregate("sum", (0,)), Aggregate("var_pop", (0,)))),), history=0))
    n = len(pairs)
    yes, keys = np.ones(n, np.bool_), np.array([key for key, _ in pairs], np.int64)
    [[sums, variances]] = kernel.process(keys, np.arange(n), yes, yes, [Column(np.array([value for _, value in pairs]))])
    seen: dict[int, list[Fraction]] = {}
    for i, (key, value) in enumerate(pairs):
        seen[key] = [*seen.get(key, []), Fraction(value)][-3:]
        total, m = sum(seen[key]), len(seen[key])
        spread = m * sum(v * v for v in seen[key]) - total * total
        assert sums.values[i] == _float(total)
        assert variances.values[i] == _float(spread) / m / m or math.isclose(variances.values[i], _float(spread) / m**2, rel_tol=1e-15)


def _float(value: Fraction | int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def test_rows_in_files_give_what_rows_in_memory_give(tmp_path: Path) -> None:
    aggregates = tuple(Aggregate(f, (0,)) for f in ("sum", "min", "max", "stddev_samp", "median"))
    store = Store((Type.DOUBLE,), (Window(Frame(False, 50_000), aggregates),), history=0)
    n, draw = 20_000, np.random.default_rng(3)
    keys, times, yes = draw.integers(0, 40, n), np.cumsum(draw.integers(0, 20, n)), np.ones(n, np.bool_)
    values = [Column(draw.normal(size=n))]
    inside, spilled = WindowKernel(store), WindowKernel(store, spill=tmp_path)
    for mine, theirs in zip(
        inside.process(keys, times, yes, yes, values)[0], spilled.process(keys, times, yes, yes, values)[0], strict=True
    ):
        assert mine.values.tobytes() == theirs.values.tobytes()
    assert inside.memory().rows == spilled.memory().rows < n


def test_rows_that_nothing_sees_are_let_go() -> None:
    store = Store((Type.BIGINT,), (Window(Frame(False, 10), (Aggregate("sum", (0,), (), Type.BIGINT),)),), history=5)
    kernel, n = WindowKernel(store), 5000
    yes = np.ones(n, np.bool_)
    kernel.process(np.zeros(n, np.int64), np.arange(n), yes, yes, [Column(np.arange(n))])
    assert kernel.memory().rows == 16


def test_words_that_no_row_has_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.features.kernel.windows._WORDS", 50)
    windows = (
        Window(Frame(True, 9), (Aggregate("distinct_count", (0,), (), Type.BIGINT), Aggregate("first_value", (0,), (), Type.STRING))),
    )
    kernel, yes = WindowKernel(Store((Type.STRING,), windows, history=0)), np.ones(20, np.bool_)
    for begin in range(0, 400, 20):
        words = column([f"word {i}" for i in range(begin, begin + 20)], Type.STRING)
        [[distinct, first]] = kernel.process(np.zeros(20, np.int64), np.arange(begin, begin + 20), yes, yes, [words])
        assert value_at(distinct, 19) == 10 and value_at(first, 19) == f"word {begin + 10}"
        assert len(kernel._vocabulary.words) <= 90


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"driftline windows 1\n{}\n"])
def test_a_snapshot_that_cannot_be_read_says_so(damage: bytes) -> None:
    with pytest.raises(StateError, match="cannot be read|is damaged"):
        WindowKernel(Store((Type.BIGINT,), (Window(FOREVER, ()),))).restore(damage)


def test_a_snapshot_of_other_windows_or_with_a_bit_turned_is_refused() -> None:
    one = WindowKernel(Store((Type.BIGINT,), (Window(FOREVER, (Aggregate("sum", (0,)),)),)))
    yes = np.ones(1, np.bool_)
    one.process(np.zeros(1, np.int64), np.zeros(1, np.int64), yes, yes, [Column(np.ones(1, np.int64))])
    state = one.snapshot()
    with pytest.raises(StateError, match="is of other windows or columns"):
        WindowKernel(Store((Type.DOUBLE,), (Window(FOREVER, (Aggregate("sum", (0,)),)),))).restore(state)
    with pytest.raises(StateError, match="cannot be read|is damaged"):
        one.restore(state[:-1] + bytes([state[-1] ^ 1]))


# ---------------------------------------------------------------- keys

scalar = st.one_of(st.none(), st.integers(-3, 3))


@given(
    st.lists(st.tuples(scalar, st.sampled_from([None, "", "a", "b"]), st.sampled_from([None, math.nan, 0.0, 1.5])), max_size=30), st.data()
)
def test_a_key_keeps_its_id(rows: list[tuple[int | None, str | None, float | None]], data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 3))
    types = [pa.int64(), pa.string(), pa.float64()][:width]
    index, seen, begin = KeyIndex(), {}, 0
    while begin < len(rows):
        end = data.draw(st.integers(begin + 1, len(rows)))
        cut = [[row[c] for row in rows[begin:end]] for c in range(width)]
        ids = index.ids([pa.array(values, type) for values, type in zip(cut, types, strict=True)])
        for row, got in zip(rows[begin:end], ids.tolist(), strict=True):
            assert seen.setdefault(str(row[:width]), len(seen)) == got
        again = KeyIndex()
        again.restore(index.snapshot())
        index, begin = again, end
    assert len(index) == len(seen)
    unknown = index.ids([pa.array([v], t) for v, t in zip([99, "?", 9.5], types, strict=False)], add=False)
    assert unknown.tolist() == [-1]


def test_a_snapshot_of_keys_that_cannot_be_read_says_so() -> None:
    with pytest.raises(StateError, match="a snapshot of keys cannot be read"):
        KeyIndex().restore(b"nonsense")


# ---------------------------------------------------------------- LAST JOIN


@given(
    st.booleans(), st.lists(st.tuples(st.booleans(), st.integers(-1, 2), st.one_of(st.none(), st.integers(-2, 2))), max_size=30), st.data()
)
def test_a_left_row_sees_the_greatest_or_latest_right_row(
    ordered: bool, rows: list[tuple[bool, int, int | None]], data: st.DataObject
) -> None:
    kernel, wanted, best, ordinal = JoinKernel(LastJoin(ordered)), [], {}, 0
    for left, key, order in rows:
        if left:
            wanted.append(best[key][1] if key in best else -1)
            continue
        rank = (order is not None, order or 0) if ordered else (True, 0)
        if key >= 0 and (key not in best or rank >= best[key][0]):
            best[key] = rank, ordinal
        ordinal += 1
    got, begin = [], 0
    while begin < len(rows):
        end = data.draw(st.integers(begin + 1, len(rows)))
        part = rows[begin:end]
        order = np.array([row[2] or 0 for row in part], np.int64)
        valid = np.array([row[2] is not None for row in part], np.bool_)
        keys = np.array([row[1] for row in part], np.int64)
        got += kernel.process(keys, order, np.array([row[0] for row in part], np.bool_), valid).tolist()
        state, kernel, begin = kernel.snapshot(), JoinKernel(LastJoin(ordered)), end
        kernel.restore(state)
    assert got == wanted
    assert kernel.live().tolist() == sorted(row for _, row in best.values())
    with pytest.raises(StateError, match="LAST JOIN cannot be read"):
        kernel.restore(kernel.snapshot() + b"x")


# ---------------------------------------------------------------- compiled code


def test_compiled_code_of_other_sources_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text("a = 1")
    (tmp_path / "__pycache__").mkdir()
    old = tmp_path / "__pycache__" / "loop.run-1.py311.nbi"
    old.touch()
    assert drop_stale(tmp_path) and not old.exists()
    assert not drop_stale(tmp_path)
    old.touch()
    assert not drop_stale(tmp_path) and old.exists()
    (tmp_path / "loop.py").write_text("a = 2")
    assert drop_stale(tmp_path) and not old.exists()
