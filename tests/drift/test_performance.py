"""Quality from sums, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from streams.drift.alarm import Rule, Streak, judge
from streams.drift.performance import Measured, expected_intervals, intervals
from streams.drift.triggers import Triggers, wanted


def test_measured_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(4000) < 0.3
    scores = np.clip(rng.normal(0.3 + 0.2 * labels, 0.15), 0.001, 0.999)
    found = Measured.of(scores, labels).numbers()
    assert found["log_loss"] == pytest.approx(log_loss(labels, scores), abs=1e-9)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, scores), abs=1e-9)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=0.002)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=80), st.integers(1, 79))
def test_sums_do_not_depend_on_where_batches_are_cut(rows: list[tuple[float, bool]], cut: int) -> None:
    scores, labels = np.array([score for score, _ in rows]), np.array([label for _, label in rows])
    whole = Measured.of(scores, labels)
    parts = Measured.of(scores[:cut], labels[:cut])
    parts.plus(Measured.of(scores[cut:], labels[cut:]))
    assert np.array_equal(whole.sums, parts.sums)
    assert np.array_equal(whole.bins, parts.bins)


def test_no_rows_have_no_numbers_and_one_class_no_auc() -> None:
    assert Measured().numbers()["log_loss"] is None
    assert Measured.of(np.array([0.5, 0.6]), np.array([True, True])).numbers()["auc"] is None


def test_an_alarm_needs_checks_in_a_row_and_then_is_quiet() -> None:
    rule, streak = Rule(consecutive=2, cooldown=100), Streak()
    rung = []
    for end, found in [(0, True), (10, False), (20, True), (30, True), (40, True), (130, True), (140, True)]:
        streak, rings = judge(rule, streak, found, end)
        rung += [end] if rings else []
    assert rung == [30, 130]


def test_a_run_is_asked_for_only_by_triggers_that_are_on() -> None:
    alarms = {"decay": "worse", "drift": "moved"}
    assert wanted(Triggers(), alarms, 5, 0, 0) is None
    found = wanted(Triggers(frozenset({"drift", "decay"})), alarms, 5, 0, 0)
    assert found == {"run_id": "decay-5", "trigger": "decay", "reason": "worse", "as_of": 5}
    assert wanted(Triggers(frozenset({"schedule"}), every=10), {}, 9, 0, 0) is None
    assert wanted(Triggers(frozenset({"schedule"}), every=10), {}, 10, 0, 0) is not None
    assert wanted(Triggers(frozenset({"data"}), new_labels=3), {}, 10, 0, 3) is not None


def test_intervals_cover_what_days_of_the_same_world_give() -> None:
    """Days differ among each other, as weather makes them; the interval of a week holds the truth about as often as it says."""
    rng = np.random.default_rng(11)
    covered = dict.fromkeys(("observed", "log_loss", "brier", "auc"), 0)
    weeks, far = 120, []
    for _ in range(weeks):
        days = []
        for lean in rng.normal(0, 0.5, 7):
            scores = rng.beta(2, 6, 300)
            chance = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + lean)))
            days.append(Measured.of(scores, rng.random(300) < chance))
        found, whole = intervals(days), Measured()
        for day in days:
            whole.plus(day)
        far.append((found, whole.numbers()))
    for name in covered:
        truth = float(np.mean([float(numbers[name] or 0.0) for _, numbers in far]))
        covered[name] = sum(found[f"{name}_low"] <= truth <= found[f"{name}_high"] for found, _ in far)
        assert all(found[f"{name}_low"] <= float(numbers[name] or 0.0) <= found[f"{name}_high"] for found, numbers in far)
    assert all(0.88 * weeks <= number for number in covered.values()), covered


def test_few_days_have_no_interval() -> None:
    day = Measured.of(np.array([0.2, 0.7]), np.array([False, True]))
    assert intervals([day, day, Measured(), day]) == {}
    assert intervals([day] * 4)["log_loss_low"] == pytest.approx(float(day.numbers()["log_loss"] or 0.0))
    assert expected_intervals([np.zeros(1000, np.int64)] * 5) == {}
