# mypy: disable-error-code="call-arg, var-annotated, assignment, import-untyped"
"""Numbers in text and back, exactly: what is read is Python's float(text), what is written is Python's repr(value).

Reading: Daniel Lemire, "Number Parsing at a Gigabyte per Second", https://arxiv.org/abs/2101.11408, with the fallback removed as in
Mushtak and Lemire, "Fast Number Parsing Without Fallback". Writing: Raffaello Giulietti, "The Schubfach way to render doubles".
Both need powers of ten to 128 bits; the tables are made here with Python's integers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from connectors.bytes import byte, copy, put

SMALLEST, LARGEST = -342, 308  # decimal exponents outside give 0 and infinity


def _read_table() -> np.ndarray[Any, np.dtype[np.uint64]]:
    rows = []
    for q in range(SMALLEST, LARGEST + 1):
        if q < 0:
            power = 5**-q
            z = (power - 1).bit_length()
            c = 2 ** (z + 127 if q >= -27 else 2 * z + 128) // power + 1
            c >>= max(c.bit_length() - 128, 0)
        else:
            c = 5**q
            c = c << (128 - c.bit_length()) if c.bit_length() <= 128 else c >> (c.bit_length() - 128)
        rows.append((c >> 64, c & (2**64 - 1)))
    return np.array(rows, np.uint64)


def _write_table() -> np.ndarray[Any, np.dtype[np.uint64]]:
    """10^k scaled to 128 bits, rounded up."""
    rows = []
    for k in range(-292, 325):
        if k >= 0:
            c = 10**k
            by = c.bit_length() - 128
            c = c << -by if by <= 0 else -(-c >> by)
        else:
            power = 10**-k
            by = power.bit_length() + 127
            c = -(-(1 << by) // power)
            if c.bit_length() < 128:
                c = -(-(1 << (by + 1)) // power)
        rows.append((c >> 64, c & (2**64 - 1)))
    return np.array(rows, np.uint64)


POWERS_OF_FIVE = _read_table()
POWERS_OF_TEN = _write_table()
EXACT_TENS = np.array([10.0**i for i in range(23)])
FOURS = np.frombuffer("".join(f"{i:04d}" for i in range(10_000)).encode(), np.uint8).copy()
HEADS = np.frombuffer("".join(f"{i:<4d}" for i in range(10_000)).encode(), np.uint8).copy()  # without the zeros before, from the left
WIDTHS = np.array([len(str(i)) for i in range(10_000)])
WORDS = np.frombuffer(b"NaNInfinity0.0", np.uint8).copy()
DECIMALS = np.array([len(f"{i:04d}".rstrip("0")) for i in range(10_000)])  # digits of four after the point, without the zeros behind

U = np.uint64


@intrinsic
def high(typingctx, a, b):  # type: ignore[no-untyped-def]
    """The upper 64 bits of a product of two unsigned 64-bit numbers."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def leading_zeros(typingctx, a):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@intrinsic
def trailing_zeros(typingctx, a):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@intrinsic
def as_float(typingctx, a):  # type: ignore[no-untyped-def]
    """The double of these bits."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.uint64), codegen


@intrinsic
def as_bits(typingctx, a):  # type: ignore[no-untyped-def]
    """The bits of this double."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.IntType(64))

    return types.uint64(types.float64), codegen


@numba.njit(inline="always")
def eight_digits(text):  # type: ignore[no-untyped-def]
    """The number that eight bytes of text are, the first the lowest byte; -1 where one of them is no digit.

    Digits become pairs, fours, and eight, each step for all at once; as in simdjson, https://github.com/simdjson/simdjson.
    """
    if (text & U(0xF0F0F0F0F0F0F0F0)) | (((text + U(0x0606060606060606)) & U(0xF0F0F0F0F0F0F0F0)) >> U(4)) != U(0x3333333333333333):
        return np.int64(-1)
    digits = text - U(0x3030303030303030)
    pairs = digits * U(10) + (digits >> U(8))
    low, high_part = pairs & U(0x000000FF000000FF), (pairs >> U(16)) & U(0x000000FF000000FF)
    return np.int64(((low * U(0x000F424000000064) + high_part * U(0x0000271000000001)) >> U(32)) & U(0xFFFFFFFF))


