"""Labels join predictions whenever they come; the same outcomes however batches are cut, and after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import ProjectError
from streams.labels.expression import Expression
from streams.labels.step import Labels, Settings, predictions_input
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME, Batch, Type

SCHEMA = {"flight_id": Type.STRING, "delay": Type.DOUBLE}
SOURCE = Input("arrivals", "t.arrivals", SCHEMA, "_timestamp")
MATURITY = 100


def step() -> Labels:
    settings = Settings(
        "t.outcomes",
        predictions_input("t.predictions", {"carrier": Type.STRING}, 0),
        SOURCE,
        "flight_id",
        MATURITY,
        {"carrier": Type.STRING},
    )
    return Labels(settings, Expression("delay > 15", SCHEMA, "arrivals"))


Event = tuple[int, str, str, float | None]  # time, "p" or "a", key, delay


def batch(events: Sequence[tuple[int, Event]]) -> Batch:
    """Numbered events in merged order."""
    predictions = [(place, number, event) for place, (number, event) in enumerate(events) if event[1] == "p"]
    arrivals = [(place, number, event) for place, (number, event) in enumerate(events) if event[1] == "a"]

    def meta(rows: list[tuple[int, int, Event]]) -> dict[str, Any]:
        return {
            PARTITION: pa.array([0] * len(rows), pa.int32()),
            OFFSET: pa.array([number for _, number, _ in rows], pa.int64()),
            TIME: pa.array([event[0] for _, _, event in rows], pa.int64()),
        }

    count = len(predictions)
    first = pa.table(
        {
            "prediction_id": pa.array([f"flights[0]@{number}" for _, number, _ in predictions], pa.string()),
            "label_key": pa.array([event[2] for _, _, event in predictions], pa.string()),
            "score": pa.array([0.5] * count, pa.float64()),
            "prediction": pa.array([True] * count, pa.bool_()),
            "model": pa.array(["m"] * count, pa.string()),
            "version": pa.array([1] * count, pa.int64()),
            "carrier": pa.array(["AA"] * count, pa.string()),
            **meta(predictions),
        }
    )
    second = pa.table(
        {
            "flight_id": pa.array([event[2] for _, _, event in arrivals], pa.string()),
            "delay": pa.array([event[3] for _, _, event in arrivals], pa.float64()),
            **meta(arrivals),
        }
    )
    orders = {
        "predictions": np.array([place for place, _, _ in predictions], np.int64),
        "arrivals": np.array([place for place, _, _ in arrivals], np.int64),
    }
    return Batch({"predictions": first, "arrivals": second}, orders)


def run(events: Sequence[Event], cuts: Sequence[int] = (), resume: bool = False) -> list[dict[str, Any]]:
    current, found = step(), []
    numbered = list(enumerate(events))
    for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        outputs = current.process(batch(numbered[start:end]))
        if "t.outcomes" in outputs:
            output = outputs["t.outcomes"]
            found += [{**row, "at": at} for row, at in zip(output.table.to_pylist(), output.time.tolist(), strict=True)]
        if resume:
            state = current.snapshot()
            current = step()
            current.restore(state)
    last = current.frontier(10_000)
    return found + (last["t.outcomes"].table.to_pylist() if last else [])


def states(found: list[dict[str, Any]]) -> list[tuple[str, str, bool | None]]:
    return [(row["prediction_id"], row["state"], row["label"]) for row in found]


def test_a_label_after_before_and_never() -> None:
    events: list[Event] = [
        (1, "a", "early", 20.0),
        (5, "p", "early", None),
        (6, "p", "late", None),
        (7, "p", "never", None),
        (50, "a", "late", 3.0),
    ]
    found = run(events)
    assert states(found) == [("flights[0]@1", "labelled", True), ("flights[0]@2", "labelled", False), ("flights[0]@3", "never", None)]
    assert [row["known_at"] for row in found] == [5, 50, 107]
    assert found[1]["carrier"] == "AA"


def test_a_label_without_a_value_is_waited_for() -> None:
    found = run([(5, "p", "k", None), (6, "a", "k", None), (9, "a", "k", 30.0), (10, "a", "k", 1.0)])
    assert states(found) == [("flights[0]@0", "labelled", True)]


def test_a_label_at_maturity_counts_and_one_later_does_not() -> None:
    assert states(run([(5, "p", "k", None), (105, "a", "k", 30.0)])) == [("flights[0]@0", "labelled", True)]
    assert states(run([(5, "p", "k", None), (106, "a", "k", 30.0)])) == [("flights[0]@0", "never", None)]


def test_several_predictions_of_one_key_all_get_its_label() -> None:
    found = run([(5, "p", "k", None), (6, "p", "k", None), (9, "a", "k", 30.0), (10, "p", "k", None)])
    assert [row["state"] for row in found] == ["labelled"] * 3


def test_state_is_bounded() -> None:
    current = step()
    for number in range(50):
        current.process(batch([(number, (number * 10, "p", f"k{number}", None))]))
    assert current.waiting <= MATURITY // 10 + 1


event = st.tuples(st.integers(0, 400), st.sampled_from("pa"), st.sampled_from("abc"), st.one_of(st.none(), st.just(3.0), st.just(30.0)))


@given(st.lists(event, max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_whole_is_cut_is_resumed(drawn: list[Event], cuts: list[int]) -> None:
    events = sorted(drawn, key=lambda one: one[0])
    places = sorted(min(cut, len(events)) for cut in cuts)
    whole = run(events)
    assert run(events, places) == whole
    assert run(events, places, resume=True) == whole
    assert len(whole) == sum(1 for one in events if one[1] == "p"), "one outcome a prediction"


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Type.DATE, date(2024, 1, 2)), (Type.TIMESTAMP, datetime(2024, 1, 2, 3)), (Type.DOUBLE, float("inf")), (Type.STRING, None)],
)
def test_segments_come_back_as_they_were(kind: Type, value: object) -> None:
    def made(**more: Type) -> Labels:
        segments = {"part": kind, **more}
        settings = Settings("t.outcomes", predictions_input("t.predictions", segments, 0), SOURCE, "flight_id", MATURITY, segments)
        return Labels(settings, Expression("delay > 15", SCHEMA, "arrivals"))

    waiting, label = batch([(0, (1, "p", "a", None))]), batch([(1, (2, "a", "a", 20.0))])
    rows = waiting.tables["predictions"].drop_columns(["carrier"]).append_column("part", pa.array([value], kind.arrow))
    first, second = made(), made()
    first.process(Batch({**waiting.tables, "predictions": rows}, waiting.order))
    second.restore(first.snapshot())
    assert second.process(label)["t.outcomes"].table.column("part").to_pylist() == [value]
    assert first.process(label)["t.outcomes"].table.column("part").to_pylist() == [value]
    assert made().signature == first.signature != made(other=Type.INT).signature


def test_a_condition_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ProjectError, match=r"delai > 15.*no condition over arrivals \(flight_id, delay\)"):
        Expression("delai > 15", SCHEMA, "arrivals")
    for sql, kind in (("delay", "double"), ("flight", "string")):  # neither any number but 0 nor a text is a truth
        with pytest.raises(ProjectError, match=f"value = '{sql}' gives {kind}, and true or false is wished: write a condition"):
            Expression(sql, {"delay": Type.DOUBLE, "flight": Type.STRING}, "arrivals")


def test_a_condition_that_fails_on_one_row_says_nothing_there() -> None:
    late = Expression("CAST(delay AS INTEGER) > 15", {"delay": Type.STRING}, "arrivals")
    assert late.values(pa.table({"delay": ["20", "cancelled", None, "3"]})).to_pylist() == [True, None, None, False]
    share = Expression("10 % late > 1", {"late": Type.BIGINT}, "arrivals")
    assert share.values(pa.table({"late": [0, 4]})).to_pylist() == [None, True]
