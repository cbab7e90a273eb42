"""Programs against DuckDB: random rows, windows, ties, NULLs, late rows and cuts give what plain SQL gives for every prefix."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.features.plan import Plan, compile_features
from streams.features.program import Program
from streams.types import OFFSET, PARTITION, TIME, Batch, Type
from tests.conformance.cases import equal_rows, rows_of

SCHEMA = {"pos": Type.INT, "k": Type.STRING, "g": Type.INT, "ts": Type.TIMESTAMP, "v": Type.DOUBLE, "n": Type.INT}
RIGHT = {"rpos": Type.INT, "rk": Type.STRING, "rts": Type.TIMESTAMP, "rv": Type.INT}
KEYS, GROUPS = st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, None])
VALUES = st.one_of(st.none(), st.integers(-20, 20).map(lambda i: i / 4))
ROW = st.tuples(KEYS, GROUPS, st.integers(0, 12), VALUES, st.one_of(st.none(), st.integers(-9, 9)))
RIGHT_ROW = st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 12)), st.integers(0, 99))


@dataclass(frozen=True)
class Frame:
    rows: bool
    start: int
    end: int
    by: str
    opened: bool = False
    maxsize: int | None = None
    excluded: tuple[str, ...] = ()

    @property
    def clause(self) -> str:
        unit = "ROWS" if self.rows else "ROWS_RANGE"
        start = f"{self.start} OPEN PRECEDING" if self.opened else f"{self.start} PRECEDING"
        end = f"{self.end} PRECEDING" if self.end else "CURRENT ROW"
        more = f" MAXSIZE {self.maxsize}" if self.maxsize else ""
        more += "".join(f" EXCLUDE CURRENT_{one}" for one in self.excluded)
        return f"PARTITION BY {self.by} ORDER BY ts {unit} BETWEEN {start} AND {end}{more}"

    @property
    def query(self) -> str:
        """The rows `j` of table t in the frame of each row (`ipos`), by the plainest SQL."""
        same = " AND ".join(f"j.{key.strip()} IS NOT DISTINCT FROM i.{key.strip()}" for key in self.by.split(","))
        if "TIME" in self.excluded:
            same += " AND (j.ts < i.ts OR j.pos = i.pos)"
        newest = "row_number() OVER (PARTITION BY ipos ORDER BY ts DESC, pos DESC)"
        seen = f"SELECT i.pos AS ipos, i.ts AS its, j.* FROM t i JOIN t j ON j.pos <= i.pos AND j.ts <= i.ts AND {same}"
        distance = "p - 1" if self.rows else "its - ts"
        inside = f"{distance} >= {self.end} AND {distance} {'<' if self.opened else '<='} {self.start}"
        if "ROW" in self.excluded:
            inside += " AND pos <> ipos"
        framed = f"SELECT *, {newest} AS place FROM (SELECT *, {newest} AS p FROM ({seen})) WHERE {inside}"
        return f"SELECT * FROM ({framed}) WHERE place <= {self.maxsize or 1_000_000}"


SPILL = Path(tempfile.gettempdir())  # of windows that are declared long
FRAMES = st.builds(
    lambda rows, start, end, by, opened, maxsize, excluded: Frame(
        rows, max(start if rows else 2 * start, end), end, by, opened, None if rows else maxsize, excluded
    ),
    st.booleans(),
    st.integers(0, 6),
    st.integers(0, 3),
    st.sampled_from(["k", "g", "k, g"]),
    st.sampled_from([False, False, True]),
    st.sampled_from([1, None, 2]),
    st.sampled_from([(), (), ("ROW",), ("TIME",), ("ROW", "TIME")]),
)


def table(schema: dict[str, Type], rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = {name: pa.array([row[i] for row in rows], kind.arrow) for i, (name, kind) in enumerate(schema.items())}
    places = np.arange(len(rows), dtype=np.int64)
    return pa.table({**columns, PARTITION: pa.array(places * 0, pa.int32()), OFFSET: pa.array(places), TIME: pa.array(places)})


def answer(plan: Plan, tables: dict[str, pa.Table], order: dict[str, list[int]], cuts: list[int], moves: bool) -> pa.Table:
    """All rows in their order, cut after these places; the state moves to a new program at each cut where `moves`."""
    program, found, before = Program(plan, spill=SPILL), [], 0
    total = sum(len(places) for places in order.values())
    for cut in [*sorted(set(cuts)), total]:
        if cut <= before:
            continue
        inside, at = {}, {}
        for name, places in order.items():
            chosen = [i for i, place in enumerate(places) if before <= place < cut]
            inside[name] = tables[name].take(pa.array(chosen, pa.int64()))
            at[name] = np.array([places[i] - before for i in chosen], np.int64)
        found.append(program.process(Batch(inside, at)).table)
        if moves:
            state = program.snapshot()
            program = Program(plan, spill=SPILL)
            program.restore(state)
        before = cut
    return pa.concat_tables(found) if found else pa.table({})


def expected(frames: list[Frame], rows: pa.Table) -> list[tuple[Any, ...]]:
    """Each frame by a self-join: what the rows that have come by then give."""
    con = duckdb.connect(config={"threads": 1})
    con.register("given_rows", rows)
    con.execute("CREATE TABLE t AS SELECT pos, k, g, epoch_ms(ts) AS ts, v, n FROM given_rows")
    parts = [
        f"SELECT i.pos, {number} AS w, sum(j.v), count(j.v), avg(j.n), min(j.v), max(j.n), count(j.pos) "
        f"FROM t i LEFT JOIN ({frame.query}) j ON j.ipos = i.pos GROUP BY i.pos"
        for number, frame in enumerate(frames)
    ]
    found = con.execute(f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY 1, 2").fetchall()
    con.close()
    by_row: dict[int, list[Any]] = {}
    for pos, _, *values in found:
        by_row.setdefault(pos, []).extend(values)
    return [(pos, *by_row[pos]) for pos in sorted(by_row)]


@given(
    st.lists(ROW, max_size=14),
    st.lists(FRAMES, min_size=1, max_size=3),
    st.lists(st.integers(0, 14), max_size=5),
    st.booleans(),
    st.sampled_from(["", " OPTIONS(long_windows = 'w0:1h')"]),
)
@settings(max_examples=100)
def test_windows_are_those_of_sql(rows: list[tuple[Any, ...]], frames: list[Frame], cuts: list[int], moves: bool, option: str) -> None:
    given_rows = table(SCHEMA, [(i, *row) for i, row in enumerate(rows)])
    asked = ", ".join(
        f"sum(v) OVER w{i} AS s{i}, count(v) OVER w{i} AS c{i}, avg(n) OVER w{i} AS a{i}, min(v) OVER w{i} AS l{i}, max(n) OVER w{i} AS h{i}, count(*) OVER w{i} AS r{i}"
        for i in range(len(frames))
    )
    sql = f"SELECT pos, {asked} FROM t WINDOW {', '.join(f'w{i} AS ({frame.clause})' for i, frame in enumerate(frames))}{option}"
    plan = compile_features(sql, {"t": SCHEMA}, history_ms=None)
    found = answer(plan, {"t": given_rows}, {"t": list(range(len(rows)))}, cuts, moves)
    wished = expected(frames, given_rows) if rows else []
    assert found.num_rows == len(wished)
    for one, other in zip(rows_of(found) if rows else [], wished, strict=True):
        assert equal_rows(one, other), f"{one} instead of {other}"


@given(
    st.lists(ROW, max_size=10),
    st.lists(RIGHT_ROW, max_size=10),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 20), max_size=4),
    st.booleans(),
    st.sampled_from(["", "ORDER BY r.rts", "ORDER BY r.rts DESC"]),
    st.sampled_from(["t.k = r.rk", "t.k = r.rk AND r.rts <= t.ts", "r.rv > t.n", "t.k = r.rk AND r.rv > 30"]),
)
@settings(max_examples=60)
def test_last_join_sees_what_came_before(
    rows: list[tuple[Any, ...]], right: list[tuple[Any, ...]], chance: Any, cuts: list[int], moves: bool, order_by: str, on: str
) -> None:
    places = [*(["t"] * len(rows)), *(["r"] * len(right))]
    chance.shuffle(places)
    order: dict[str, list[int]] = {"t": [], "r": []}
    for place, name in enumerate(places):
        order[name].append(place)
    left_rows = table(SCHEMA, [(place, *row) for place, row in zip(order["t"], rows, strict=True)])
    right_rows = table(RIGHT, [(place, *row) for place, row in zip(order["r"], right, strict=True)])
    plan = compile_features(f"SELECT t.pos, r.rpos FROM t LAST JOIN r {order_by} ON {on}", {"t": SCHEMA, "r": RIGHT})
    found = answer(plan, {"t": left_rows, "r": right_rows}, order, cuts, moves)
    con = duckdb.connect(config={"threads": 1})
    con.register("t", left_rows)
    con.register("r", right_rows)
    rank = {"": "r.rpos", "ORDER BY r.rts": "r.rts NULLS FIRST, r.rpos", "ORDER BY r.rts DESC": "r.rts DESC NULLS FIRST, r.rpos"}[order_by]
    condition = on.replace("t.k = r.rk", "t.k IS NOT DISTINCT FROM r.rk")
    wished = con.execute(
        f"SELECT t.pos, last(r.rpos ORDER BY {rank}) FROM t LEFT JOIN r ON {condition} AND r.rpos < t.pos GROUP BY t.pos ORDER BY 1"
    ).fetchall()
    con.close()
    assert (rows_of(found) if rows else []) == wished


@given(
    st.lists(ROW, max_size=8),
    st.lists(ROW, max_size=8),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 16), max_size=4),
    st.booleans(),
    st.booleans(),
    st.integers(0, 6),
)
@settings(max_examples=40)
def test_a_union_adds_the_other_table_s_rows(
    rows: list[tuple[Any, ...]], others: list[tuple[Any, ...]], chance: Any, cuts: list[int], moves: bool, stored: bool, span: int
) -> None:
    places = [*(["t"] * len(rows)), *(["u"] * len(others))]
    chance.shuffle(places)
    order: dict[str, list[int]] = {"t": [], "u": []}
    for place, name in enumerate(places):
        order[name].append(place)
    own = table(SCHEMA, [(place, *row) for place, row in zip(order["t"], rows, strict=True)])
    other = table(SCHEMA, [(place, *row) for place, row in zip(order["u"], others, strict=True)])
    instance = "" if stored else " INSTANCE_NOT_IN_WINDOW"
    window = f"UNION u PARTITION BY k ORDER BY ts ROWS_RANGE BETWEEN {span} PRECEDING AND CURRENT ROW{instance}"
    plan = compile_features(
        f"SELECT pos, sum(v) OVER w AS s, count(*) OVER w AS c FROM t WINDOW w AS ({window})", {"t": SCHEMA, "u": SCHEMA}, history_ms=None
    )
    found = answer(plan, {"t": own, "u": other}, order, cuts, moves)
    con = duckdb.connect(config={"threads": 1})
    con.register("own_rows", own)
    con.register("other_rows", other)
    con.execute("CREATE TABLE i AS SELECT pos, k, epoch_ms(ts) AS ts, v FROM own_rows")
    con.execute("CREATE TABLE j AS SELECT *, true AS own FROM i UNION ALL SELECT pos, k, epoch_ms(ts), v, false FROM other_rows")
    kept = "true" if stored else "(NOT j.own OR j.pos = i.pos)"
    wished = con.execute(
        f"SELECT i.pos, sum(j.v), count(j.pos) FROM i JOIN j ON j.pos <= i.pos AND j.k IS NOT DISTINCT FROM i.k AND i.ts - j.ts BETWEEN 0 AND {span} AND {kept} "
        "GROUP BY i.pos ORDER BY 1"
    ).fetchall()
    con.close()
    assert all(equal_rows(one, two) for one, two in zip(rows_of(found) if rows else [], wished, strict=True))


@given(st.lists(ROW, min_size=1, max_size=12), st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=30)
def test_expressions_do_not_depend_on_cuts(rows: list[tuple[Any, ...]], cuts: list[int]) -> None:
    sql = (
        "SELECT pos, v / n AS q, n % 3 AS m, n * 1000000000 AS big, CASE WHEN v > 0 THEN 'up' WHEN v < 0 THEN 'down' END AS d, concat(k, g) AS c, hour(ts + 3600000) AS h "
        "FROM t WHERE k IS NOT NULL OR n > 0"
    )
    given_rows = table(SCHEMA, [(i, *row) for i, row in enumerate(rows)])
    plan = compile_features(sql, {"t": SCHEMA})
    order = {"t": list(range(len(rows)))}
    whole = answer(plan, {"t": given_rows}, order, [], False)
    assert answer(plan, {"t": given_rows}, order, cuts, True) == whole
    wished = duckdb.sql(
        "SELECT pos, v / nullif(n, 0), n % 3, CASE WHEN abs(n) < 3 THEN n * 1000000000 END, CASE WHEN v > 0 THEN 'up' WHEN v < 0 THEN 'down' END, k || g, hour(ts + INTERVAL 1 HOUR) "
        "FROM given_rows WHERE k IS NOT NULL OR n > 0"
    ).fetchall()
    assert all(equal_rows(one, other) for one, other in zip(rows_of(whole), wished, strict=True))


@pytest.mark.parametrize("name", ["it's", 'in "quotes"', "a/b", "größe", "#1."])
def test_a_column_may_have_any_name(name: str) -> None:
    schema = {"k": Type.STRING, name: Type.INT, "ts": Type.TIMESTAMP}
    plan = compile_features(
        f"SELECT r.`{name}` AS `{name}`, sum(t.`{name}`) OVER w AS s FROM t LAST JOIN r ORDER BY r.`{name}` ON t.`{name}` + 1 = r.`{name}` "
        f"AND r.`{name}` < 9 WINDOW w AS (PARTITION BY t.`{name}` % 2 ORDER BY t.ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
        {"t": schema, "r": schema},
    )
    left, right = (table(schema, [("a", n, n) for n in values]) for values in ((1, 2, 3), (2, 4, 4)))
    found = answer(plan, {"t": left, "r": right}, {"r": [0, 1, 2], "t": [3, 4, 5]}, [], False)
    assert found.to_pylist() == [{name: 2, "s": 1}, {name: None, "s": 2}, {name: 4, "s": 4}]


def test_answers_name_the_right_hand_places() -> None:
    plan = compile_features("SELECT t.pos, r.rv FROM t LAST JOIN r ON t.k = r.rk", {"t": SCHEMA, "r": RIGHT})
    left = table(SCHEMA, [(0, "a", 1, 0, 1.0, 1), (1, "b", 1, 0, 1.0, 1)])
    right = table(RIGHT, [(0, "x", 0, 5), (1, "a", 0, 7)])
    found = Program(plan).process(Batch({"t": left, "r": right}, {"r": np.array([0, 1]), "t": np.array([2, 3])}))
    assert found.table.to_pydict() == {"pos": [0, 1], "rv": [7, None]}
    assert found.seen.to_pydict() == {"_r_partition": [0, None], "_r_offset": [1, None]}
    assert found.index.tolist() == [0, 1]


def test_where_keeps_the_place_of_the_rows_it_keeps() -> None:
    plan = compile_features("SELECT pos FROM t WHERE n > 1", {"t": SCHEMA})
    rows = table(SCHEMA, [(0, "a", 1, 0, 1.0, 1), (1, "b", 1, 0, 1.0, 2)])
    assert Program(plan).process(Batch({"t": rows}, {"t": np.arange(2)})).index.tolist() == [1]
