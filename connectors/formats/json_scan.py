# mypy: disable-error-code="assignment, call-arg"
"""Flat JSON objects straight into typed columns, one pass over the bytes.

Only what is plainly right is decided here. A record with anything unusual (escapes, nested values, a type that does not fit, more
digits than can be rounded with certainty, bytes that are no UTF-8, a field that may not be missing) is marked and read again, exactly,
by json.py; so what a record means never depends on which of the two read it.
"""

from __future__ import annotations

import numba
import numpy as np

from connectors.bytes import EACH, TOP, byte, eight
from connectors.formats.cells import BOOL, DATE, DOUBLE, INTEGER, TEXT
from connectors.formats.numbers import eight_digits, to_double, trailing_zeros
from connectors.formats.times import days_of

U = np.uint64
CONTROLS, QUOTES, BACKSLASHES = U(0x20) * EACH, U(34) * EACH, U(92) * EACH


@numba.njit(inline="always")
def _space(buffer, p, end):  # type: ignore[no-untyped-def]
    while p < end and (byte(buffer, p) == 32 or byte(buffer, p) == 10 or byte(buffer, p) == 13 or byte(buffer, p) == 9):
        p += 1
    return p


@numba.njit(nogil=True)
def wide(buffer, p, end):  # type: ignore[no-untyped-def]
    """The position after one UTF-8 sequence of two to four bytes, -1 where it is none."""
    a = byte(buffer, p)
    if a < 0xC2 or a > 0xF4:
        return np.int64(-1)
    n = 2 if a < 0xE0 else 3 if a < 0xF0 else 4
    if p + n > end:
        return np.int64(-1)
    b = byte(buffer, p + 1)
    for i in range(1, n):
        if byte(buffer, p + i) & 0xC0 != 0x80:
            return np.int64(-1)
    if (a == 0xE0 and b < 0xA0) or (a == 0xED and b > 0x9F) or (a == 0xF0 and b < 0x90) or (a == 0xF4 and b > 0x8F):
        return np.int64(-1)
    return p + n


@numba.njit(inline="always")
def _text_end(buffer, room, p, end):  # type: ignore[no-untyped-def]
    """The position of the closing quote of plain text from p on, -1 where there is an escape or anything wrong."""
    while True:
        while p + 8 <= room and p < end:
            w = eight(buffer, p)
            quote, backslash = w ^ QUOTES, w ^ BACKSLASHES
            found = (w | ((w - CONTROLS) & ~w) | ((quote - EACH) & ~quote) | ((backslash - EACH) & ~backslash)) & TOP
            if found != U(0):  # the lowest bit is of the first byte that is not plain; those above may be wrong
                p += np.int64(trailing_zeros(found) >> U(3))
                break
            p += 8
        while p < end and byte(buffer, p) < 128 and byte(buffer, p) >= 32 and byte(buffer, p) != 34 and byte(buffer, p) != 92:
            p += 1
        if p >= end:
            return np.int64(-1)
        if byte(buffer, p) == 34:
            return p
        if byte(buffer, p) < 128:
            return np.int64(-1)
        p = wide(buffer, p, end)
        if p < 0:
            return p


@numba.njit(inline="always")
def _is_name(names, at, size, buffer, room, p):  # type: ignore[no-untyped-def]
    """Whether names[at : at + size], which has eight bytes behind it, stands at p."""
    done = 0
    while done + 8 <= size:
        if eight(names, at + done) != eight(buffer, p + done):
            return False
        done += 8
    if p + done + 8 <= room:
        rest = U(8 * (size - done))
        return (eight(names, at + done) ^ eight(buffer, p + done)) & ((U(1) << rest) - U(1)) == U(0)
    while done < size and byte(names, at + done) == byte(buffer, p + done):
        done += 1
    return done == size


