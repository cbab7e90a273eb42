"""Sums of any length: rounding to the nearest float64, and arithmetic in digits of 32 bits where four words are not enough."""

from __future__ import annotations

import math

import numba
import numpy as np

from streams.features.kernel.words import MASK, U0, U1, U11, U32, U64, leading_zeros, power, product

# Where what stands in an entry of a key's state (exact.py).
NVALUES, ODD, ODD2, WIDE, SUM, SQUARES, ENTRY = 0, 1, 2, 3, 4, 8, 16
UNIT = -74
WIDE_SUM, WIDE_SQUARES = 70, 136  # words
WIDE_WORDS = WIDE_SUM + WIDE_SQUARES
WIDE_UNIT = UNIT - 1024


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
def wide_total(state, at, wide, row):  # type: ignore[no-untyped-def]
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
def long_variance(state, at, n, unit):  # type: ignore[no-untyped-def]
    sums, _ = _carried(_joined(state, at + SUM, 0, state, at + SUM, 4), 4)
    squares, _ = _carried(_joined(state, at + SQUARES, 0, state, at + SQUARES, 8), 8)
    return _spread_of(sums, squares, n, unit)


@numba.njit
def wide_variance(state, at, n, wide, row):  # type: ignore[no-untyped-def]
    sums, _ = _carried(_joined(state, at + SUM, 4, wide, row, WIDE_SUM), WIDE_SUM)
    squares, _ = _carried(_joined(state, at + SQUARES, 8, wide, row + WIDE_SUM, WIDE_SQUARES), WIDE_SQUARES)
    return _spread_of(sums, squares, n, 2 * WIDE_UNIT)
