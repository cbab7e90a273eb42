"""Scoring: whole is cut is resumed; a version that cannot be loaded changes nothing; a switch is exact in event time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import ModelError
from streams.predictions.deployment import Deployment
from streams.predictions.model import Card
from streams.predictions.step import Predictions, Settings
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME, Batch, Type

SCHEMA = {"flight_id": Type.STRING, "x": Type.DOUBLE, "_event_partition": Type.BIGINT, "_event_offset": Type.BIGINT, "_plan": Type.STRING}
FEATURES = Input("features", "t.features", SCHEMA, "_timestamp")


class Constant:
    """A model whose score is its version over ten."""

    def __init__(self, version: int) -> None:
        self.card = Card("constant", ("x",), {}, 0.5)
        self._score = version / 10

    def score(self, rows: pa.Table) -> np.ndarray[Any, Any]:
        return np.full(rows.num_rows, self._score)


def load(wished: Deployment) -> Constant:
    if wished.sha256 == "bad":
        raise ModelError("the model's digest is wrong")
    return Constant(wished.version)


def step() -> Predictions:
    return Predictions(Settings("t.predictions", FEATURES, "t.deployments", "flights", "flight_id"), load, clock=lambda: 0)


def desired(version: int, effective_from: int | None = None, sha256: str = "good") -> dict[str, Any]:
    return {"role": "desired", "model": "m", "version": version, "sha256": sha256, "effective_from": effective_from}


Event = tuple[int, dict[str, Any] | None]  # time, a deployment or None for a feature row


def batch(events: Sequence[tuple[int, Event]]) -> Batch:
    def meta(rows: list[tuple[int, int, Event]]) -> dict[str, Any]:
        return {
            PARTITION: pa.array([0] * len(rows), pa.int32()),
            OFFSET: pa.array([number for _, number, _ in rows], pa.int64()),
            TIME: pa.array([event[0] for _, _, event in rows], pa.int64()),
        }

    rows = [(place, number, event) for place, (number, event) in enumerate(events) if event[1] is None]
    wishes = [(place, number, event) for place, (number, event) in enumerate(events) if event[1] is not None]
    features = pa.table(
        {
            "flight_id": pa.array([f"f{number}" for _, number, _ in rows], pa.string()),
            "x": pa.array([1.0] * len(rows), pa.float64()),
            "_event_partition": pa.array([0] * len(rows), pa.int64()),
            "_event_offset": pa.array([number for _, number, _ in rows], pa.int64()),
            "_plan": pa.array(["p"] * len(rows), pa.string()),
            **meta(rows),
        }
    )
    control = pa.table({"_value": pa.array([json.dumps(event[1]) for _, _, event in wishes], pa.string()), **meta(wishes)})
    orders = {
        "features": np.array([place for place, _, _ in rows], np.int64),
        "deployments": np.array([place for place, _, _ in wishes], np.int64),
    }
    return Batch({"features": features, "deployments": control}, orders)


def run(events: Sequence[Event], cuts: Sequence[int] = (), resume: bool = False) -> tuple[list[tuple[str, int]], list[Mapping[str, Any]]]:
    current, scored, live = step(), [], []
    numbered = list(enumerate(events))
    for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        outputs = current.process(batch(numbered[start:end]))
        if "t.predictions" in outputs:
            scored += [(row["prediction_id"], row["version"]) for row in outputs["t.predictions"].table.to_pylist()]
        if "t.deployments" in outputs:
            live += [json.loads(text) for text in outputs["t.deployments"].table.column("_value").to_pylist()]
        if resume:
            state = current.snapshot()
            current = step()
            current.restore(state)
    return scored, live


def test_rows_before_the_first_champion_are_not_scored() -> None:
    scored, live = run([(1, None), (2, desired(1)), (3, None)])
    assert scored == [("flights[0]@2", 1)]
    assert [one["state"] for one in live] == ["Synced"]


def test_a_version_serves_from_its_event_time_on() -> None:
    scored, live = run([(0, desired(1)), (1, None), (1, desired(2, effective_from=5)), (4, None), (5, None), (3, None)])
    assert [version for _, version in scored] == [1, 1, 2, 2]
    assert [(one["state"], one["version"]) for one in live] == [("Synced", 1), ("OutOfSync", 1), ("Synced", 2)]


def test_whether_a_version_could_be_loaded_is_a_fact_of_the_log() -> None:
    """A replay, in which the registry is back or gone, comes to serve what served."""
    there = {1}

    def loaded(wished: Deployment) -> Constant:
        if wished.version not in there:
            raise ModelError("the registry does not answer")
        return Constant(wished.version)

    def made() -> Predictions:
        return Predictions(Settings("t.predictions", FEATURES, "t.deployments", "flights", "flight_id"), loaded, clock=lambda: 0)

    there |= {3}
    first, log = made(), list[tuple[int, Event]]()
    for event in [(0, desired(1)), (1, None), (2, desired(2)), (3, None), (4, desired(3, effective_from=9))]:
        coming: list[Event] = [event]
        while coming:  # what it says comes back to it
            log.append((len(log), coming.pop()))
            found = first.process(batch(log[-1:])).get("t.deployments")
            coming += [(event[0], json.loads(text)) for text in found.table.column("_value").to_pylist()] if found else []
    said = [event[1]["state"] for _, event in log if event[1] is not None and event[1]["role"] == "live"]
    assert said == ["Synced", "Degraded", "OutOfSync"]

    def versions(one: Predictions) -> list[int]:
        return one.process(batch([(20, (5, None)), (21, (9, None))]))["t.predictions"].table.column("version").to_pylist()

    there |= {2}
    again = made()
    again.process(batch(log))
    assert versions(first) == versions(again) == [1, 3]
    there.remove(2)
    versions_of_two: list[Event] = [(0, desired(2)), (0, {"role": "live", "state": "Synced", "desired_version": 2, "wished": 0})]
    with pytest.raises(ModelError, match="Version 2 served from here on and cannot be loaded any more"):
        made().process(batch(list(enumerate(versions_of_two))))


def test_a_version_that_cannot_be_loaded_changes_nothing_and_says_why() -> None:
    scored, live = run([(0, desired(1)), (1, None), (1, desired(2, sha256="bad")), (2, None)])
    assert [version for _, version in scored] == [1, 1]
    assert (live[-1]["state"], live[-1]["version"], live[-1]["desired_version"]) == ("Degraded", 1, 2)
    assert live[-1]["error"] == "the model's digest is wrong"


wish = st.builds(desired, st.integers(1, 4), st.one_of(st.none(), st.integers(0, 60)), st.sampled_from(["good", "good", "bad"]))
event = st.tuples(st.integers(0, 60), st.one_of(st.none(), st.none(), wish))


@given(st.lists(event, max_size=25), st.lists(st.integers(0, 25), max_size=4))
def test_whole_is_cut_is_resumed(drawn: list[Event], cuts: list[int]) -> None:
    places = sorted(min(cut, len(drawn)) for cut in cuts)
    whole = run(drawn)
    assert run(drawn, places) == whole
    assert run(drawn, places, resume=True)[0] == whole[0]
    assert len({name for name, _ in whole[0]}) == len(whole[0])


outage = st.lists(st.tuples(st.booleans(), st.lists(event, max_size=4)), max_size=6)


@given(outage, st.lists(st.integers(0, 40), max_size=3))
def test_a_replay_comes_to_what_served_however_many_wishes_a_batch_has(drawn: list[tuple[bool, list[Event]]], cuts: list[int]) -> None:
    """Of each batch is drawn whether the registry answered; in the replay it does. What a batch says stands behind it in the log."""
    there = True

    def loaded(wished: Deployment) -> Constant:
        if not there:
            raise ModelError("the registry does not answer")
        return load(wished)

    def made() -> Predictions:
        return Predictions(Settings("t.predictions", FEATURES, "t.deployments", "flights", "flight_id"), loaded, clock=lambda: 0)

    first, log, said = made(), list[tuple[int, Event]](), list[Event]()
    for answers, events in [*drawn, (True, [])]:
        there = answers
        new = list(enumerate([*said, *events], len(log)))
        log += new
        found = first.process(batch(new)).get("t.deployments")
        said = [(60, json.loads(text)) for text in found.table.column("_value").to_pylist()] if found else []
    places = sorted(min(cut, len(log)) for cut in cuts)
    again = made()
    for start, end in zip([0, *places], [*places, len(log)], strict=True):
        again.process(batch(log[start:end]))
        state = again.snapshot()
        again = made()
        again.restore(state)
    probe = batch([(100 + time, (time, None)) for time in range(62)])
    scored = [one.process(probe).get("t.predictions") for one in (first, again)]
    of_first, of_again = (one.table.column("version").to_pylist() if one else [] for one in scored)
    assert of_first == of_again
