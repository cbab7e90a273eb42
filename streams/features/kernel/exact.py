"""Exact sums in fixed point. A sum is four words of 32 bits each, kept in int64 without carrying (the top one holds what is above),
so that adding and taking out are the same three additions and the state of equal frames is equal, however it came about.

An entry of a key's state, in words from its offset:

    0 NVALUES   values that are not NULL
    1 ODD       NaNs, and infinities above bit 32
    2 ODD2      negative infinities, and wide values above bit 32
    3 WIDE      row of the wide arena, or -1
    4..7        the sum, in units of 2 ** UNIT (floats) or 1 (integers)
    8..15       the sum of squares, in the square of that unit

A float is narrow when its mantissa's last bit is at 2 ** UNIT or above and its first below 2 ** (UNIT + 116): 2.4e-7 to 4.4e12 at full precision.
Others are wide: they go to a row of the wide arena, which spans all of float64.
"""

from __future__ import annotations

import numba
import numpy as np

from streams.features.kernel.digits import (
    ODD,
    ODD2,
    SQUARES,
    SUM,
    UNIT,
    WIDE,
    WIDE_SUM,
    WIDE_UNIT,
    WIDE_WORDS,
    long_variance,
    rounded,
    wide_total,
    wide_variance,
)
from streams.features.kernel.words import MASK, U0, U1, U32, U63, product


@numba.njit(inline="always")
def spread(state, at, mantissa, shift, sign):  # type: ignore[no-untyped-def]
    """Add sign * mantissa * 2 ** shift to the words at `at`."""
    at += shift >> 5
    r = np.uint64(shift & 31)
    low = (mantissa & MASK) << r
    high = (mantissa >> U32) << r
    state[at] += sign * np.int64(low & MASK)
    state[at + 1] += sign * np.int64((low >> U32) + (high & MASK))
    state[at + 2] += sign * np.int64(high >> U32)


@numba.njit(inline="always")
def spread_square(state, at, mantissa, shift, sign):  # type: ignore[no-untyped-def]
    """Add sign * mantissa ** 2 * 2 ** shift to the words at `at`."""
    at += shift >> 5
    r = np.uint64(shift & 31)
    high, low = product(mantissa, mantissa)
    a = (low & MASK) << r
    b = (low >> U32) << r
    c = (high & MASK) << r
    d = (high >> U32) << r
    state[at] += sign * np.int64(a & MASK)
    state[at + 1] += sign * np.int64((a >> U32) + (b & MASK))
    state[at + 2] += sign * np.int64((b >> U32) + (c & MASK))
    state[at + 3] += sign * np.int64((c >> U32) + (d & MASK))
    state[at + 4] += sign * np.int64(d >> U32)


@numba.njit(inline="always")
def mantissa_of(bits):  # type: ignore[no-untyped-def]
    """(mantissa, exponent of its last bit) of a finite float."""
    exponent = (bits >> 52) & 0x7FF
    mantissa = bits & 0xFFFFFFFFFFFFF
    if exponent == 0:
        return np.uint64(mantissa), np.int64(-1074)
    return np.uint64(mantissa | 0x10000000000000), np.int64(exponent - 1075)


@numba.njit
def add_integer(state, at, value, squares, sign):  # type: ignore[no-untyped-def]
    state[at] += sign
    magnitude = np.uint64(value)
    side = sign
    if value < 0:
        magnitude = U0 - magnitude
        side = -sign
    state[at + 4] += side * np.int64(magnitude & MASK)
    state[at + 5] += side * np.int64(magnitude >> U32)
    if squares:
        spread_square(state, at + SQUARES, magnitude, 0, sign)


@numba.njit
def add_float(state, at, bits, squares, sign, wide, spare):  # type: ignore[no-untyped-def]
    """`sign` 1 adds, -1 takes out. `spare` are the free rows of the wide arena, with their number in front."""
    state[at] += sign
    exponent = (bits >> 52) & 0x7FF
    shift = exponent - 1075 - UNIT
    side = -sign if bits < 0 else sign
    if 0 <= shift < 64:
        mantissa = np.uint64((bits & 0xFFFFFFFFFFFFF) | 0x10000000000000)
        spread(state, at + SUM, mantissa, shift, side)
        if squares:
            spread_square(state, at + SQUARES, mantissa, 2 * shift, sign)
    elif exponent == 0x7FF:
        if bits & 0xFFFFFFFFFFFFF:
            state[at + ODD] += sign
        elif bits > 0:
            state[at + ODD] += sign << 32
        else:
            state[at + ODD2] += sign
    elif bits & 0x7FFFFFFFFFFFFFFF:
        _add_wide(state, at, bits, sign, side, wide, spare)


@numba.njit
def _add_wide(state, at, bits, sign, side, wide, spare):  # type: ignore[no-untyped-def]
    row = state[at + WIDE]
    if row < 0:
        row = spare[spare[0]]
        spare[0] -= 1
        state[at + WIDE] = row
    state[at + ODD2] += sign << 32
    mantissa, exponent = mantissa_of(bits)
    spread(wide, row * WIDE_WORDS, mantissa, exponent - WIDE_UNIT, side)
    spread_square(wide, row * WIDE_WORDS + WIDE_SUM, mantissa, 2 * (exponent - WIDE_UNIT), sign)
    if state[at + ODD2] >> 32 == 0:
        spare[0] += 1
        spare[spare[0]] = row
        state[at + WIDE] = -1