@numba.njit(nogil=True)
def _round(w, q):  # type: ignore[no-untyped-def]
    """The bits of the double nearest to w * 10^q, ties to even."""
    if w == U(0) or q < SMALLEST:
        return U(0)
    if q > LARGEST:
        return U(0x7FF0000000000000)
    zeros = leading_zeros(w)
    w = w << zeros
    row = q - SMALLEST
    upper = high(w, POWERS_OF_FIVE[row, 0])
    lower = w * POWERS_OF_FIVE[row, 0]
    if upper & U(0x1FF) == U(0x1FF):
        more = high(w, POWERS_OF_FIVE[row, 1])
        lower += more
        if more > lower:
            upper += U(1)
    top = upper >> U(63)
    mantissa = upper >> (top + U(9))
    power = np.int64(((152170 + 65536) * q) >> 16) + 63 + np.int64(top) - np.int64(zeros) + 1023
    if power <= 0:
        if 1 - power >= 64:
            return U(0)
        mantissa >>= U(1 - power)
        mantissa += mantissa & U(1)
        mantissa >>= U(1)
        if mantissa < U(1 << 52):
            return mantissa
        return (mantissa & ~U(1 << 52)) | U(1 << 52)
    if lower <= U(1) and q >= -4 and q <= 23 and mantissa & U(3) == U(1) and (mantissa << (top + U(9))) == upper:
        mantissa &= ~U(1)
    mantissa += mantissa & U(1)
    mantissa >>= U(1)
    if mantissa >= U(2 << 52):
        mantissa = U(1 << 52)
        power += 1
    if power >= 0x7FF:
        return U(0x7FF0000000000000)
    return (mantissa & ~U(1 << 52)) | (U(power) << U(52))


@numba.njit(nogil=True)
def to_double(w, q, negative, cut):  # type: ignore[no-untyped-def]
    """(value, known) of a decimal w * 10^q; with `cut` digits after the nineteenth were left out of w, and it may not be known."""
    if not cut and w <= U(1 << 53) and -22 <= q <= 22:
        value = np.float64(w)
        value = value * EXACT_TENS[q] if q >= 0 else value / EXACT_TENS[-q]
    else:
        bits = _round(w, q)
        if cut and _round(w + U(1), q) != bits:
            return 0.0, False
        value = as_float(bits)
    return (-value if negative else value), True


@numba.njit(inline="always")
def _to_odd(upper, lower, c):  # type: ignore[no-untyped-def]
    x1 = high(lower, c)
    y0 = upper * c
    y1 = high(upper, c)
    y0 += x1
    if y0 < x1:
        y1 += U(1)
    return y1 | U(1 if y0 > U(1) else 0)


@numba.njit(nogil=True)
def shortest(value):  # type: ignore[no-untyped-def]
    """(digits, k): the shortest digits * 10^k that reads as this positive, finite double, the nearest of those."""
    bits = as_bits(value)
    fraction = bits & U((1 << 52) - 1)
    exponent = np.int64(bits >> U(52)) & 0x7FF
    if exponent != 0:
        c = fraction | U(1 << 52)
        q = exponent - 1075
        if -53 < q <= 0 and (c & ((U(1) << U(-q)) - U(1))) == U(0):
            return c >> U(-q), 0
    else:
        c = fraction
        q = np.int64(-1074)
    odd = c & U(1)
    near = 1 if fraction == U(0) and exponent > 1 else 0
    cbl = U(4) * c - U(2) + U(near)
    k = (q * 1262611 - (524031 if near else 0)) >> 22
    h = U(q + ((-k * 1741647) >> 19) + 1)
    upper, lower = POWERS_OF_TEN[-k + 292, 0], POWERS_OF_TEN[-k + 292, 1]
    vbl = _to_odd(upper, lower, cbl << h)
    vb = _to_odd(upper, lower, (U(4) * c) << h)
    vbr = _to_odd(upper, lower, (U(4) * c + U(2)) << h)
    least, most = vbl + odd, vbr - odd
    s = vb >> U(2)
    if s >= U(10):
        sp = s // U(10)
        down = least <= U(40) * sp
        up = U(40) * sp + U(40) <= most
        if down != up:
            return sp + U(1 if up else 0), k + 1
    down = least <= U(4) * s
    up = U(4) * s + U(4) <= most
    if down != up:
        return s + U(1 if up else 0), k
    mid = U(4) * s + U(2)
    round_up = vb > mid or (vb == mid and s & U(1) == U(1))
    return s + U(1 if round_up else 0), k


