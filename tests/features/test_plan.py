"""Plans: one meaning, one hash; what they say about themselves; how fast they are made."""

from __future__ import annotations

import json
import time

import pytest

from streams.errors import FeatureError
from streams.features.explain import as_json, explain
from streams.features.plan import Plan, compile_features
from streams.types import Type

SCHEMAS = {
    "tx": {"card": Type.STRING, "amount": Type.DOUBLE, "ts": Type.TIMESTAMP, "n": Type.INT},
    "city": {"name": Type.STRING, "size": Type.INT, "at": Type.TIMESTAMP},
}
WINDOW = "WINDOW w AS (PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN 3h PRECEDING AND CURRENT ROW)"
BASE = f"SELECT card, sum(amount) OVER w AS s FROM tx {WINDOW}"


def plan(sql: str, **options: object) -> Plan:
    return compile_features(sql, SCHEMAS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sql",
    [
        BASE,
        BASE.lower(),
        BASE.replace(" ", "\n   "),
        f"-- a comment\n{BASE};",
        BASE.replace("WINDOW w", "WINDOW hours").replace("OVER w", "OVER hours"),
        "SELECT card, sum(amount) OVER (PARTITION BY card ORDER BY ts RANGE BETWEEN INTERVAL '3' HOUR PRECEDING AND CURRENT ROW) AS s FROM tx",
        "SELECT t.card, sum(t.amount) OVER w AS s FROM tx AS t WINDOW w AS (PARTITION BY t.card ORDER BY t.ts ROWS_RANGE BETWEEN 180m PRECEDING AND 0s PRECEDING)",
        BASE.replace("sum(amount)", "sum((amount))"),
    ],
)
def test_the_same_meaning_has_the_same_hash(sql: str) -> None:
    assert plan(sql).hash == plan(BASE).hash


@pytest.mark.parametrize(
    "sql",
    [
        BASE.replace("3h", "4h"),
        BASE.replace("ROWS_RANGE BETWEEN 3h", "ROWS_RANGE BETWEEN 3h OPEN"),
        BASE.replace("sum(", "avg("),
        BASE.replace("sum(amount)", "sum(n)"),
        BASE.replace("AS s", "AS total"),
        BASE.replace("FROM tx", "FROM tx WHERE amount > 1"),
        BASE.replace("CURRENT ROW)", "CURRENT ROW EXCLUDE CURRENT_ROW)"),
        BASE.replace("CURRENT ROW)", "CURRENT ROW MAXSIZE 5)"),
        BASE.replace("SELECT card,", "SELECT"),
    ],
)
def test_another_meaning_has_another_hash(sql: str) -> None:
    assert plan(sql).hash != plan(BASE).hash


def test_the_time_zone_is_part_of_the_meaning() -> None:
    assert plan("SELECT hour(ts) AS h FROM tx", timezone="+08:00").hash != plan("SELECT hour(ts) AS h FROM tx").hash


def test_a_column_nobody_uses_is_not_part_of_the_meaning() -> None:
    wider = {**SCHEMAS, "tx": {"extra": Type.STRING, **SCHEMAS["tx"]}}
    assert compile_features(BASE, wider).hash == plan(BASE).hash


def test_plans_are_values() -> None:
    assert plan(BASE) == plan(BASE.lower())
    assert hash(plan(BASE)) == hash(plan(BASE.lower()))
    assert plan(BASE).root == plan(BASE).root


def test_a_plan_names_its_inputs_by_rank_and_their_times() -> None:
    found = plan(
        "SELECT card, size, sum(amount) OVER w AS s FROM tx LAST JOIN city ORDER BY city.at ON tx.card = city.name "
        "WINDOW w AS (PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)"
    )
    assert found.driving == "tx"
    assert found.sources == ("city", "tx")
    assert found.times == {"tx": "ts"}
    assert found.longest_ms == 86_400_000
    assert found.schema == {"card": Type.STRING, "size": Type.INT, "s": Type.DOUBLE}


def test_explain_says_what_is_kept_and_who_computes() -> None:
    found = plan(BASE.replace("AS s", "AS s, top(amount, 2) OVER w AS t, amount / 2 AS half, card || 'x' AS c"))
    text = explain(found)
    assert "window w: ROWS_RANGE BETWEEN 3h PRECEDING AND CURRENT ROW" in text
    assert "incremental: sum(tx.amount)" in text
    assert "rescanned: top(tx.amount, 2)" in text
    assert "the rows of the last 3h" in text
    told = json.loads(json.dumps(as_json(found)))
    assert told["engines"] == {"passed": 3, "kernel": 2, "duckdb": 2}
    assert told["windows"][0]["partition_by"] == ["tx.card"]


def test_long_windows_name_a_window() -> None:
    declared, plain = plan(f"{BASE} OPTIONS(long_windows = 'w:1h')"), plan(BASE)
    assert declared.keeps[0].on_disk and not plain.keeps[0].on_disk
    assert declared.hash == plain.hash  # the values are the same, so it can be turned on where rows exist
    with pytest.raises(FeatureError, match="met long_windows of v, wished a window of the WINDOW clause"):
        plan(f"{BASE} OPTIONS(long_windows = 'v:1h')")


def test_five_hundred_features_compile_within_a_second() -> None:
    features = ", ".join(f"sum(amount * {i}) OVER w{i % 3} / {i + 1} AS f{i}" for i in range(500))
    windows = ", ".join(f"w{i} AS (PARTITION BY card ORDER BY ts ROWS_RANGE BETWEEN {i + 1}h PRECEDING AND CURRENT ROW)" for i in range(3))
    started = time.process_time()
    found = plan(f"SELECT {features} FROM tx WINDOW {windows}")
    assert found.hash
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize("zone", ["Mars/North", "+05:30", "8"])
def test_a_time_zone_that_cannot_be_shown_is_refused(zone: str) -> None:
    with pytest.raises(FeatureError, match="met the time zone"):
        plan(BASE, timezone=zone)
