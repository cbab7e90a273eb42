"""Checks over drawn rows: the same records however batches are cut, and after a restart; a shift and a decay are found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from streams.drift.alarm import Rule
from streams.drift.check import Limits
from streams.drift.reference import Reference, Scored, reference_of
from streams.drift.state import State
from streams.drift.step import Drift, Settings
from streams.drift.triggers import Triggers
from streams.predictions.records import outcomes, predictions
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME, Batch, Type

DAY = 86_400_000
FEATURES = Input("features", "t.features", {"x": Type.DOUBLE, "word": Type.STRING}, "_timestamp")
SETTINGS = Settings(
    topic="t.drift",
    runs="t.runs",
    predictions=Input("predictions", "t.predictions", predictions({"word": Type.STRING}), "_timestamp"),
    outcomes=Input("outcomes", "t.outcomes", outcomes({"word": Type.STRING}), "_timestamp"),
    features=FEATURES,
    deployments="t.deployments",
    every=DAY,
    window=3 * DAY,
    segments={"word": Type.STRING},
    limits=Limits(min_rows=50, share=0.5),
    rule=Rule(2, 10 * DAY),
    triggers=Triggers(frozenset({"decay"})),
)


def world(days: int, turn: int, seed: int = 0, per_day: int = 100) -> dict[str, pa.Table]:
    """Feature rows, their predictions by version 1 and their outcomes an hour later; from day `turn` on x and the truth move."""
    rng = np.random.default_rng(seed)
    count = days * per_day
    times = np.sort(rng.integers(0, days * DAY, count)) + DAY * 1000
    turned = times >= (1000 + turn) * DAY
    x = rng.normal(np.where(turned, 2.0, 0.0))
    score = np.clip(0.3 + 0.05 * rng.normal(size=count), 0.01, 0.99)
    label = rng.random(count) < np.where(turned, 0.7, 0.3)
    word = rng.choice(["a", "b"], count)
    meta = {PARTITION: pa.array(np.zeros(count, np.int32)), OFFSET: pa.array(np.arange(count))}
    return {
        "predictions": pa.table({"score": score, "version": np.ones(count, np.int64), "word": word, **meta, TIME: times}),
        "outcomes": pa.table(
            {"score": score, "version": np.ones(count, np.int64), "label": label, "word": word, **meta, TIME: times + 3_600_000}
        ),
        "features": pa.table({"x": x, "word": word, **meta, TIME: times}),
    }


def known() -> Reference:
    calm = world(30, 99, seed=9)
    times = calm["features"].column(TIME).to_numpy()
    scored = Scored(times, calm["outcomes"].column("score").to_numpy(), calm["outcomes"].column("label").to_numpy(), {})
    return reference_of(calm["features"], times, scored, ["x", "word"], 3 * DAY, DAY, 50)


REFERENCE = Reference.read(known().text())


def run(
    tables: dict[str, pa.Table], cuts: Sequence[int] = (), resume: bool = False, settings: Settings = SETTINGS
) -> list[tuple[str, dict[str, Any]]]:
    times = np.concatenate([table.column(TIME).to_numpy() for table in tables.values()])
    ranks = np.concatenate([np.full(table.num_rows, rank) for rank, table in enumerate(tables.values())])
    places = np.empty(len(times), np.int64)
    places[np.lexsort((ranks, times))] = np.arange(len(times))
    starts = np.cumsum([0, *(table.num_rows for table in tables.values())])
    order = {name: places[starts[rank] : starts[rank + 1]] for rank, name in enumerate(tables)}
    current, found = Drift(settings, lambda version: REFERENCE), []
    for start, end in zip([0, *cuts], [*cuts, len(times)], strict=True):
        parts = {name: np.searchsorted(order[name], [start, end]) for name in tables}
        batch = Batch(
            {name: tables[name].slice(int(low), int(high - low)) for name, (low, high) in parts.items()},
            {name: order[name][low:high] - start for name, (low, high) in parts.items()},
        )
        for topic, output in current.process(batch).items():
            found += [(topic, json.loads(text)) for text in output.table.column("_value").to_pylist()]
        if resume:
            state = current.snapshot()
            current = Drift(settings, lambda version: REFERENCE)
            current.restore(state)
    return sorted(found, key=lambda one: one[0])  # each topic in its order


def test_a_turn_is_found_and_asks_for_one_run() -> None:
    found = run(world(20, turn=10))
    checks = [record for topic, record in found if topic == "t.drift"]
    alarms = {record["alarm"]["kind"]: record["end"] // DAY - 1000 for record in checks if record["alarm"]}
    assert set(alarms) >= {"decay", "drift"}
    assert 11 <= alarms["decay"] <= 14
    requests = [record for topic, record in found if topic == "t.runs"]
    assert [(one["run_id"], one["state"], one["trigger"]) for one in requests] == [(f"decay-{requests[0]['as_of']}", "requested", "decay")]
    last = [record for record in checks if record.get("last")]
    assert [record["end"] for record in last] == sorted({record["end"] for record in checks}), "one last record a boundary"
    assert [record["run_id"] for record in last if record["run_id"]] == [requests[0]["run_id"]]
    performance = last[-1]["performance"]
    assert abs(performance["gap"] - 0.4) < 0.1
    assert performance["reference"]["rows"] == 3000
    assert set(last[-1]["segments"]["word"]) == {"a", "b"}


def test_a_world_at_rest_is_quiet() -> None:
    found = run(world(30, turn=99, seed=5))
    assert not [record for topic, record in found if record.get("alarm")]
    assert not [record for topic, record in found if topic == "t.runs"]


def test_whole_is_cut_is_resumed() -> None:
    tables = world(9, turn=4, per_day=60)
    whole = run(tables)
    rows = sum(table.num_rows for table in tables.values())
    for cuts in ([1], [rows // 2], [7, 100, 101, rows - 1], list(range(50, rows, 50))):
        assert run(tables, cuts) == whole
        assert run(tables, cuts, resume=True) == whole


def test_values_of_a_segment_that_are_told_apart_do_not_depend_on_cuts() -> None:
    count = 300
    rows = pa.table(
        {
            "label": [True] * count,
            "score": [0.5] * count,
            "version": [1] * count,
            "origin": [f"O{row}" for row in range(count)],
            "carrier": [f"C{row % 5}" for row in range(count)],
            TIME: [1000] * count,
        }
    )

    def kept(size: int) -> set[tuple[str, str]]:
        state = State(10_000, 10_000, 0.5, ("origin", "carrier"))
        for start in range(0, count, size):
            state.add("outcomes", rows.slice(start, size))
        return set(state.parts[0].segments)

    assert kept(count) == kept(10) == {("origin", f"O{row}") for row in range(200)} | {("carrier", f"C{row}") for row in range(5)}


def test_a_record_has_the_most_frequent_values_of_a_segment() -> None:
    """Every stretch has 200 values of its own, and two that all have."""
    state = State(10, 50, 0.5, ("origin",))
    for stretch in range(5):
        origins = ["A", *(f"O{stretch}-{row}" for row in range(198)), "Z"]
        columns = {"label": [True] * 200, "score": [0.5] * 200, "version": [1] * 200, "origin": origins, TIME: [10 * stretch] * 200}
        state.add("outcomes", pa.table(columns))
    records, _ = state.check(50, Limits(), Rule(), Triggers())
    found = records[-1]["segments"]["origin"]
    assert len(found) == 200
    assert [found["A"]["rows"], found["Z"]["rows"]] == [5, 5]
    assert list(found) == sorted(found)


def test_the_first_champion_is_asked_for_once() -> None:
    settings = replace(SETTINGS, first_after=5 * DAY)
    tables = world(9, turn=99)
    found = run(tables, settings=settings)
    first = int(tables["features"].column(TIME)[0].as_py()) + 5 * DAY
    assert [(one["run_id"], one["as_of"], one["trigger"]) for topic, one in found if topic == "t.runs"] == [
        (f"first-{first}", first, "first")
    ]
    assert min(record["end"] for topic, record in found if topic == "t.drift") > first
    assert run(tables, [10, 500], resume=True, settings=settings) == found


def test_checks_can_be_counted_in_predictions() -> None:
    settings = replace(SETTINGS, every_rows=250)
    tables = world(10, turn=99)
    found = run(tables, settings=settings)
    ends = [record["end"] for topic, record in found if record.get("last")]
    times = tables["predictions"].column(TIME).to_numpy()
    assert ends == [int(times[number - 1]) + 1 for number in (250, 500, 750, 1000)]
    assert run(tables, [300, 301, 1100], resume=True, settings=settings) == found


def test_predictions_of_one_event_time_are_checked_once() -> None:
    """Times that are days: hundreds of predictions share one. A check is known by the event time at which it ends."""
    settings = replace(SETTINGS, every_rows=30)
    tables = {
        name: table.set_column(table.column_names.index(TIME), TIME, pa.array(table.column(TIME).to_numpy() // DAY * DAY))
        for name, table in world(6, turn=99).items()
    }
    found = run(tables, settings=settings)
    ends = [record["end"] for _, record in found if record.get("last")]
    assert ends == sorted(set(ends))
    assert len(ends) == 6
    assert run(tables, [100, 350], resume=True, settings=settings) == found
