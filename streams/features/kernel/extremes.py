"""Least and greatest of moving frames: one deque a group of windows, of (row's sequence number, rank), ranks ascending.

A row leaves the deque when a later one is at most as great; what a window sees is the first entry at or after its lower cursor.
For the greatest the ranks are complemented, so that there is one rule.
"""

from __future__ import annotations

import numba
import numpy as np

from streams.features.kernel.layout import (
    D_COLUMN,
    D_FLOAT,
    D_GREATEST,
    D_PLACE,
    D_USES,
    D_USES_END,
    DEQUE,
    P_MASK,
    U_DEQUE,
    U_PLACE,
    U_WINDOW,
    USE,
    W_LOWER,
    WINDOW,
)
from streams.features.kernel.rings import grow
from streams.features.kernel.words import rank_of

FRONT, BACK = 2, 3  # after base and capacity


@numba.njit(inline="always")
def rank_in(plan, d, rows, place):  # type: ignore[no-untyped-def]
    """The rank of a ring row that begins at `place` in deque d's order."""
    bits = rows[place + 1 + plan.shape[P_MASK] + plan.deques[DEQUE * d + D_COLUMN]]
    rank = rank_of(bits) if plan.deques[DEQUE * d + D_FLOAT] else bits
    return ~rank if plan.deques[DEQUE * d + D_GREATEST] else rank


@numba.njit(inline="always")
def unranked(plan, d, rank):  # type: ignore[no-untyped-def]
    value = ~rank if plan.deques[DEQUE * d + D_GREATEST] else rank
    return rank_of(value) if plan.deques[DEQUE * d + D_FLOAT] else value


@numba.njit(inline="always")
def _entry(state, deque, index):  # type: ignore[no-untyped-def]
    return 2 * (state[deque] + (index & (state[deque + 1] - 1)))


@numba.njit(inline="always")
def settle(state, deque, marks, place, lower):  # type: ignore[no-untyped-def]
    """Move a window's place to the first entry at or after its lower cursor, and give it; the back where there is none."""
    index, back = state[place], state[deque + BACK]
    while index < back and marks[_entry(state, deque, index)] < lower:
        index += 1
    state[place] = index
    return index


@numba.njit
def make_room(plan, d, state, at, marks, ledger):  # type: ignore[no-untyped-def]
    """Drop what no window can see; if there is still no room for one more, grow."""
    deque = at + plan.deques[DEQUE * d + D_PLACE]
    front = state[deque + BACK]
    for i in range(plan.deques[DEQUE * d + D_USES], plan.deques[DEQUE * d + D_USES_END]):
        u = plan.listed[i]
        lower = state[at + plan.windows[WINDOW * plan.uses[USE * u + U_WINDOW] + W_LOWER]]
        front = min(front, settle(state, deque, marks, at + plan.uses[USE * u + U_PLACE], lower))
    state[deque + FRONT] = front
    if state[deque + BACK] - front >= state[deque + 1]:
        grow(state, deque, marks, ledger, 2, front, state[deque + BACK])


@numba.njit
def push(plan, d, state, at, marks, ledger, seq, rank):  # type: ignore[no-untyped-def]
    """Add the rank of the newest row."""
    deque = at + plan.deques[DEQUE * d + D_PLACE]
    front, back = state[deque + FRONT], state[deque + BACK]
    start = back
    while back > front and marks[_entry(state, deque, back - 1) + 1] >= rank:
        back -= 1
    if back < start:
        state[deque + BACK] = back
        for i in range(plan.deques[DEQUE * d + D_USES], plan.deques[DEQUE * d + D_USES_END]):
            place = at + plan.uses[USE * plan.listed[i] + U_PLACE]
            state[place] = min(state[place], back)
    if back - front >= state[deque + 1]:
        make_room(plan, d, state, at, marks, ledger)
    entry = _entry(state, deque, back)
    marks[entry] = seq
    marks[entry + 1] = rank
    state[deque + BACK] = back + 1


@numba.njit
def insert_rank(plan, d, state, at, marks, ledger, seq, rank, inside):  # type: ignore[no-untyped-def]
    """A row was inserted at `seq`: later entries move up by one and, if it is `inside` some frame, it gets its place."""
    deque = at + plan.deques[DEQUE * d + D_PLACE]
    front, back = state[deque + FRONT], state[deque + BACK]
    split = back
    while split > front and marks[_entry(state, deque, split - 1)] >= seq:
        split -= 1
        marks[_entry(state, deque, split)] += 1
    if inside and back - front >= state[deque + 1]:
        make_room(plan, d, state, at, marks, ledger)
        front = state[deque + FRONT]
        inside = split >= front  # if not, no window of this deque has the row
    if inside and (split == back or marks[_entry(state, deque, split) + 1] > rank):
        keep = split
        while keep > front and marks[_entry(state, deque, keep - 1) + 1] >= rank:
            keep -= 1
        if keep == split:  # one entry more than before
            for index in range(back, split, -1):
                a, b = _entry(state, deque, index - 1), _entry(state, deque, index)
                marks[b], marks[b + 1] = marks[a], marks[a + 1]
            back += 1
        else:
            for index in range(split, back):
                a, b = _entry(state, deque, index), _entry(state, deque, index - split + keep + 1)
                marks[b], marks[b + 1] = marks[a], marks[a + 1]
            back -= split - keep - 1
        entry = _entry(state, deque, keep)
        marks[entry], marks[entry + 1] = seq, rank
        state[deque + BACK] = back
    for i in range(plan.deques[DEQUE * d + D_USES], plan.deques[DEQUE * d + D_USES_END]):
        state[at + plan.uses[USE * plan.listed[i] + U_PLACE]] = state[deque + FRONT]


@numba.njit(inline="always")
def least(plan, u, state, at, marks):  # type: ignore[no-untyped-def]
    """(rank, found) for one use."""
    d = plan.uses[USE * u + U_DEQUE]
    deque = at + plan.deques[DEQUE * d + D_PLACE]
    lower = state[at + plan.windows[WINDOW * plan.uses[USE * u + U_WINDOW] + W_LOWER]]
    index = settle(state, deque, marks, at + plan.uses[USE * u + U_PLACE], lower)
    if index >= state[deque + BACK]:
        return np.int64(0), False
    return marks[_entry(state, deque, index) + 1], True
