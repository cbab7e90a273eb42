"""The tests of drift against scipy, and how often they cry wolf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from streams.drift.distance import adjusted, chi_square, kolmogorov_smirnov, number_stability, population_stability, word_stability
from streams.drift.reference import stability
from streams.drift.sketch import OTHER, Bins, bins_of, coarse
from streams.predictions.model import numbers
from streams.types import Int64

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
        assert sum(small["counts"]) == (counts[: bins.bins] if bins.words else counts[1 : bins.bins - 1]).sum()


def counted(reference: list[Any], current: list[Any]) -> tuple[Bins, Int64, Int64]:
    """The reference's bins, and both sides' counts in them."""
    first, second = (pa.chunked_array([pa.array(side)]) for side in (reference, current))
    bins = bins_of("x", first)
    return bins, bins.counts(first, np.zeros(len(first), np.int64), 1)[0], bins.counts(second, np.zeros(len(second), np.int64), 1)[0]


def test_new_words_are_outside_and_are_held_against_the_others() -> None:
    bins, first, second = counted(["a"] * 60 + ["b"] * 40, ["a"] * 30 + ["c"] * 20 + [None])
    assert second.tolist() == [30, 0, 1, 20]
    found = chi_square(bins.compared(first), bins.compared(second))
    assert found == pytest.approx(stats.chi2_contingency([[60, 40, 0], [30, 0, 20]], correction=False)[:2])
    assert stability(bins, first, second) > 1
    assert coarse(bins, second) == {"missing": 1, "outside": 20, "words": ["a", "b", "(rest)"], "counts": [30, 0, 0]}


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=50), st.lists(st.sampled_from([-9, 0, 9]), min_size=1, max_size=50))
def test_numbers_beyond_the_reference_are_held_against_it(first: list[int], second: list[int]) -> None:
    """Also where the reference knows one value only; scipy is the referee."""
    bins, base, now = counted(first, [value if value else first[0] for value in second])
    statistic, _ = kolmogorov_smirnov(bins.compared(base), bins.compared(now))
    assert statistic == pytest.approx(stats.ks_2samp(first, [value if value else first[0] for value in second]).statistic, abs=1e-12)
    small = coarse(bins, now)
    assert (small["below"], small["outside"]) == (second.count(-9), second.count(-9) + second.count(9))
    assert sum(small["counts"]) + small["outside"] == len(second)


def test_a_column_without_a_value_has_seen_none() -> None:
    bins, base, now = counted([float("nan")] * 3, [0.0, 1.0, None])
    assert now.tolist() == [2, 1, 2]
    assert kolmogorov_smirnov(bins.compared(base), bins.compared(now)) == (0.0, 1.0)
    assert coarse(bins, now) == {"missing": 1, "outside": 2, "below": 0, "edges": [], "counts": []}


def test_words_are_no_neighbours() -> None:
    """Of twenty versions every second one is no longer there; PSI over deciles of the alphabet would be 0."""
    first, second = np.full(20, 100), np.tile([0, 200], 10)
    shares = (first + 0.5) / 2010, (second + 0.5) / 2010
    assert word_stability(first, second) == pytest.approx(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    assert number_stability(first, second) == pytest.approx(0)


def test_very_many_words_at_rest_are_at_rest() -> None:
    """The hundred most frequent of 5,000 customers are so by chance: in other rows they would be a fifth as frequent."""
    rng = np.random.default_rng(4)
    bins, first, second = counted(*([f"u{one}" for one in rng.integers(0, 5000, rows)] for rows in (2250, 450)))
    assert chi_square(bins.compared(first), bins.compared(second))[1] > 0.05
    assert stability(bins, first, second) < 0.05
    often = ["a"] * 300 + ["b"] * 100
    bins, first, second = counted([*often, *(str(one) for one in range(500))], [*often[:300], *(str(one) for one in range(500))])
    assert bins.words == ("a", "b", OTHER)
    assert chi_square(bins.compared(first), bins.compared(second))[1] < 1e-9


def test_a_single_row_of_a_new_word_is_no_shift() -> None:
    assert chi_square(np.array([1_000_000, 0]), np.array([499, 1])) == (0.0, 1.0)
    assert chi_square(np.array([1_000_000, 0]), np.array([480, 20]))[1] < 1e-9


def test_whole_numbers_of_more_digits_than_a_float_are_counted() -> None:
    """Identities, hashes and nanoseconds go beyond 2^53."""
    values = [-(2**63), -(2**53) - 1, 0, 2**60 + 1, 2**63 - 1, None]
    column = pa.chunked_array([pa.array(values, pa.int64())])
    counts = bins_of("x", column).counts(column, np.zeros(len(values), np.int64), 1)[0]
    assert counts[:-2].sum() == 5 and counts[-2:].tolist() == [1, 0]
    assert numbers(column, None)[:-1].tolist() == [float(value) for value in values if value is not None]
