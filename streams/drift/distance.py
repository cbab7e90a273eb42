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
    """Two-sample chi-square over words, those with an expected count under 5 in either sample pooled into one."""
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return 0.0, 1.0
    both = reference + current
    rare = both * (min(n, m) / (n + m)) < POOLED_BELOW
    first = np.append(reference[~rare], reference[rare].sum())
    second = np.append(current[~rare], current[rare].sum())
    kept = first + second > 0
    first, second = first[kept], second[kept]
    if len(first) < 2:
        return 0.0, 1.0
    total = first + second
    statistic = float((((first * m - second * n) / np.sqrt(float(n) * m)) ** 2 / total).sum())
    return statistic, float(special.chdtrc(len(first) - 1, statistic))


def population_stability(reference: Int64, current: Int64, groups: int = 10) -> float:
    """PSI over at most `groups` bins of about equal reference weight; half a row is added to each so that it stays finite."""
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return 0.0
    if len(reference) > groups:
        weight = np.cumsum(reference) / n
        label = np.minimum((np.concatenate([[0.0], weight[:-1]]) * groups).astype(np.int64), groups - 1)
        reference = np.bincount(label, weights=reference, minlength=groups).astype(np.int64)
        current = np.bincount(label, weights=current, minlength=groups).astype(np.int64)
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
