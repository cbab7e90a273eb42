"""Quality from sums, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from streams.drift.alarm import Rule, Streak, judge
from streams.drift.performance import Measured
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
