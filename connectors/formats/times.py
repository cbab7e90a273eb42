"""Dates and ISO 8601 times in text as days and milliseconds, by numba."""

from __future__ import annotations

import numba
import numpy as np

from connectors.bytes import byte

NONE = -(2**63)  # what the text is when it is no date or time


@numba.njit(nogil=True)
def _two(buffer, p):  # type: ignore[no-untyped-def]
    a, b = np.int64(byte(buffer, p)) - 48, np.int64(byte(buffer, p + 1)) - 48
    return a * 10 + b if 0 <= a <= 9 and 0 <= b <= 9 else np.int64(-1)


@numba.njit(nogil=True)
def days_of(buffer, p, end):  # type: ignore[no-untyped-def]
    """Days since 1970-01-01 of YYYY-MM-DD, or NONE. http://howardhinnant.github.io/date_algorithms.html#days_from_civil"""
    none = np.int64(-9223372036854775808)
    if end - p != 10 or byte(buffer, p + 4) != 45 or byte(buffer, p + 7) != 45:
        return none
    century, year, month, day = _two(buffer, p), _two(buffer, p + 2), _two(buffer, p + 5), _two(buffer, p + 8)
    if century < 0 or year < 0 or month < 1 or month > 12 or day < 1:
        return none
    year += 100 * century
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 30 if month in (4, 6, 9, 11) else (29 if leap else 28) if month == 2 else 31
    if day > last or year < 1:
        return none
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@numba.njit(nogil=True)
def time_of(buffer, p, end):  # type: ignore[no-untyped-def]
    """Milliseconds since the epoch of YYYY-MM-DD[(T| )HH:MM[:SS[.digits]]][Z|(+|-)HH[[:]MM]], or NONE.

    A time without a zone is UTC; digits after the third are dropped.
    """
    none = np.int64(-9223372036854775808)
    if end - p < 10:
        return none
    days = days_of(buffer, p, p + 10)
    if days == none:
        return none
    ms = days * 86_400_000
    p += 10
    if p == end:
        return ms
    if (byte(buffer, p) != 84 and byte(buffer, p) != 116 and byte(buffer, p) != 32) or end - p < 6 or byte(buffer, p + 3) != 58:
        return none
    hour, minute = _two(buffer, p + 1), _two(buffer, p + 4)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return none
    ms += (hour * 60 + minute) * 60_000
    p += 6
    if p < end and byte(buffer, p) == 58:
        if end - p < 3:
            return none
        second = _two(buffer, p + 1)
        if second < 0 or second > 59:
            return none
        ms += second * 1000
        p += 3
        if p < end and (byte(buffer, p) == 46 or byte(buffer, p) == 44):
            p += 1
            first, scale = p, 100
            while p < end and 48 <= byte(buffer, p) <= 57:
                ms += (np.int64(byte(buffer, p)) - 48) * scale
                scale //= 10
                p += 1
            if p == first:
                return none
    if p == end:
        return ms
    if (byte(buffer, p) == 90 or byte(buffer, p) == 122) and p + 1 == end:
        return ms
    if byte(buffer, p) == 43 or byte(buffer, p) == 45:
        sign = 1 if byte(buffer, p) == 43 else -1
        colon = 1 if end - p == 6 and byte(buffer, p + 3) == 58 else 0
        if end - p != 3 and end - p != 5 + colon:
            return none
        hour, minute = _two(buffer, p + 1), np.int64(0) if end - p == 3 else _two(buffer, p + 3 + colon)
        if hour < 0 or hour > 23 or minute < 0 or minute > 59:
            return none
        return ms - sign * (hour * 60 + minute) * 60_000
    return none


@numba.njit(cache=True, nogil=True)
def times_of(buffer, start, length, out):  # type: ignore[no-untyped-def]
    """Each text as `time_of`; those of negative length are left alone."""
    for i in range(len(start)):
        if length[i] >= 0:
            out[i] = time_of(buffer, start[i], start[i] + length[i])