@numba.njit(nogil=True)
def _is_word(buffer, p, end, word):  # type: ignore[no-untyped-def]
    if p + len(word) > end:
        return False
    for i in range(len(word)):  # noqa: SIM110 - numba has no generators
        if byte(buffer, p + i) != word[i]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def scan(  # type: ignore[no-untyped-def]
    buffer,
    room,
    start,
    length,
    names,
    name_at,
    name_len,
    kinds,
    slots,
    least,
    most,
    needed,
    words,
    ints,
    floats,
    text_at,
    text_len,
    valid,
    status,
    unknown,
):
    """Read every record; `buffer` is the address of `room` bytes.

    Field f is the name_len[f] bytes of `names` from name_at[f] on (eight more stand behind the last), of `kinds[f]`, kept in row slots[f]
    of ints, floats or texts. `valid[f, i]` is set where record i has a value for it; `status[i]` is 0 where the record was read, 1 where it
    must be read again; `unknown[i]` counts its fields without a column.
    """
    fields = len(kinds)
    for i in range(len(start)):
        status[i] = 1
        if length[i] < 2:
            continue
        p, end = start[i], start[i] + length[i]
        p = _space(buffer, p, end)
        if p >= end or byte(buffer, p) != 123:
            continue
        p = _space(buffer, p + 1, end)
        expected = 0
        strange = np.int32(0)
        good = True
        done = False
        if p < end and byte(buffer, p) == 125:
            done = True
            p += 1
        while not done:
            # the name
            if p >= end or byte(buffer, p) != 34:
                good = False
                break
            p += 1
            field = -1
            close = np.int64(0)
            if fields:
                f = expected if expected < fields else 0
                size = name_len[f]
                close = p + size
                if close < end and byte(buffer, close) == 34 and _is_name(names, name_at[f], size, buffer, room, p):
                    field = f
            if field < 0:
                close = _text_end(buffer, room, p, end)
                if close < 0:
                    good = False
                    break
                size = close - p
                for f in range(fields):
                    if name_len[f] == size and _is_name(names, name_at[f], size, buffer, room, p):
                        field = f
                        break
            if field >= 0:
                expected = field + 1
            else:
                strange += np.int32(1)
            p = _space(buffer, close + 1, end)
            if p >= end or byte(buffer, p) != 58:
                good = False
                break
            p = _space(buffer, p + 1, end)
            if p >= end:
                good = False
                break
            # the value
            kind = kinds[field] if field >= 0 else np.int64(-1)
            head = byte(buffer, p)
            if head == 34:
                p += 1
                close = _text_end(buffer, room, p, end)
                if close < 0:
                    good = False
                    break
                if kind == TEXT:
                    text_at[slots[field], i] = p
                    text_len[slots[field], i] = close - p
                    valid[field, i] = 1
                elif kind == DATE:
                    days = days_of(buffer, p, close)
                    if days < -9000000000000000000:
                        good = False
                        break
                    ints[slots[field], i] = days
                    valid[field, i] = 1
                elif field >= 0:
                    good = False
                    break
                p = close + 1
            elif head == 45 or (head >= 48 and head <= 57):
                negative = head == 45
                if negative:
                    p += 1
                if p >= end:
                    good = False
                    break
                w = U(0)
                digits = 0  # that count in w
                drop = 0  # digits of the whole part that w has no room for
                cut = False
                first = p
                if p + 8 <= room and byte(buffer, p) != 48:
                    number = eight_digits(eight(buffer, p))
                    if number >= 0:
                        w = U(number)
                        digits = 8
                        p += 8
                while p < end:
                    d = byte(buffer, p) - np.uint8(48)
                    if d > 9:
                        break
                    if digits < 19:
                        w = w * U(10) + U(d)
                        digits += 1 if w != U(0) else 0
                    else:
                        drop += 1
                        cut = cut or d != 0
                    p += 1
                whole = p - first
                if whole == 0 or (whole > 1 and byte(buffer, first) == 48):
                    good = False
                    break
                q = drop
                is_int = True
                if p < end and byte(buffer, p) == 46:
                    is_int = False
                    p += 1
                    first = p
                    while p < end:
                        d = byte(buffer, p) - np.uint8(48)
                        if d > 9:
                            break
                        if digits < 19:
                            w = w * U(10) + U(d)
                            digits += 1 if w != U(0) else 0
                            q -= 1
                        else:
                            cut = cut or d != 0
                        p += 1
                    if p == first:
                        good = False
                        break
                if p < end and (byte(buffer, p) == 101 or byte(buffer, p) == 69):
                    is_int = False
                    p += 1
                    minus = False
                    if p < end and (byte(buffer, p) == 43 or byte(buffer, p) == 45):
                        minus = byte(buffer, p) == 45
                        p += 1
                    first = p
                    e = 0
                    while p < end:
                        d = byte(buffer, p) - np.uint8(48)
                        if d > 9:
                            break
                        if e < 100000:
                            e = e * 10 + np.int64(d)
                        p += 1
                    if p == first:
                        good = False
                        break
                    q += -e if minus else e
                if kind == DOUBLE:
                    value, known = to_double(w, q, negative, cut)
                    if not known:
                        good = False
                        break
                    floats[slots[field], i] = value
                    valid[field, i] = 1
                elif kind == INTEGER:
                    if not is_int or digits > 18:
                        good = False
                        break
                    number = -np.int64(w) if negative else np.int64(w)
                    if number < least[field] or number > most[field]:
                        good = False
                        break
                    ints[slots[field], i] = number
                    valid[field, i] = 1
                elif field >= 0:
                    good = False
                    break
            elif head == 116 or head == 102:
                true = head == 116
                word = words[0] if true else words[1]
                if not _is_word(buffer, p, end, word) or (field >= 0 and kind != BOOL):
                    good = False
                    break
                if field >= 0:
                    ints[slots[field], i] = 1 if true else 0
                    valid[field, i] = 1
                p += len(word)
            elif head == 110:
                if not _is_word(buffer, p, end, words[2]):
                    good = False
                    break
                if field >= 0:
                    valid[field, i] = 0
                p += 4
            elif head == 78 and kind == DOUBLE and _is_word(buffer, p, end, words[3]):
                floats[slots[field], i] = np.nan
                valid[field, i] = 1
                p += 3
            else:  # nested values, infinities, whatever else
                good = False
                break
            p = _space(buffer, p, end)
            if p >= end:
                good = False
                break
            if byte(buffer, p) == 44:
                p = _space(buffer, p + 1, end)
            elif byte(buffer, p) == 125:
                p += 1
                done = True
            else:
                good = False
        if not good or _space(buffer, p, end) != end:
            continue
        for j in range(len(needed)):
            if not valid[needed[j], i]:
                good = False
        if good:
            status[i] = 0
            unknown[i] = strange
