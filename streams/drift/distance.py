"""How far two samples are apart, from their counts in the same bins; p-values that hold at any size.

Both samples count as samples (a chi-square against a reference taken as exact raises false alarms in every second check), rare words
are pooled, and the p-values of one check are adjusted together (Benjamini and Hochberg, 1995).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from streams.types import Int64

Float64 = npt.NDArray[np.float64]

POOLED_BELOW = 5.0  # expected count under which words are pooled


def kolmogorov_smirnov(reference: Int64, current: Int64) -> tuple[float, float]:
    """Two-sample statistic at the bin edges and its asymptotic p-value. Never above the exact statistic, so never louder."""
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return 0.0, 1.0
    distance = float(np.abs(np.cumsum(reference) / n - np.cumsum(current) / m).max())
    return distance, float(special.kolmogorov(np.sqrt(n * m / (n + m)) * distance))


def chi_square(reference: Int64, current: Int64) -> tuple[float, float]:
    """Two-sample chi-square over words, the rare ones pooled."""
    first, second = pooled(reference, current)
    n, m = int(first.sum()), int(second.sum())
    if not n or not m or len(first) < 2:
        return 0.0, 1.0
    statistic = float((((first * m - second * n) / np.sqrt(float(n) * m)) ** 2 / (first + second)).sum())
    return statistic, float(special.chdtrc(len(first) - 1, statistic))


def pooled(reference: Int64, current: Int64) -> tuple[Int64, Int64]:
    """Both counts with the words expected fewer than 5 times in either sample as one word, which stands last.

    Where even that one is expected and met fewer than 5 times in the smaller sample, it goes to the least frequent of the others: the
    chi-square of a single row of a word that the other sample has never or hardly had would be as large as that sample.
    """
    both = reference + current
    n, m = int(reference.sum()), int(current.sum())
    share = min(n, m) / max(n + m, 1)
    rare = both * share < POOLED_BELOW
    sides = np.stack([reference, current])
    kept, rest = sides[:, ~rare], sides[:, rare].sum(axis=1)
    if kept.size and rest.sum() * share < POOLED_BELOW and rest[0 if n <= m else 1] < POOLED_BELOW:
        kept[:, kept.sum(axis=0).argmin()] += rest
        return kept[0], kept[1]
    return np.append(kept[0], rest[0]), np.append(kept[1], rest[1])


def number_stability(reference: Int64, current: Int64, groups: int = 10) -> float:
    """PSI over at most `groups` bins of about equal reference weight."""
    if len(reference) > groups:
        weight = np.cumsum(reference) / max(int(reference.sum()), 1)
        label = np.minimum((np.concatenate([[0.0], weight[:-1]]) * groups).astype(np.int64), groups - 1)
        reference, current = (np.bincount(label, weights=side, minlength=groups).astype(np.int64) for side in (reference, current))
    return population_stability(reference, current)


def word_stability(reference: Int64, current: Int64) -> float:
    """PSI over words, the rare ones pooled; words are not grouped, for neighbours in an alphabet have nothing in common."""
    return population_stability(*pooled(reference, current))


def population_stability(reference: Int64, current: Int64) -> float:
    """The population stability index (PSI) of two counts; half a row is added to each so that it stays finite."""
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return 0.0
    first = (reference + 0.5) / (n + 0.5 * len(reference))
    second = (current + 0.5) / (m + 0.5 * len(current))
    return float(((second - first) * np.log(second / first)).sum())


def adjusted(p_values: Float64) -> Float64:
    """Benjamini-Hochberg adjusted p-values, in the order given.

    >>> adjusted(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    count = len(p_values)
    if not count:
        return p_values
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, count + 1)
    found = np.empty(count)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return found
