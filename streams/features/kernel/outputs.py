"""One value of one frame: a running state read out, a row looked up, or the rows of the frame scanned."""

from __future__ import annotations

import numba
import numpy as np

from streams.features.kernel.exact import total, variance, whole
from streams.features.kernel.words import bits_of, float_of, rank_of

(
    COUNT_ROWS,
    COUNT,
    SUM,
    AVG,
    VAR_POP,
    VAR_SAMP,
    STDDEV_POP,
    STDDEV_SAMP,
    EXTREME,
    LAG,
    FIRST,
    LAST,
    NTH,
    MEDIAN,
    DISTINCT,
    TOP_SHARE,
    ENTROPY,
    WEIGHTED,
    DRAWDOWN,
) = range(19)
COMPILED = {
    "count": COUNT,
    "sum": SUM,
    "avg": AVG,
    "var_pop": VAR_POP,
    "var_samp": VAR_SAMP,
    "stddev_pop": STDDEV_POP,
    "stddev_samp": STDDEV_SAMP,
    "min": EXTREME,
    "max": EXTREME,
    "lag": LAG,
    "first_value": FIRST,
    "last_value": LAST,
    "nth_value": NTH,
    "median": MEDIAN,
    "distinct_count": DISTINCT,
    "top1_ratio": TOP_SHARE,
    "entropy": ENTROPY,
    "ew_avg": WEIGHTED,
    "drawdown": DRAWDOWN,
}


@numba.njit(inline="always")
def is_valid(rows, at, column):  # type: ignore[no-untyped-def]
    """Of the value of a ring row that begins at `at`."""
    return (rows[at + 1 + (column >> 6)] >> (column & 63)) & 1


@numba.njit(inline="always")
def summary(code, integer, limit, state, entry, wide, overflows, out):  # type: ignore[no-untyped-def]
    """(bits, valid) from a running sum."""
    n = state[entry]
    if code == COUNT:
        return n, True
    if code == SUM:
        if n == 0:
            return np.int64(0), False
        if integer:
            fits, value = whole(state, entry)
            if fits and (limit == 63 or -(1 << limit) <= value < (1 << limit)):
                return value, True
            overflows[out] += 1
            return np.int64(0), False
        return bits_of(total(state, entry, False, wide)), True
    if code == AVG:
        if n == 0:
            return np.int64(0), False
        return bits_of(total(state, entry, integer != 0, wide) / n), True
    sample = 1 if code in (VAR_SAMP, STDDEV_SAMP) else 0
    if n <= sample:
        return np.int64(0), False
    value = variance(state, entry, integer != 0, sample, wide)
    if code >= STDDEV_POP:
        value = np.sqrt(value)
    return bits_of(value), True


@numba.njit
def scan(code, buffer, n, integer, alpha):  # type: ignore[no-untyped-def]
    """(bits, valid) over the first n values of `buffer` (oldest first), which it may reorder."""
    if n == 0:
        if code == TOP_SHARE:
            return bits_of(0.0), True
        return np.int64(0), code == DISTINCT
    values = buffer[:n]
    if code == WEIGHTED:
        above = below = 0.0
        for i in range(n):
            value = np.float64(values[i]) if integer else float_of(values[i])
            above = above * (1.0 - alpha) + value
            below = below * (1.0 - alpha) + 1.0
        return bits_of(above / below), True
    if code == DRAWDOWN:
        peak = worst = 0.0
        seen = False
        for i in range(n):
            value = np.float64(values[i]) if integer else float_of(values[i])
            if value >= 0.0:
                seen = True
                peak = max(peak, value)
                if 0.0 < peak < np.inf:
                    worst = max(worst, (peak - value) / peak)
        return bits_of(worst), seen
    if not integer:
        for i in range(n):
            bits = values[i]
            values[i] = rank_of(np.int64(0) if bits == np.int64(-0x8000000000000000) else bits)
    values.sort()
    if code == MEDIAN:
        low, high = values[(n - 1) // 2], values[n // 2]
        if integer:
            return bits_of(np.float64(low) / 2 + np.float64(high) / 2), True
        a, b = float_of(rank_of(low)), float_of(rank_of(high))
        middle = (a + b) / 2
        return bits_of(a / 2 + b / 2 if np.isinf(middle) else middle), True
    runs = most = run = 0
    for i in range(n):
        run += 1
        if i == n - 1 or values[i + 1] != values[i]:
            values[runs] = run
            runs += 1
            most = max(most, run)
            run = 0
    if code == DISTINCT:
        return np.int64(runs), True
    if code == TOP_SHARE:
        return bits_of(most / n), True
    counts = values[:runs]
    counts.sort()
    result = 0.0
    for i in range(runs):
        share = counts[i] / n
        result -= share * np.log2(share)
    return bits_of(result + 0.0), True
