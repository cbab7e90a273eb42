"""What the pages say of records that a world seldom has: queries alone, without a broker and without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dashboard.charts import shape
from dashboard.palette import LIGHT
from dashboard.queries import drift, features, head, live, models, performance, predictions
from dashboard.queries.window import window
from dashboard.store.store import Store
from streams.drift.performance import log_loss
from tests.dashboard import world

NOW = 1_790_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = world.store(world.project(tmp_path))
    yield opened
    opened.close()


def deployed(store: Store, *wished: int, live: int) -> models.Models:
    """The versions that were wished, one after the other, and the one that serves."""
    records: list[tuple[str | None, dict[str, Any], int]] = [
        ("desired", {"role": "desired", "model": "flights", "version": version}, n) for n, version in enumerate(wished)
    ]
    records.append(("live", {"role": "live", "model": "flights", "version": live, "state": "Synced"}, len(records)))
    store.write({"deployments": world.facts(records, start=100)})
    found = models.models(store.cursor(), world.project(store.path.parents[2]))
    assert found is not None
    return found


def test_a_rollback_goes_back_from_what_is_wished(store: Store) -> None:
    assert deployed(store, 1, 2, 3, live=2).previous == 2


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (2, "Version 2 serves, in sync; version 1 is one click away."),
        (1, "Version 1 serves; version 2 is on its way; version 1 is one click away."),
    ],
)
def test_in_sync_is_said_of_the_wished_version_alone(store: Store, live: int, said: str) -> None:
    assert deployed(store, 1, 2, live=live).sentence == said


def test_a_version_that_serves_again_has_another_spell(store: Store) -> None:
    """Version 2 takes over at 12:20 and is rolled back at 12:40: within one hour version 1 serves, and serves again."""
    hour = world.START + 12 * world.HOUR
    made = world.predictions(6000, 1, version_from={hour + 20 * 60_000: 2, hour + 40 * 60_000: 1})
    outcomes = world.outcomes(made)
    time, version = made["_time"].to_numpy(), made["version"].to_numpy()
    takeovers = [0, *(np.flatnonzero(np.diff(version)) + 1).tolist()]
    number = np.searchsorted(takeovers, np.arange(6000), side="right") - 1
    elsewhere = (np.arange(6000) % 7 == 0) & (version == 1)  # a partition that has no row of version 2
    made = made.set_column(made.column_names.index("features_partition"), "features_partition", pa.array(elsewhere, pa.int32()))
    for table in (made.filter(elsewhere)[:500], made.filter(~elsewhere), made.filter(elsewhere)[500:]):
        store.write(tables={("predictions", 0): table})
    store.write(tables={("outcomes", 0): outcomes})
    wishes: list[tuple[str | None, dict[str, Any], int]] = [
        ("desired", {"role": "desired", "version": wished, "reason": reason, "at": made["predicted_at"][place].as_py()}, 0)
        for place, wished, reason in zip(takeovers, (1, 2, 1), ("first", "better", "worse"), strict=True)
    ]
    store.write({"deployments": world.facts([*wishes, ("live", {"role": "live", "version": 1, "state": "Synced"}, 0)])})
    shown = window(store.cursor(), "7d", "UTC")
    since = [pd.Timestamp(int(time[place]), unit="ms") for place in takeovers]
    counts = np.bincount(number).tolist()

    found = models.models(store.cursor(), replace(world.project(store.path.parents[2]), timezone="UTC"))
    assert found is not None and found.sentence == "Version 1 serves since 1 Apr 12:40, in sync; version 2 is one click away."
    spells = found.spells
    assert spells["version"].tolist() == [1, 2, 1]
    assert spells["serving"].tolist() == [False, False, True]
    assert spells["since"].tolist() == since
    assert spells["until"].tolist() == [*since[1:], pd.Timestamp(shown.end, unit="ms")]
    assert spells["predictions"].tolist() == counts
    assert spells["reason"].tolist() == ["first", "better", "worse"]
    label, score = outcomes["label"].to_pandas(), outcomes["score"].to_numpy()
    for n, row in enumerate(spells.to_dict("records")):
        mine = (number == n) & label.notna().to_numpy()
        truth = label[mine].to_numpy().astype(bool)
        assert row["log_loss"] == pytest.approx(log_loss(score[mine], truth).mean())
        assert row["brier"] == pytest.approx(((score[mine] - truth) ** 2).mean())

    said = predictions.predictions(store.cursor(), shown)
    assert said is not None and said.sentence == f"{counts[2]:,} predictions by version 1 since 1 April, 6,000 in all."
    assert said.spells["since"].tolist() == since
    assert said.means.groupby("spell")["n"].sum().tolist() == counts
    marks = performance.marks(store.cursor(), shown).sort_values("time")
    assert marks["time"].tolist() == since
    assert marks["text"].tolist() == ["Version 1", "Version 2", "Version 1"]
    assert performance.over_time(store.cursor(), shown)["version"].tolist() == [1, 2, 1]

    again = deployed(store, 2, live=2)  # and has scored nothing yet
    assert again.sentence == "Version 2 serves, in sync; version 1 is one click away."
    assert again.spells["version"].tolist() == [1, 2, 1, 2]
    assert again.spells["serving"].tolist() == [False, False, False, True]
    assert again.spells["since"].isna().tolist() == [False, False, False, True]


def commit(step: str, at: int, *read: tuple[str, int, int, int]) -> tuple[str | None, dict[str, Any], int]:
    """A commit of a step; `read` are topic, first and next offset, rows."""
    ranges = [[f"flights.{topic}", 0, start, end] for topic, start, end, _ in read]
    return step, {"step": step, "ranges": ranges, "taken": {f"flights.{topic}": rows for topic, _, _, rows in read if rows}, "at": at}, at


def stages(store: Store) -> dict[str, live.Stage]:
    return {stage.name: stage for stage in live.live(store.cursor(), ["flights", "arrivals"], NOW).stages}


def test_events_are_counted_without_the_marks_of_transactions(store: Store) -> None:
    """Each event of a slow topic comes with 29 records that are none: marks of transactions, and of event time; predictions with more."""
    for first, at in ((0, NOW - 5 * world.HOUR), (50, NOW - 490_000)):  # the commits of the first are no longer kept
        made = []
        for n in range(first, first + 50):
            noted = at + (n - first) * 10_000
            made.append(commit("features", noted, ("flights", 30 * n, 30 * n + 30, 1)))
            made.append(commit("labels", noted, ("predictions", 70 * n, 70 * n + 70, 3), ("arrivals", 30 * n, 30 * n + 30, 1)))
        store.write({"commits": world.facts(made)}, ends={"flights": 3000, "arrivals": 3000, "predictions": 7000, "features": 3000})
    found = stages(store)
    assert (found["events"].total, found["features"].total) == (200, 100)
    assert found["features"].rate == pytest.approx(6 / 50)
    assert found["events"].rate == pytest.approx(12 / 50)


def test_events_that_no_step_has_taken_yet_have_come_in(store: Store) -> None:
    store.write({"commits": world.facts([commit("features", NOW, ("flights", 0, 11, 10))])}, ends={"flights": 16, "arrivals": 7})
    assert stages(store)["events"].total == 10 + 4 + 7


def test_a_step_that_was_silent_for_hours_has_not_taken_nothing(store: Store) -> None:
    made = [commit("features", NOW - 4 * world.HOUR, ("flights", 0, 870_000, 870_000)), commit("drift", NOW)]
    for one in made:
        store.write({"commits": world.facts([one])}, ends={"flights": 870_000})
    assert live.live(store.cursor(), ["flights"], NOW).sentence == "No event for 4.0 h, nothing waiting; no dead letters today."
    assert head.head(store.cursor()).idle_ms is not None


@pytest.mark.parametrize(
    ("end", "said"), [(0, "Nothing has come in yet."), (5, "No event has been taken yet, 5 waiting; no dead letters today.")]
)
def test_nothing_has_come_in_is_said_of_empty_sources_alone(store: Store, end: int, said: str) -> None:
    store.write(ends={"flights": end})
    assert live.live(store.cursor(), ["flights"], NOW).sentence == said


def test_the_newest_check_has_a_cell_within_the_axis(store: Store) -> None:
    store.write({"drift": world.facts(world.checks(10))})
    newest = world.START + 10 * world.DAY
    shown = window(store.cursor(), "7d", "UTC")
    found = drift.drift(store.cursor(), shown)
    assert found is not None and shown.end == newest
    end = pd.Timestamp(newest, unit="ms")
    (last,) = found.cells[found.cells["check_id"] == f"data@{newest}"].drop_duplicates("time").to_dict("records")
    assert (last["time"], last["until"], last["checked"]) == (end - pd.Timedelta(milliseconds=shown.step), end, end)


@pytest.mark.parametrize("value", ['17" rim', "it's", "a/b~c", "a.b", "$", "0", ""])
def test_a_segment_may_hold_any_character(store: Store, value: str) -> None:
    check = {"check_id": "c", "kind": "performance", "end": world.START, "segments": {"part": {value: {"log_loss": 0.5}}}}
    store.write(
        {"drift": world.facts([("c", check, world.START)])}, {("predictions", 0): world.predictions(10, 1, since=world.START - world.DAY)}
    )
    found = performance.performance(store.cursor(), window(store.cursor(), "7d", "UTC"), segment=("part", value))
    assert found is not None and found.measured["value"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("known", "said"), [(slice(700, None), "labels come, 700 predictions without one yet"), (slice(0, None), "labels are up to date")]
)
def test_labels_are_up_to_date_when_no_prediction_waits(store: Store, known: slice, said: str) -> None:
    made = world.predictions(1000, 1)
    outcomes = world.outcomes(made, seed=1)
    store.write(tables={("predictions", 0): made, ("outcomes", 0): outcomes[known]})
    found = performance.performance(store.cursor(), window(store.cursor(), "7d", "UTC"))
    assert found is not None and found.sentence.endswith(f"{said}.")


@pytest.mark.parametrize("name", ["it's", 'in "quotes"', "a/b~c", "größe", "back\\slash", "a.b", "$", "0", "%", " "])
def test_a_feature_may_have_any_name(store: Store, name: str) -> None:
    rows = [{name: n / 2, "other": -1, "_partition": 0, "_offset": n, "_plan": "p"} for n in range(3)]
    store.write({"features": world.facts([(None, row, NOW + n) for n, row in enumerate(rows)])})
    assert features.values(store.cursor(), name)["value"].tolist() == [1.0, 0.5, 0.0]


def test_values_the_reference_never_had_are_a_bar_of_their_own(store: Store) -> None:
    """A constant that became another one: nothing of the current rows stands where the reference does."""
    reference = {"missing": 0, "outside": 0, "below": 0, "edges": [5.0, 5.0], "counts": [900]}
    columns = {
        "constant": (reference, {**reference, "outside": 300, "counts": [0]}),
        "word": ({"outside": 0, "words": ["a", "(rest)"], "counts": [9, 0]}, {"outside": 3, "words": ["a", "(rest)"], "counts": [1, 0]}),
        "empty": ({"outside": 0, "edges": [], "counts": []}, {"outside": 0, "edges": [], "counts": []}),
    }
    rows = [{"name": name, "psi": 0.0, "limit": 0.1, "reference": first, "current": second} for name, (first, second) in columns.items()]
    store.write({"drift": world.facts([("data-1", {"check_id": "data-1", "kind": "data", "end": 1, "features": rows}, 1)])})

    def shares(feature: str) -> dict[str, list[float]]:
        found = drift.cell(store.cursor(), feature)
        assert found is not None
        shape.sides(found.bars, found.words, LIGHT, feature).to_dict()
        bars = found.bars.pivot(index="value", columns="side", values="share")
        return {str(value): bars.loc[value, ["reference", "current"]].tolist() for value in bars.index}

    assert shares("constant") == {"5": [1.0, 0.0], "(never seen)": [0.0, 1.0]}
    assert shares("word") == {"a": [1.0, 0.25], "(rest)": [0.0, 0.0], "(never seen)": [0.0, 0.75]}
    assert shares("empty") == {"(never seen)": [0.0, 0.0]}
    assert store.cursor().execute("SELECT middle FROM check_features WHERE feature = 'constant'").fetchall() == [(None,)]


def moves(end: int, **features: tuple[bool, bool]) -> tuple[str | None, dict[str, Any], int]:
    """A data check; each feature with whether it has moved and is muted."""
    rows = [{"name": name, "psi": 0.5, "limit": 0.1, "drifted": moved, "ignored": muted} for name, (moved, muted) in features.items()]
    return f"data-{end}", {"check_id": f"data-{end}", "kind": "data", "end": end, "version": 1, "features": rows}, end


def test_a_feature_that_is_no_more_is_not_said_to_have_moved(store: Store) -> None:
    day = world.START + world.DAY
    checks = [moves(world.START, old=(True, False), a=(False, False)), moves(day, a=(True, False), b=(True, True), c=(False, False))]
    store.write({"drift": world.facts(checks)})
    found = drift.drift(store.cursor(), window(store.cursor(), "7d", "UTC"))
    assert found is not None and found.sentence == "Since 2 April a moved, 1 of 2 features; 1 muted feature did."
    assert found.features["feature"].tolist() == ["a", "b", "c"]


def test_a_muted_feature_alone_has_nothing_moved(store: Store) -> None:
    store.write({"drift": world.facts([moves(world.START, a=(True, True), b=(False, False))])})
    found = drift.drift(store.cursor(), window(store.cursor(), "7d", "UTC"))
    assert found is not None and found.sentence == "None of 1 features moved; 1 muted feature did."


def test_the_first_bar_of_labels_is_whole(store: Store) -> None:
    """A window begins in the middle of a bucket: all of its predictions and labels are counted."""
    made = world.predictions(4000, 10, since=world.START + 13 * world.HOUR)
    store.write(tables={("predictions", 0): made, ("outcomes", 0): world.outcomes(made).filter(np.arange(4000) % 2 == 0)})
    shown = window(store.cursor(), "7d", "UTC")
    assert shown.start % shown.step
    found = performance.performance(store.cursor(), shown)
    assert found is not None
    first = shown.start // shown.step * shown.step
    time = made["_time"].to_numpy()
    inside = (time >= first) & (time < first + shown.step)
    rows = found.labels.iloc[0]
    assert rows["time"] == pd.Timestamp(first, unit="ms")
    assert rows["waiting"] == (inside & (np.arange(4000) % 2 == 1)).sum()
    assert rows[["labelled", "never", "waiting"]].sum() == inside.sum()


def test_values_of_a_segment_stand_with_most_rows_first(store: Store) -> None:
    numbers = {"log_loss": 0.5, "brier": 0.2, "observed": 0.3, "predicted": 0.3}
    values = {f"v{n:02}": {**numbers, "rows": n} for n in range(1, 31)}
    check = {"check_id": "p", "kind": "performance", "start": 0, "end": world.START, "segments": {"carrier": values}, "performance": {}}
    store.write({"drift": world.facts([("p", check, world.START)])})
    found = performance.segments(store.cursor(), window(store.cursor(), "7d", "UTC"))
    assert found["value"].head(3).tolist() == ["v30", "v29", "v28"]


@pytest.mark.parametrize(("gap", "said"), [(-0.231, "23 points below"), (0.006, "0.6 points above")])
def test_decay_is_said_as_what_it_is(store: Store, gap: float, said: str) -> None:
    """The log loss may be better than in the reference all the while."""
    numbers = {"log_loss": 0.3, "reference": {"log_loss": 0.6}, "current": {"gap": gap}, "decayed": True}
    made = [
        (f"p{end}", {"check_id": f"p{end}", "kind": "performance", "end": end, "version": 1, "performance": numbers}, end)
        for end in (world.START, world.START + world.DAY)
    ]
    store.write({"drift": world.facts([moves(world.START, a=(False, False)), *made])})
    assert head.condition(store.cursor()) == ("alarm", f"the rate is {said} the predicted one")
    found = drift.drift(store.cursor(), window(store.cursor(), "7d", "UTC"))
    assert found is not None and found.sentence == f"None of 1 features moved; the rate is {said} the predicted one: retrain."
