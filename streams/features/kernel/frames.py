"""Frames as half-open ranges of a key's rows, [low, high), and whether the current row comes on top of them."""

from __future__ import annotations

import numba

from streams.features.kernel.layout import (
    G_END,
    G_END_OPEN,
    G_NO_ROW,
    G_NO_TIME,
    G_ROWS,
    GROUP,
    HEAD,
    P_WIDTH,
    TAIL,
    W_MAXSIZE,
    W_START,
    W_START_OPEN,
    WINDOW,
)
from streams.features.kernel.rings import earlier, first_from, line


@numba.njit(inline="always")
def on_top(plan, g, held):  # type: ignore[no-untyped-def]
    """Whether the frame has the current row without it being among rows [low, high). `held`: it stands in the ring, and last."""
    g *= GROUP
    ends_now = plan.groups[g + G_END] == 0 and plan.groups[g + G_END_OPEN] == 0
    return ends_now and plan.groups[g + G_NO_ROW] == 0 and not (held and plan.groups[g + G_NO_TIME] == 0)


@numba.njit(inline="always")
def origin(plan, g, state, at, rows, time, held, place):  # type: ignore[no-untyped-def]
    """The row from which ROWS bounds and LAG count back: the first not before the current one (of its time, with EXCLUDE CURRENT_TIME).

    `place`: the first row after all rows of this time or before it, as they stand in the ring.
    """
    row = place - (1 if held else 0)
    if plan.groups[GROUP * g + G_NO_TIME]:
        width = plan.shape[P_WIDTH]
        while row > state[at + HEAD] and rows[line(state, at, width, row - 1)] >= time:
            row -= 1
    return row


@numba.njit
def upper(plan, g, state, at, rows, time, held, cursor, place, row):  # type: ignore[no-untyped-def]
    """The end of the frame's rows. Rows before `cursor` are known to be inside; `place` and `row` as in `origin`."""
    group = GROUP * g
    end, end_open, no_time = plan.groups[group + G_END], plan.groups[group + G_END_OPEN], plan.groups[group + G_NO_TIME]
    if plan.groups[group + G_ROWS]:
        if end + end_open > 0:
            return row - (end + end_open) + 1
        return row + (1 if held and no_time == 0 and plan.groups[group + G_NO_ROW] == 0 else 0)
    if end == 0 and end_open == 0 and no_time == 0:
        return place - (1 if held and plan.groups[group + G_NO_ROW] else 0)
    bound = earlier(time, end) + (0 if end_open or end == 0 else 1)
    width = plan.shape[P_WIDTH]
    for _ in range(8):  # near the cursor, as a rule
        if cursor >= place or rows[line(state, at, width, cursor)] >= bound:
            return cursor
        cursor += 1
    return first_from(state, at, rows, width, cursor, place, bound)


@numba.njit(inline="always")
def since(plan, w, time):  # type: ignore[no-untyped-def]
    """Rows of a RANGE frame have at least this time."""
    return earlier(time, plan.windows[WINDOW * w + W_START]) + plan.windows[WINDOW * w + W_START_OPEN]


@numba.njit(inline="always")
def has_current(plan, w):  # type: ignore[no-untyped-def]
    """False for a frame whose start leaves out even distance 0, and for one of no rows."""
    w *= WINDOW
    return not (plan.windows[w + W_START] == 0 and plan.windows[w + W_START_OPEN]) and plan.windows[w + W_MAXSIZE] != 0


@numba.njit
def lower(plan, g, w, state, at, rows, time, high, row, top):  # type: ignore[no-untyped-def]
    """The start of a frame whose end is known, searched from the head; `top`: whether the current row comes on top."""
    low = state[at + HEAD]
    start, maxsize = plan.windows[WINDOW * w + W_START], plan.windows[WINDOW * w + W_MAXSIZE]
    if start >= 0:
        if plan.groups[GROUP * g + G_ROWS]:
            low = max(low, row - start + plan.windows[WINDOW * w + W_START_OPEN])
        else:
            low = first_from(state, at, rows, plan.shape[P_WIDTH], low, state[at + TAIL], since(plan, w, time))
    if maxsize >= 0:
        low = max(low, high + (1 if top else 0) - maxsize)
    return min(low, high)