@numba.njit(inline="always")
def _width(w):  # type: ignore[no-untyped-def]
    n = 0
    while w >= U(10000):
        w //= U(10000)
        n += 4
    return n + WIDTHS[np.int64(w)]


@numba.njit(inline="always")
def _digits(out, p, w, n):  # type: ignore[no-untyped-def]
    """The n digits of w at p."""
    at = p + n
    while w >= U(10000):
        rest = w // U(10000)
        at -= 4
        copy(out, at, FOURS, np.int64(w - rest * U(10000)) * 4, 4)
        w = rest
    least = 4 - (at - p)
    for i in range(at - p):
        put(out, p + i, FOURS[np.int64(w) * 4 + least + i])
    return p + n


@numba.njit(inline="always")
def _natural(out, p, w):  # type: ignore[no-untyped-def]
    """The digits of w; up to 4 bytes behind them are written too."""
    if w < U(10000):
        copy(out, p, HEADS, np.int64(w) * 4, 4)
        return p + WIDTHS[np.int64(w)]
    return _digits(out, p, w, _width(w))


@numba.njit(inline="always")
def write_int(out, p, value):  # type: ignore[no-untyped-def]
    """At most 20 bytes."""
    w = U(value)
    if value < 0:
        put(out, p, 45)
        p += 1
        w = U(0) - w
    return _natural(out, p, w)


@numba.njit(inline="always")
def _write_decimal(out, p, value):  # type: ignore[no-untyped-def]
    """A positive double that is a decimal of at most 15 digits, 4 of them after the point; for any other nothing is written, and p comes
    back.

    No two decimals of up to 15 digits read as the same double, so that such a one is the shortest there is. The quotient of two whole
    doubles is the double nearest to the decimal, which is how it reads.
    """
    if not 0.0001 <= value < 1e11:
        return p
    scaled = np.rint(value * 10000.0)
    if scaled / 10000.0 != value:
        return p
    w = U(scaled)
    whole = w // U(10000)
    after = np.int64(w - whole * U(10000))
    p = _natural(out, p, whole)
    put(out, p, 46)
    copy(out, p + 1, FOURS, after * 4, 4)
    return p + 1 + max(DECIMALS[after], 1)


@numba.njit(nogil=True)
def write_double(out, p, value):  # type: ignore[no-untyped-def]
    """As Python's repr; NaN, Infinity, -Infinity are bare. At most 25 bytes."""
    if value != value:
        copy(out, p, WORDS, 0, 3)
        return p + 3
    if as_bits(value) >> U(63):
        put(out, p, 45)
        p += 1
        value = -value
    if value == np.inf:
        copy(out, p, WORDS, 3, 8)
        return p + 8
    if value == 0.0:
        copy(out, p, WORDS, 11, 3)
        return p + 3
    after = _write_decimal(out, p, value)
    if after != p:
        return after
    w, k = shortest(value)
    while k < 0 and w % U(10) == U(0):  # 2.50 is 2.5
        w //= U(10)
        k += 1
    n = _width(w)
    point = n + k  # digits before the point
    if 0 < point <= 16:
        if k >= 0:
            p = _digits(out, p, w, n)
            for _ in range(k):
                put(out, p, 48)
                p += 1
            put(out, p, 46)
            put(out, p + 1, 48)
            return p + 2
        _digits(out, p + 1, w, n)  # one further, then the whole part moves back before the point
        for i in range(point):
            put(out, p + i, byte(out, p + i + 1))
        put(out, p + point, 46)
        return p + n + 1
    if -4 < point <= 0:
        put(out, p, 48)
        put(out, p + 1, 46)
        p += 2
        for _ in range(-point):
            put(out, p, 48)
            p += 1
        return _digits(out, p, w, n)
    while w % U(10) == U(0):
        w //= U(10)
        n -= 1
    power = point - 1
    if n == 1:
        p = _digits(out, p, w, 1)
    else:
        _digits(out, p + 1, w, n)
        put(out, p, byte(out, p + 1))
        put(out, p + 1, 46)
        p += n + 1
    put(out, p, 101)
    put(out, p + 1, 45 if power < 0 else 43)
    p += 2
    power = abs(power)
    if power < 10:
        put(out, p, 48)
        p += 1
    return _digits(out, p, U(power), _width(U(power)))