# ---------------------------------------------------------------- results


@numba.njit(inline="always")
def words_of(state, at):  # type: ignore[no-untyped-def]
    """(negative, high, middle, low): the magnitude of four words as 192 bits."""
    carry = state[at]
    d0 = np.uint64(carry) & MASK
    carry = (carry >> 32) + state[at + 1]
    d1 = np.uint64(carry) & MASK
    carry = (carry >> 32) + state[at + 2]
    d2 = np.uint64(carry) & MASK
    carry = (carry >> 32) + state[at + 3]
    d3 = np.uint64(carry) & MASK
    high = np.uint64(carry >> 32)
    low = d0 | (d1 << U32)
    middle = d2 | (d3 << U32)
    negative = carry < 0
    if negative:
        low = U0 - low
        middle = ~middle + (U1 if low == U0 else U0)
        high = ~high + (U1 if low == U0 and middle == U0 else U0)
    return negative, high, middle, low


@numba.njit
def total(state, at, integer, wide):  # type: ignore[no-untyped-def]
    """The sum, correctly rounded; NaN or an infinity where the values say so."""
    if not integer and (state[at + ODD] != 0 or state[at + ODD2] != 0):
        nans, above = state[at + ODD] & 0xFFFFFFFF, state[at + ODD] >> 32
        below = state[at + ODD2] & 0xFFFFFFFF
        if nans or (above and below):
            return np.nan
        if above:
            return np.inf
        if below:
            return -np.inf
        return wide_total(state, at, wide, state[at + WIDE] * WIDE_WORDS)
    negative, high, middle, low = words_of(state, at + SUM)
    value = rounded(high, middle, low, False, 0 if integer else UNIT)
    return -value if negative else value


@numba.njit
def whole(state, at):  # type: ignore[no-untyped-def]
    """(fits, value): the sum of integers as int64."""
    negative, high, middle, low = words_of(state, at + SUM)
    fits = high == U0 and middle == U0 and (low >> U63 == U0 or (negative and low == U1 << U63))
    return fits, -np.int64(low) if negative else np.int64(low)


@numba.njit
def variance(state, at, integer, sample, wide):  # type: ignore[no-untyped-def]
    """(n * sum of squares - square of the sum) / (n * (n - sample)), exact up to the division; n > sample."""
    n = state[at]
    if not integer and (state[at + ODD] != 0 or state[at + ODD2] & 0xFFFFFFFF != 0):
        return np.nan
    divisor = np.float64(n) * np.float64(n - sample)
    unit = 0 if integer else 2 * UNIT
    if not integer and state[at + ODD2] != 0:
        return wide_variance(state, at, n, wide, state[at + WIDE] * WIDE_WORDS) / divisor
    _, s2, s1, s0 = words_of(state, at + SUM)
    q = at + SQUARES
    carry = state[q]
    d0 = np.uint64(carry) & MASK
    carry = (carry >> 32) + state[q + 1]
    w0 = d0 | (np.uint64(carry) << U32)
    carry = (carry >> 32) + state[q + 2]
    d0 = np.uint64(carry) & MASK
    carry = (carry >> 32) + state[q + 3]
    w1 = d0 | (np.uint64(carry) << U32)
    carry = (carry >> 32) + state[q + 4]
    d0 = np.uint64(carry) & MASK
    carry = (carry >> 32) + state[q + 5]
    w2 = d0 | (np.uint64(carry) << U32)
    carry = (carry >> 32) + state[q + 6]
    d0 = np.uint64(carry) & MASK
    carry = (carry >> 32) + state[q + 7]
    w3 = d0 | (np.uint64(carry) << U32)
    m = np.uint64(n)
    h0, a0 = product(w0, m)
    h1, a1 = product(w1, m)
    h2, a2 = product(w2, m)
    h3, a3 = product(w3, m)
    if s2 != U0 or carry >> 32 != 0 or h3 != U0 or a3 >> U63 != U0:
        return long_variance(state, at, n, unit) / divisor
    a1 += h0
    h1 += U1 if a1 < h0 else U0
    a2 += h1
    h2 += U1 if a2 < h1 else U0
    a3 += h2
    # the square of the sum: four words b
    b1, b0 = product(s0, s0)
    c1, c0 = product(s0, s1)
    b3, b2 = product(s1, s1)
    for _ in range(2):
        b1 += c0
        carry1 = U1 if b1 < c0 else U0
        t = c1 + carry1
        b2 += t
        b3 += U1 if b2 < t else U0
    # a - b
    r0 = a0 - b0
    borrow = U1 if a0 < b0 else U0
    r1 = a1 - b1
    next_borrow = U1 if a1 < b1 or (a1 == b1 and borrow) else U0
    r1 -= borrow
    r2 = a2 - b2
    borrow = U1 if a2 < b2 or (a2 == b2 and next_borrow) else U0
    r2 -= next_borrow
    r3 = a3 - b3 - borrow
    if r3 == U0:
        return rounded(r2, r1, r0, False, unit) / divisor
    return rounded(r3, r2, r1, r0 != U0, unit + 64) / divisor
