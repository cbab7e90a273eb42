"""Zigzag varints inside compiled loops, as records of Kafka and of Avro have them. A buffer is an array of bytes or its address."""

from __future__ import annotations

import numba
import numpy as np

from connectors.bytes import byte, put

U = np.uint64


@numba.njit(inline="always")
def read_varint(buffer, p, end):  # type: ignore[no-untyped-def]
    """The value and the position after it; the position is -1 where the varint runs over the end."""
    shift = 0
    value = U(0)
    while p < end and shift < 70:
        seven = U(byte(buffer, p))
        p += 1
        value |= (seven & U(0x7F)) << U(shift)
        if seven < U(128):
            return np.int64(value >> U(1)) ^ -np.int64(value & U(1)), p
        shift += 7
    return np.int64(0), np.int64(-1)


@numba.njit(inline="always")
def write_varint(out, p, value):  # type: ignore[no-untyped-def]
    """The position after it; at most 10 bytes."""
    z = (U(value) << U(1)) ^ U(value >> 63)
    while z >= U(128):
        put(out, p, np.uint8((z & U(0x7F)) | U(0x80)))
        p += 1
        z >>= U(7)
    put(out, p, np.uint8(z))
    return p + 1
