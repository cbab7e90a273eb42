"""FarmHash Fingerprint64 (farmhashna), the hash of `hash64` and `discrete`: Google's published algorithm, the same on every machine.

Reference: github google/farmhash, MIT licence; the numbers below are its constants.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_M = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def fingerprint64(data: bytes) -> int:
    """The unsigned 64-bit fingerprint.

    >>> fingerprint64(b"")
    11160318154034397263
    """
    n = len(data)
    if n <= 16:
        return _short(data, n)
    if n <= 32:
        return _middle(data, n)
    if n <= 64:
        return _longer(data, n)
    return _long(data, n)


def signed(data: bytes) -> int:
    """The fingerprint as a BIGINT."""
    value = fingerprint64(data)
    return value - (1 << 64) if value >> 63 else value


def of_integers(values: Iterable[int | None], size: int) -> list[int | None]:
    """The fingerprints of little-endian integers of `size` bytes."""
    return [None if value is None else signed(value.to_bytes(size, "little", signed=True)) for value in values]


def of_floats(values: Iterable[float | None], form: str) -> list[int | None]:
    return [None if value is None else signed(struct.pack(form, value)) for value in values]


def of_texts(values: Iterable[str | None]) -> list[int | None]:
    return [None if value is None else signed(value.encode()) for value in values]


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _rotate(value: int, by: int) -> int:
    return ((value >> by) | (value << (64 - by))) & _M


def _mix(value: int) -> int:
    return value ^ (value >> 47)


def _two(u: int, v: int, mul: int) -> int:
    a = ((u ^ v) * mul) & _M
    a ^= a >> 47
    b = ((v ^ a) * mul) & _M
    b ^= b >> 47
    return (b * mul) & _M


def _short(s: bytes, n: int) -> int:
    if n >= 8:
        mul = (_K2 + n * 2) & _M
        a = (_u64(s, 0) + _K2) & _M
        b = _u64(s, n - 8)
        c = (_rotate(b, 37) * mul + a) & _M
        d = ((_rotate(a, 25) + b) * mul) & _M
        return _two(c, d, mul)
    if n >= 4:
        mul = (_K2 + n * 2) & _M
        return _two((n + (_u32(s, 0) << 3)) & _M, _u32(s, n - 4), mul)
    if n > 0:
        y = s[0] + (s[n >> 1] << 8)
        z = n + (s[n - 1] << 2)
        return (_mix((y * _K2 ^ z * _K0) & _M) * _K2) & _M
    return _K2


def _middle(s: bytes, n: int) -> int:
    mul = (_K2 + n * 2) & _M
    a = (_u64(s, 0) * _K1) & _M
    b = _u64(s, 8)
    c = (_u64(s, n - 8) * mul) & _M
    d = (_u64(s, n - 16) * _K2) & _M
    return _two((_rotate((a + b) & _M, 43) + _rotate(c, 30) + d) & _M, (a + _rotate((b + _K2) & _M, 18) + c) & _M, mul)


def _longer(s: bytes, n: int) -> int:
    mul = (_K2 + n * 2) & _M
    a = (_u64(s, 0) * _K2) & _M
    b = _u64(s, 8)
    c = (_u64(s, n - 8) * mul) & _M
    d = (_u64(s, n - 16) * _K2) & _M
    y = (_rotate((a + b) & _M, 43) + _rotate(c, 30) + d) & _M
    z = _two(y, (a + _rotate((b + _K2) & _M, 18) + c) & _M, mul)
    e = (_u64(s, 16) * mul) & _M
    f = _u64(s, 24)
    g = ((y + _u64(s, n - 32)) * mul) & _M
    h = ((z + _u64(s, n - 24)) * mul) & _M
    return _two((_rotate((e + f) & _M, 43) + _rotate(g, 30) + h) & _M, (e + _rotate((f + a) & _M, 18) + g) & _M, mul)


def _weak(s: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_u64(s, at + 8 * i) for i in range(4))
    a = (a + w) & _M
    b = _rotate((b + a + z) & _M, 21)
    c = a
    a = (a + x + y) & _M
    b = (b + _rotate(a, 44)) & _M
    return (a + z) & _M, (b + c) & _M


def _long(s: bytes, n: int) -> int:
    x = 81
    y = (81 * _K1 + 113) & _M
    z = (_mix((y * _K2 + 113) & _M) * _K2) & _M
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + _u64(s, 0)) & _M
    end = ((n - 1) // 64) * 64
    last = end + ((n - 1) & 63) - 63
    at = 0
    while True:
        x = (_rotate((x + y + v[0] + _u64(s, at + 8)) & _M, 37) * _K1) & _M
        y = (_rotate((y + v[1] + _u64(s, at + 48)) & _M, 42) * _K1) & _M
        x ^= w[1]
        y = (y + v[0] + _u64(s, at + 40)) & _M
        z = (_rotate((z + w[0]) & _M, 33) * _K1) & _M
        v = _weak(s, at, (v[1] * _K1) & _M, (x + w[0]) & _M)
        w = _weak(s, at + 32, (z + w[1]) & _M, (y + _u64(s, at + 16)) & _M)
        z, x = x, z
        at += 64
        if at == end:
            break
    mul = (_K1 + ((z & 0xFF) << 1)) & _M
    at = last
    w = ((w[0] + ((n - 1) & 63)) & _M, w[1])
    v = ((v[0] + w[0]) & _M, v[1])
    w = ((w[0] + v[0]) & _M, w[1])
    x = (_rotate((x + y + v[0] + _u64(s, at + 8)) & _M, 37) * mul) & _M
    y = (_rotate((y + v[1] + _u64(s, at + 48)) & _M, 42) * mul) & _M
    x ^= (w[1] * 9) & _M
    y = (y + v[0] * 9 + _u64(s, at + 40)) & _M
    z = (_rotate((z + w[0]) & _M, 33) * mul) & _M
    v = _weak(s, at, (v[1] * mul) & _M, (x + w[0]) & _M)
    w = _weak(s, at + 32, (z + w[1]) & _M, (y + _u64(s, at + 16)) & _M)
    z, x = x, z
    return _two((_two(v[0], w[0], mul) + _mix(y) * _K0 + z) & _M, (_two(v[1], w[1], mul) + x) & _M, mul)
