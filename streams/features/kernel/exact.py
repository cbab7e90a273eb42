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

import math

import numba
import numpy as np

from streams.features.kernel.words import MASK, U0, U1, U11, U32, U63, U64, leading_zeros, power, product

NVALUES, ODD, ODD2, WIDE, SUM, SQUARES, ENTRY = 0, 1, 2, 3, 4, 8, 16
UNIT = -74
WIDE_SUM, WIDE_SQUARES = 70, 136  # words
WIDE_WORDS = WIDE_SUM + WIDE_SQUARES
WIDE_UNIT = UNIT - 1024


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
def rounded(high, middle, low, sticky, exponent):  # type: ignore[no-untyped-def]
    """The float64 nearest to (192 bits, and something below them if `sticky`) * 2 ** exponent; ties to even; the result not subnormal."""
    if high == U0:
        high, middle, low = middle, low, U0
        exponent -= 64
        if high == U0:
            high, middle = middle, U0
            exponent -= 64
            if high == U0:
                return 0.0
    zeros = leading_zeros(high)
    if zeros > U0:
        high = (high << zeros) | (middle >> (U64 - zeros))
        middle = (middle << zeros) | (low >> (U64 - zeros))
        low <<= zeros
    mantissa = high >> U11
    rest = high & np.uint64(0x7FF)
    half = np.uint64(0x400)
    if rest > half or (rest == half and (sticky or middle != U0 or low != U0 or mantissa & U1)):
        mantissa += U1
    exponent += 128 + 11 - np.int64(zeros)
    if -1000 <= exponent <= 900:
        return np.float64(np.int64(mantissa)) * power(exponent)
    return math.ldexp(np.float64(np.int64(mantissa)), exponent)


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
        return _wide_total(state, at, wide, state[at + WIDE] * WIDE_WORDS)
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
        return _wide_variance(state, at, n, wide, state[at + WIDE] * WIDE_WORDS) / divisor
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
        return _long_variance(state, at, n, unit) / divisor
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


# ---------------------------------------------------------------- where four words are not enough


@numba.njit
def _carried(words, n):  # type: ignore[no-untyped-def]
    """Words to 32-bit digits, lowest first, as uint64; True if negative (the digits are the magnitude's)."""
    digits = np.empty(n + 2, np.uint64)
    carry = np.int64(0)
    for i in range(n):
        carry += words[i]
        digits[i] = np.uint64(carry) & MASK
        carry >>= 32
    digits[n] = np.uint64(carry) & MASK
    digits[n + 1] = np.uint64(carry >> 32) & MASK
    negative = carry < 0
    if negative:
        one = U1
        for i in range(n + 2):
            t = (~digits[i] & MASK) + one
            digits[i] = t & MASK
            one = t >> U32
    return digits, negative


@numba.njit
def _rounded_digits(digits, exponent):  # type: ignore[no-untyped-def]
    top = len(digits) - 1
    while top >= 0 and digits[top] == U0:
        top -= 1
    if top < 0:
        return 0.0
    w = np.zeros(6, np.uint64)  # the top six digits
    for i in range(6):
        if top - i >= 0:
            w[i] = digits[top - i]
    sticky = False
    for i in range(top - 5):
        sticky = sticky or digits[i] != U0
    return rounded((w[0] << U32) | w[1], (w[2] << U32) | w[3], (w[4] << U32) | w[5], sticky, exponent + 32 * (top - 5))


@numba.njit
def _joined(state, at, count, wide, row, size):  # type: ignore[no-untyped-def]
    """The narrow words at `at` and the wide ones at `row`, in one: a wide unit is 2 ** 1024 times finer (its square 2 ** 2048)."""
    words = np.empty(size, np.int64)
    for i in range(size):
        words[i] = wide[row + i]
    for i in range(count):
        words[8 * count + i] += state[at + i]
    return words


@numba.njit
def _wide_total(state, at, wide, row):  # type: ignore[no-untyped-def]
    words = _joined(state, at + SUM, 4, wide, row, WIDE_SUM)
    digits, negative = _carried(words, WIDE_SUM)
    value = _rounded_digits(digits, WIDE_UNIT)
    return -value if negative else value


@numba.njit
def _spread_of(sums, squares, n, unit):  # type: ignore[no-untyped-def]
    """n * squares - sums ** 2 from digits."""
    size = max(2 * len(sums), len(squares) + 2)
    scaled = np.zeros(size, np.uint64)
    carry = U0
    for i in range(size):
        if i < len(squares):
            high, low = product(squares[i], np.uint64(n))
            low += carry
            high += U1 if low < carry else U0
        else:
            high, low = U0, carry
        scaled[i] = low & MASK
        carry = (low >> U32) | (high << U32)
    product_ = np.zeros(size + 1, np.uint64)
    for i in range(len(sums)):
        if sums[i] == U0:
            continue
        carry = U0
        for j in range(len(sums)):
            t = sums[i] * sums[j] + product_[i + j] + carry
            product_[i + j] = t & MASK
            carry = t >> U32
        j = i + len(sums)
        while carry:
            t = product_[j] + carry
            product_[j] = t & MASK
            carry = t >> U32
            j += 1
    borrow = U0
    for i in range(size):
        t = scaled[i] - product_[i] - borrow
        scaled[i] = t & MASK
        borrow = (t >> U32) & U1
    return _rounded_digits(scaled, unit)


@numba.njit
def _long_variance(state, at, n, unit):  # type: ignore[no-untyped-def]
    sums, _ = _carried(_joined(state, at + SUM, 0, state, at + SUM, 4), 4)
    squares, _ = _carried(_joined(state, at + SQUARES, 0, state, at + SQUARES, 8), 8)
    return _spread_of(sums, squares, n, unit)


@numba.njit
def _wide_variance(state, at, n, wide, row):  # type: ignore[no-untyped-def]
    sums, _ = _carried(_joined(state, at + SUM, 4, wide, row, WIDE_SUM), WIDE_SUM)
    squares, _ = _carried(_joined(state, at + SQUARES, 8, wide, row + WIDE_SUM, WIDE_SQUARES), WIDE_SQUARES)
    return _spread_of(sums, squares, n, 2 * WIDE_UNIT)
