"""Which bucket a key belongs to: a hash that is the same on every machine and in every version of a job."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.kafka.columns import Bytes
from streams.types import Int64

UInt64 = npt.NDArray[np.uint64]
NULL = np.uint64(0x9E3779B97F4A7C15)


def bucket_of(keys: pa.Table, buckets: int) -> Int64:
    """The bucket of each row. Numbers that are equal fall together whatever their types; NULL is a key of its own."""
    found = np.zeros(keys.num_rows, np.uint64)
    for column in keys.columns:
        found = _mixed(found * np.uint64(31) + _hashed(column.combine_chunks()))
    return (found % np.uint64(buckets)).astype(np.int64)


def _hashed(column: pa.Array | pa.ChunkedArray) -> UInt64:
    kind = column.type
    if pa.types.is_string(kind):
        texts = Bytes.from_arrow(column)
        return _texts(texts.buffer, texts.start, texts.length)
    if pa.types.is_floating(kind):
        bits = _floats(column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False))
    elif pa.types.is_null(kind):
        return np.full(len(column), NULL)
    else:
        if pa.types.is_date(kind):
            column = column.cast(pa.int32())
        bits = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    found = _mixed(np.ascontiguousarray(bits).view(np.uint64))
    found[column.is_null().to_numpy(zero_copy_only=False)] = NULL
    return found


def _floats(values: npt.NDArray[np.float64]) -> Int64:
    values = np.where(np.isnan(values), np.nan, values)  # of many bit patterns one
    whole = (np.floor(values) == values) & (np.abs(values) < 2.0**62)
    return np.where(whole, np.where(whole, values, 0.0).astype(np.int64), np.ascontiguousarray(values).view(np.int64))


def _mixed(bits: UInt64) -> UInt64:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _texts(buffer: npt.NDArray[np.uint8], start: Int64, length: Int64) -> UInt64:
    """FNV-1a of each text."""
    found = np.empty(len(start), np.uint64)
    for row in range(len(start)):
        if length[row] < 0:
            found[row] = np.uint64(0x9E3779B97F4A7C15)
            continue
        bits = np.uint64(0xCBF29CE484222325)
        for at in range(start[row], start[row] + length[row]):
            bits = (bits ^ np.uint64(buffer[at])) * np.uint64(0x100000001B3)
        found[row] = bits
    return found
