"""The tests of drift against scipy, and how often they cry wolf."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from streams.drift.distance import adjusted, chi_square, kolmogorov_smirnov, population_stability
from streams.drift.sketch import Bins, bins_of, coarse
from streams.predictions.model import numbers

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.integers(0, 50), min_size=5, max_size=200), st.lists(st.integers(0, 50), min_size=5, max_size=200))
def test_kolmogorov_smirnov_is_exact_on_few_distinct_values(first: list[int], second: list[int]) -> None:
    """Bins at every value met give the exact statistic; scipy is the referee."""
    values = sorted(set(first) | set(second))
    edges = np.array(values)
    counted = [np.bincount(np.searchsorted(edges, sample), minlength=len(edges)).astype(np.int64) for sample in (first, second)]
    statistic, _ = kolmogorov_smirnov(*counted)
    assert statistic == pytest.approx(stats.ks_2samp(first, second).statistic, abs=1e-12)


def test_the_binned_statistic_is_never_louder_and_close() -> None:
    rng = np.random.default_rng(1)
    reference, current = rng.normal(size=5000), rng.normal(0.3, size=700)
    bins = bins_of("x", pa.chunked_array([reference]))
    whole = np.zeros(len(current), np.int64)
    counts = bins.counts(pa.chunked_array([current]), whole, 1)[0, : bins.bins]
    base = bins.counts(pa.chunked_array([reference]), np.zeros(5000, np.int64), 1)[0, : bins.bins]
    statistic, p = kolmogorov_smirnov(base, counts)
    exact = stats.ks_2samp(reference, current)
    assert exact.statistic - 0.02 < statistic <= exact.statistic + 1e-12
    assert p < 1e-6


def test_chi_square_agrees_with_a_contingency_table() -> None:
    first, second = np.array([50, 30, 20]), np.array([20, 25, 30])
    found = stats.chi2_contingency(np.array([first, second]), correction=False)
    statistic, p = chi_square(first, second)
    assert statistic == pytest.approx(found.statistic)
    assert p == pytest.approx(found.pvalue)


def test_rare_words_are_pooled() -> None:
    first = np.array([500, 300] + [1] * 40)
    second = np.array([50, 30] + [0] * 40)
    _, p = chi_square(first, second)
    assert p > 0.01


@given(st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=60))
def test_adjusted_p_values_are_scipys(p_values: list[float]) -> None:
    assert adjusted(np.array(p_values)) == pytest.approx(stats.false_discovery_control(p_values))


def test_a_world_at_rest_raises_few_alarms_and_a_shift_is_seen() -> None:
    """20 columns of 500 rows against 10,000: what the defaults of others call drift in 89 to 100% of checks."""
    rng = np.random.default_rng(2)
    columns = [rng.normal(size=10_000) if i % 2 else rng.integers(0, 50, 10_000).astype(str) for i in range(20)]
    bins = [bins_of(str(i), pa.chunked_array([pa.array(column)])) for i, column in enumerate(columns)]
    base = [
        one.counts(pa.chunked_array([pa.array(column)]), np.zeros(10_000, np.int64), 1)[0]
        for one, column in zip(bins, columns, strict=True)
    ]

    def rings(shift: float) -> bool:
        p_values = []
        for i, one in enumerate(bins):
            new = rng.normal(shift if i == 1 else 0, size=500) if i % 2 else rng.integers(0, 50, 500).astype(str)
            counts = one.counts(pa.chunked_array([pa.array(new)]), np.zeros(500, np.int64), 1)[0]
            test = chi_square if one.words is not None else kolmogorov_smirnov
            p_values.append(test(base[i][: one.bins], counts[: one.bins])[1])
        return bool((adjusted(np.array(p_values)) < 0.05).any())

    assert sum(rings(0.0) for _ in range(100)) <= 12
    assert sum(rings(0.3) for _ in range(30)) >= 28


def test_stability_is_zero_for_the_same_shares() -> None:
    assert population_stability(np.array([100, 200, 300]), np.array([10, 20, 30])) == pytest.approx(0, abs=0.01)
    assert population_stability(np.array([100, 200, 300]), np.array([30, 20, 10])) > 0.3


@given(st.lists(st.one_of(st.none(), finite, st.just(float("nan"))), min_size=1, max_size=60), st.integers(1, 59))
def test_counts_add_up_however_rows_are_cut(values: list[float | None], cut: int) -> None:
    column = pa.chunked_array([pa.array(values, pa.float64())])
    bins = bins_of("x", column)
    whole = bins.counts(column, np.zeros(len(values), np.int64), 1)
    parts = [column.slice(0, cut), column.slice(cut)]
    sums = sum(bins.counts(part, np.zeros(len(part), np.int64), 1) for part in parts)
    assert np.array_equal(whole, sums)
    missing = sum(1 for value in values if value is None or value != value)
    assert whole[0, -2] == missing
    assert whole[0, : bins.bins].sum() == len(values) - missing


def test_bins_survive_being_written() -> None:
    for bins in (bins_of("x", pa.chunked_array([[1.0, 2.0, 2.0, None]])), bins_of("w", pa.chunked_array([["a", "b", None]]))):
        assert Bins.of(bins.value()) == bins
        counts = np.arange(bins.slots)
        small = coarse(bins, counts)
        assert sum(small["counts"]) == counts[: bins.bins].sum()


def test_new_words_are_outside() -> None:
    bins = bins_of("w", pa.chunked_array([["a", "b"]]))
    counts = bins.counts(pa.chunked_array([["a", "c", None, "c"]]), np.zeros(4, np.int64), 1)[0]
    assert counts.tolist() == [1, 0, 1, 2]


def test_whole_numbers_of_more_digits_than_a_float_are_counted() -> None:
    """Identities, hashes and nanoseconds go beyond 2^53."""
    values = [-(2**63), -(2**53) - 1, 0, 2**60 + 1, 2**63 - 1, None]
    column = pa.chunked_array([pa.array(values, pa.int64())])
    counts = bins_of("x", column).counts(column, np.zeros(len(values), np.int64), 1)[0]
    assert counts[:-2].sum() == 5 and counts[-2:].tolist() == [1, 0]
    assert numbers(column, None)[:-1].tolist() == [float(value) for value in values if value is not None]
