# mypy: disable-error-code="call-arg, var-annotated, assignment, import-untyped"
"""Flat Avro records straight into typed columns and back, one pass over the bytes."""

from __future__ import annotations

import numba
import numpy as np

from connectors.bytes import TOP, byte, copy, eight, put
from connectors.formats.json_scan import wide
from connectors.formats.numbers import as_bits, as_float
from connectors.varints import read_varint, write_varint

NULL, BOOLEAN, INT, LONG, FLOAT, DOUBLE, STRING, BYTES, ENUM, FIXED = range(10)  # how a field is written
SKIP, INTS, FLOATS, TEXTS = range(4)  # where it goes
OK, SHORT, LEFT_OVER, BRANCH, SYMBOL, NO_TEXT, RANGE = range(7)  # what was found
U = np.uint64


@numba.njit(nogil=True)
def _is_text(buffer, p, end):  # type: ignore[no-untyped-def]
    while p < end:
        if p + 8 <= end and eight(buffer, p) & TOP == U(0):
            p += 8
        elif byte(buffer, p) < 128:
            p += 1
        else:
            p = wide(buffer, p, end)
            if p < 0:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def decode(  # type: ignore[no-untyped-def]
    buffer, rows, start, length, kinds, nulls, stores, slots, fields, divide, sizes, least, most, symbols, ints, floats, text_at, text_len,
    valid, status, where,
):  # fmt: skip
    """Read the records `rows` by a writer's fields, in the order they are written. `buffer` is an address.

    For field f of the writer: kinds[f]; nulls[f] is the branch of null in its union (-1: no union, 2: a union of one); stores[f] and
    slots[f] say where the value goes, fields[f] which column it is; divide[f] scales it; sizes[f] is a fixed's size or the first row of
    an enum's `symbols` (place, length), of which it has sizes' next. status[i] becomes OK or why not, where[i] the writer's field.
    """
    for r in range(len(rows)):
        i = rows[r]
        p, end = start[i], start[i] + length[i]
        found = OK
        f = 0
        for f in range(len(kinds)):
            kind = kinds[f]
            if nulls[f] >= 0:
                branch, p = read_varint(buffer, p, end)
                if p < 0:
                    found = SHORT
                    break
                if branch < 0 or branch > 1 or (nulls[f] == 2 and branch == 1):
                    found = BRANCH
                    break
                if branch == nulls[f]:
                    kind = NULL
            store, slot = stores[f], slots[f]
            if kind == NULL:
                if store != SKIP:
                    valid[fields[f], i] = 0
                continue
            number = np.int64(0)
            if kind == BOOLEAN:
                if p >= end:
                    found = SHORT
                    break
                number = np.int64(byte(buffer, p))
                p += 1
                if number > 1:
                    found = RANGE
                    break
            elif kind in (FLOAT, DOUBLE):
                size = 4 if kind == FLOAT else 8
                if size > end - p:
                    found = SHORT
                    break
                if store == FLOATS:
                    if kind == FLOAT:
                        bits = U(0)
                        for j in range(4):
                            bits |= U(byte(buffer, p + j)) << U(8 * j)
                        floats[slot, i] = _single(bits)
                    else:
                        floats[slot, i] = as_float(eight(buffer, p))
                    valid[fields[f], i] = 1
                p += size
                continue
            elif kind == FIXED:
                if sizes[f] > end - p:
                    found = SHORT
                    break
                p += sizes[f]
                continue
            else:
                number, p = read_varint(buffer, p, end)
                if p < 0:
                    found = SHORT
                    break
                if kind == INT and (number < -2147483648 or number > 2147483647):
                    found = RANGE
                    break
            if kind in (STRING, BYTES):
                if number < 0 or number > end - p:
                    found = SHORT
                    break
                if (store == TEXTS or kind == STRING) and not _is_text(buffer, p, p + number):
                    found = NO_TEXT
                    break
                if store == TEXTS:
                    text_at[slot, i], text_len[slot, i] = p, number
                    valid[fields[f], i] = 1
                p += number
            elif kind == ENUM:
                if number < 0 or number >= symbols[sizes[f], 1]:
                    found = SYMBOL
                    break
                if store == TEXTS:
                    at = sizes[f] + 1 + number
                    text_at[slot, i], text_len[slot, i] = symbols[at, 0], symbols[at, 1]
                    valid[fields[f], i] = 1
            elif store == INTS:
                if divide[f] > 1:
                    number //= divide[f]
                if number < least[f] or number > most[f]:
                    found = RANGE
                    break
                ints[slot, i] = number
                valid[fields[f], i] = 1
            elif store == FLOATS:
                floats[slot, i] = number
                valid[fields[f], i] = 1
        if found == OK and p != end:
            found = LEFT_OVER
        status[i] = found
        where[i] = f


@numba.njit(nogil=True)
def _single(bits):  # type: ignore[no-untyped-def]
    """The double of a float's bits."""
    sign = -1.0 if bits >> U(31) else 1.0
    exponent = np.int64(bits >> U(23)) & 0xFF
    fraction = bits & U(0x7FFFFF)
    if exponent == 255:
        return np.nan if fraction != U(0) else sign * np.inf
    if exponent == 0:
        return sign * np.float64(fraction) * 2.0**-149
    return as_float((bits >> U(31)) << U(63) | (U(exponent + 896) << U(52)) | (fraction << U(29)))


@numba.njit(cache=True, nogil=True)
def encode(head, kinds, slots, nullable, singles, ints, floats, texts, text_at, text_len, valid, out, ends):  # type: ignore[no-untyped-def]
    """Rows as Avro records behind `head`; a nullable field is a union of null and its type. singles: the floats as bits of a float.

    `texts` and `out` are addresses.
    """
    p = 0
    for i in range(len(ends)):
        copy(out, p, head, 0, len(head))
        p += len(head)
        for c in range(len(kinds)):
            kind, slot = kinds[c], slots[c]
            if nullable[c]:
                put(out, p, 2 if valid[c, i] else 0)
                p += 1
                if not valid[c, i]:
                    continue
            if kind == BOOLEAN:
                put(out, p, 1 if ints[slot, i] else 0)
                p += 1
            elif kind == DOUBLE:
                bits = as_bits(floats[slot, i])
                for j in range(8):
                    put(out, p + j, np.uint8((bits >> U(8 * j)) & U(0xFF)))
                p += 8
            elif kind == FLOAT:
                bits = U(singles[slot, i])
                for j in range(4):
                    put(out, p + j, np.uint8((bits >> U(8 * j)) & U(0xFF)))
                p += 4
            elif kind == STRING:
                p = write_varint(out, p, text_len[slot, i])
                copy(out, p, texts, text_at[slot, i], text_len[slot, i])
                p += text_len[slot, i]
            else:
                p = write_varint(out, p, ints[slot, i])
        ends[i] = p
    return p
