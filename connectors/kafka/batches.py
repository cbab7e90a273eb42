"""Record batches of message format v2, decoded from and encoded to columns by numba.

https://kafka.apache.org/documentation/#recordbatch gives the layout; records are varints, so each is walked, but never becomes
a Python object.
"""

from __future__ import annotations

import gzip
import zlib

import lz4.frame
import numba
import numpy as np
import numpy.typing as npt
import snappy
import zstandard

from connectors.bytes import copy
from connectors.varints import read_varint, write_varint
from streams.types import Int64

UInt8 = npt.NDArray[np.uint8]

HEADER = 61  # bytes before the records
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {None: NONE, "none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20

# columns of what `scan` finds, one row a batch
POSITION, SIZE, MAGIC, CRC, ATTRIBUTES, BASE_OFFSET, LAST_DELTA, FIRST_TIME, MAX_TIME, PRODUCER, COUNT, EPOCH = range(12)


@numba.njit(inline="always")
def _big_endian(buffer, at, size):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    for i in range(size):
        value = (value << 8) | np.int64(buffer[at + i])
    if size < 8 and value >= (np.int64(1) << (8 * size - 1)):
        value -= np.int64(1) << (8 * size)
    return value


@numba.njit(cache=True, nogil=True)
def scan(buffer, found):  # type: ignore[no-untyped-def]
    """Fill `found` (rows x 12) with the headers of the whole batches in the buffer; gives (batches, position after them).

    A batch cut off at the end of a fetch is left out; one older than v2 has only position, size and magic.
    """
    n = 0
    at = np.int64(0)
    end = len(buffer)
    while at + 17 <= end and n < len(found):
        size = 12 + _big_endian(buffer, at + 8, 4)
        if size < 26 or at + size > end:
            break
        row = found[n]
        row[0] = at
        row[1] = size
        row[2] = buffer[at + 16]
        row[5] = _big_endian(buffer, at, 8)
        if row[2] == 2:
            if size < 61:
                break
            row[11] = _big_endian(buffer, at + 12, 4)
            row[3] = _big_endian(buffer, at + 17, 4) & 0xFFFFFFFF
            row[4] = _big_endian(buffer, at + 21, 2)
            row[6] = _big_endian(buffer, at + 23, 4)
            row[7] = _big_endian(buffer, at + 27, 8)
            row[8] = _big_endian(buffer, at + 35, 8)
            row[9] = _big_endian(buffer, at + 43, 8)
            row[10] = _big_endian(buffer, at + 57, 4)
        n += 1
        at += size
    return n, at


@numba.njit(cache=True, nogil=True)
def decode(buffer, batches, offset, timestamp, key_at, key_len, value_at, value_len, header_at, header_count):  # type: ignore[no-untyped-def]
    """The records of the batches, each a row (position of its records, end, count, base offset, base time, append time or -1).

    Gives -1, or the number of the batch that is no valid record batch.
    """
    i = 0
    for b in range(len(batches)):
        p = batches[b, 0]
        limit = batches[b, 1]
        base_offset = batches[b, 3]
        base_time = batches[b, 4]
        append_time = batches[b, 5]
        if batches[b, 2] < 0:
            return b
        for _ in range(batches[b, 2]):
            length, p = read_varint(buffer, p, limit)
            if p < 0 or length < 0 or length > limit - p:
                return b
            end = p + length
            p += 1  # attributes, unused by the protocol
            delta, p = read_varint(buffer, p, end)
            if p < 0:
                return b
            timestamp[i] = append_time if append_time >= 0 else base_time + delta
            delta, p = read_varint(buffer, p, end)
            if p < 0:
                return b
            offset[i] = base_offset + delta
            n, p = read_varint(buffer, p, end)
            if p < 0 or n > end - p:
                return b
            key_at[i] = p
            key_len[i] = n if n >= 0 else -1
            p += max(n, 0)
            n, p = read_varint(buffer, p, end)
            if p < 0 or n > end - p:
                return b
            value_at[i] = p
            value_len[i] = n if n >= 0 else -1
            p += max(n, 0)
            n, p = read_varint(buffer, p, end)
            if p < 0 or n < 0:
                return b
            header_at[i] = p
            header_count[i] = n
            for _h in range(n):
                size, p = read_varint(buffer, p, end)
                if p < 0 or size < 0 or size > end - p:
                    return b
                size, p = read_varint(buffer, p + size, end)
                if p < 0 or size > end - p:
                    return b
                p += max(size, 0)
            if p != end:
                return b
            i += 1
        if p != limit:
            return b
    return -1


@numba.njit(inline="always")
def _varint_size(value):  # type: ignore[no-untyped-def]
    z = (np.uint64(value) << np.uint64(1)) ^ np.uint64(value >> 63)
    n = 1
    while z >= 128:
        z >>= np.uint64(7)
        n += 1
    return n


@numba.njit(cache=True, nogil=True)
def cut(timestamp, key_len, value_len, header_len, target, limit):  # type: ignore[no-untyped-def]
    """Where batches begin, so that each is at most `target` bytes (a larger record has one of its own).

    Gives (first row of each, bytes that each has at most, row) where row is the first record that cannot fit `limit` bytes even alone, or -1.
    """
    cuts, sizes = np.empty(len(timestamp), np.int64), np.empty(len(timestamp), np.int64)
    n = 0
    size = 0
    base = np.int64(0)
    first = 0
    for i in range(len(timestamp)):
        k, v = key_len[i], value_len[i]
        if i > first:
            d, ts = i - first, timestamp[i] - base
        else:
            d, ts = 0, 0
        body = 1 + _varint_size(ts) + _varint_size(d) + _varint_size(k) + max(k, 0) + _varint_size(v) + max(v, 0) + header_len[i]
        body += _varint_size(body)
        if HEADER + 5 + body > limit:
            return cuts[:n], sizes[:n], i
        if i == 0 or size + body > target:
            cuts[n] = i
            n += 1
            first = i
            base = timestamp[i]
            size = HEADER + body + 16
        else:
            size += body
        sizes[n - 1] = size
    return cuts[:n], sizes[:n], -1


@numba.njit(cache=True, nogil=True)
def encode(out, p, timestamp, keys, key_at, key_len, values, value_at, value_len, heads, head_at, head_len, first, last):  # type: ignore[no-untyped-def]
    """Records first..last-1 of the columns as the body of one record batch; gives (end, greatest timestamp).

    `heads[head_at[i] : head_at[i] + head_len[i]]` are a record's encoded headers with their count.
    """
    base = timestamp[first]
    newest = base
    for i in range(first, last):
        delta, ts, k, v, h = i - first, timestamp[i] - base, key_len[i], value_len[i], head_len[i]
        newest = max(newest, timestamp[i])
        size = 1 + _varint_size(ts) + _varint_size(delta) + _varint_size(k) + max(k, 0) + _varint_size(v) + max(v, 0) + h
        p = write_varint(out, p, size)
        out[p] = 0
        p = write_varint(out, p + 1, ts)
        p = write_varint(out, p, delta)
        p = write_varint(out, p, k)
        if k > 0:
            at = key_at[i]
            copy(out, p, keys, at, k)
            p += k
        p = write_varint(out, p, v)
        if v > 0:
            at = value_at[i]
            copy(out, p, values, at, v)
            p += v
        at = head_at[i]
        for j in range(h):
            out[p + j] = heads[at + j]
        p += h
    return p, newest


def varint(value: int) -> bytes:
    """A zigzag varint."""
    z = (value << 1) ^ (value >> 63)
    out = bytearray()
    while z >= 128:
        out.append((z & 0x7F) | 0x80)
        z >>= 7
    out.append(z)
    return bytes(out)


def encode_headers(rows: list[list[tuple[str, bytes | None]] | None] | None, count: int) -> tuple[UInt8, Int64, Int64]:
    """(buffer, start, length) of the encoded headers of each record; those without share one zero byte."""
    start, length = np.zeros(count, np.int64), np.ones(count, np.int64)
    out = bytearray(b"\x00")
    if rows is not None:
        if len(rows) != count:
            raise ValueError(f"{len(rows)} rows of headers for {count} records")
        for i, row in enumerate(rows):
            if not row:
                continue
            start[i] = len(out)
            out += varint(len(row))
            for name, value in row:
                encoded = name.encode()
                out += varint(len(encoded)) + encoded
                out += varint(-1) if value is None else varint(len(value)) + value
            length[i] = len(out) - start[i]
    return np.frombuffer(bytes(out), np.uint8), start, length


def decompress(codec: int, data: memoryview) -> bytes:
    """The records of one compressed batch; ValueError where the data is no such stream."""
    try:
        if codec == GZIP:
            return gzip.decompress(data)
        if codec == LZ4:
            return lz4.frame.decompress(data)  # type: ignore[no-any-return]
        if codec == ZSTD:
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)  # frames by streams do not state their size
        if codec == SNAPPY:
            return _snappy(data)
    except (RuntimeError, OSError, EOFError, MemoryError, zlib.error, zstandard.ZstdError, snappy.UncompressError) as error:
        raise ValueError(str(error)) from error
    raise ValueError(f"compression codec {codec} is unknown; known are gzip, snappy, lz4 and zstd")


def _snappy(data: memoryview) -> bytes:
    """Snappy, raw (librdkafka) or in the blocks of xerial's stream (Java)."""
    if bytes(data[:8]) != b"\x82SNAPPY\x00":
        return snappy.decompress(bytes(data))  # type: ignore[no-any-return]
    parts, at = [], 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append(snappy.decompress(bytes(data[at + 4 : at + 4 + size])))
        at += 4 + size
    return b"".join(parts)
