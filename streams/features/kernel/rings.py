"""Rings in an arena: each key has a run of 2^n lines, addressed by an ever growing sequence number. Full ones move to the double."""

from __future__ import annotations

import numba

from streams.features.kernel.layout import BASE, BOTTOM, CAPACITY, TAIL
from streams.features.kernel.words import MIN

FREE, TOTAL, CLASSES = 0, 1, 2  # an arena's ledger: next unused line, lines, then the first free run of each class or -1
SMALLEST = 4
LEDGER = CLASSES + 48


@numba.njit
def class_of(capacity):  # type: ignore[no-untyped-def]
    n = 0
    while capacity > 1:
        capacity >>= 1
        n += 1
    return n


@numba.njit
def capacity_for(lines):  # type: ignore[no-untyped-def]
    capacity = SMALLEST
    while capacity < lines:
        capacity <<= 1
    return capacity


@numba.njit
def allocate(arena, ledger, width, capacity):  # type: ignore[no-untyped-def]
    """The first line of a run; the caller has seen to it that there is room."""
    slot = CLASSES + class_of(capacity)
    base = ledger[slot]
    if base >= 0:
        ledger[slot] = arena[base * width]
    else:
        base = ledger[FREE]
        ledger[FREE] += capacity
    return base


@numba.njit
def release(arena, ledger, width, base, capacity):  # type: ignore[no-untyped-def]
    slot = CLASSES + class_of(capacity)
    arena[base * width] = ledger[slot]
    ledger[slot] = base


@numba.njit
def grow(state, at, arena, ledger, width, first, end):  # type: ignore[no-untyped-def]
    """Move lines first..end-1 to a run of twice the size. `state[at]` is the base, `state[at + 1]` the capacity (0: none yet)."""
    base, capacity = state[at], state[at + 1]
    if capacity == 0:
        state[at], state[at + 1] = allocate(arena, ledger, width, SMALLEST), SMALLEST
        return
    larger = 2 * capacity
    moved = allocate(arena, ledger, width, larger)
    for seq in range(first, end):
        a = (base + (seq & (capacity - 1))) * width
        b = (moved + (seq & (larger - 1))) * width
        for i in range(width):
            arena[b + i] = arena[a + i]
    release(arena, ledger, width, base, capacity)
    state[at], state[at + 1] = moved, larger


@numba.njit(inline="always")
def line(state, at, width, seq):  # type: ignore[no-untyped-def]
    """Where a row of the key's ring begins in the arena."""
    return (state[at + BASE] + (seq & (state[at + CAPACITY] - 1))) * width


@numba.njit
def append(state, at, arena, ledger, width, row):  # type: ignore[no-untyped-def]
    bottom, tail = state[at + BOTTOM], state[at + TAIL]
    if tail - bottom >= state[at + CAPACITY]:
        grow(state, at + BASE, arena, ledger, width, bottom, tail)
    place = line(state, at, width, tail)
    for i in range(width):
        arena[place + i] = row[i]
    state[at + TAIL] = tail + 1


@numba.njit
def insert(state, at, arena, ledger, width, row, seq):  # type: ignore[no-untyped-def]
    """Put a row at `seq`; what stood there and after it moves up by one."""
    append(state, at, arena, ledger, width, row)
    last = state[at + TAIL] - 1
    while last > seq:
        a, b = line(state, at, width, last - 1), line(state, at, width, last)
        for i in range(width):
            arena[b + i] = arena[a + i]
        last -= 1
    place = line(state, at, width, seq)
    for i in range(width):
        arena[place + i] = row[i]


@numba.njit
def first_from(state, at, arena, width, low, high, time):  # type: ignore[no-untyped-def]
    """The first of rows low..high-1 with a time of at least `time`, or `high`."""
    while low < high:
        middle = (low + high) >> 1
        if arena[line(state, at, width, middle)] < time:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(inline="always")
def earlier(time, milliseconds):  # type: ignore[no-untyped-def]
    """time - milliseconds, not below the least int64."""
    return MIN if time < MIN + milliseconds else time - milliseconds
