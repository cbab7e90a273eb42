"""The values of one window for one row, from its running sums and from the rows of its frame."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from streams.features.kernel import outputs as op
from streams.features.kernel.extremes import unranked
from streams.features.kernel.layout import (
    BASE,
    CAPACITY,
    E_COLUMNS,
    E_COLUMNS_END,
    EMISSION,
    HEAD,
    O_A,
    O_B,
    O_C,
    O_CODE,
    O_OUTPUT,
    OUTPUT,
    P_EMISSIONS,
    P_MASK,
    P_OUTPUTS,
    P_WIDTH,
    U_DEQUE,
    U_OUTPUT,
    USE,
    W_EMISSION,
    W_OUTPUTS,
    W_OUTPUTS_END,
    WINDOW,
)
from streams.features.kernel.words import float_of
from streams.types import Int64


class Answers(NamedTuple):
    """What is written; a line a row."""

    values: Int64  # outputs
    valid: np.ndarray  # uint8; outputs
    overflows: Int64  # by output
    spans: Int64  # for each emission: where its rows begin among the emitted words, how many
    emitted: Int64  # for each row and column: whether it is valid, its value
    used: Int64  # of the emitted words


class Frame(NamedTuple):
    """Rows low..high-1 of the key at `at`, and `top` 1 where the current row comes on top; `row` is the one LAG counts from."""

    at: int
    low: int
    high: int
    top: int
    row: int


@numba.njit
def write(plan, w, i, state, rows, wide, sums, sums_at, frame, current, answers):  # type: ignore[no-untyped-def]
    """All outputs of window w for row i but the extremes. The running sums stand in `sums` at `sums_at`."""
    window, line = WINDOW * w, i * plan.shape[P_OUTPUTS]
    for o in range(plan.windows[window + W_OUTPUTS], plan.windows[window + W_OUTPUTS_END]):
        o *= OUTPUT
        code, a, b, c = plan.outputs[o + O_CODE], plan.outputs[o + O_A], plan.outputs[o + O_B], plan.outputs[o + O_C]
        out = plan.outputs[o + O_OUTPUT]
        if op.COUNT <= code <= op.STDDEV_SAMP:
            value, valid = op.summary(code, b, c, sums, sums_at + a, wide, answers.overflows, out)
        elif code == op.COUNT_ROWS:
            value, valid = frame.high - frame.low + frame.top, True
        elif code >= op.MEDIAN:
            value, valid = _scanned(plan, code, a, b, c, state, rows, frame, current)
        elif code == op.LAG:
            value, valid = _lagged(plan, a, b, state, rows, frame, current)
        else:
            value, valid = _picked(plan, code, a, b, c, state, rows, frame, current)
        answers.values[line + out] = value
        answers.valid[line + out] = valid
    if plan.windows[window + W_EMISSION] >= 0:
        _emit(plan, plan.windows[window + W_EMISSION], i, state, rows, frame, current, answers)


@numba.njit(inline="always")
def write_extreme(plan, u, i, rank, found, answers):  # type: ignore[no-untyped-def]
    out = i * plan.shape[P_OUTPUTS] + plan.uses[USE * u + U_OUTPUT]
    answers.values[out] = unranked(plan, plan.uses[USE * u + U_DEQUE], rank)
    answers.valid[out] = found


@numba.njit
def _scanned(plan, code, column, integer, alpha, state, rows, frame, current):  # type: ignore[no-untyped-def]
    width, mask = plan.shape[P_WIDTH], plan.shape[P_MASK]
    base, capacity = state[frame.at + BASE], state[frame.at + CAPACITY]
    buffer = np.empty(frame.high - frame.low + 1, np.int64)
    n = 0
    for seq in range(frame.low, frame.high):
        place = (base + (seq & (capacity - 1))) * width
        if op.is_valid(rows, place, column):
            buffer[n] = rows[place + 1 + mask + column]
            n += 1
    if frame.top and op.is_valid(current, 0, column):
        buffer[n] = current[1 + mask + column]
        n += 1
    return op.scan(code, buffer, n, integer != 0, float_of(alpha))


@numba.njit
def _lagged(plan, column, back, state, rows, frame, current):  # type: ignore[no-untyped-def]
    mask, seq = plan.shape[P_MASK], frame.row - back
    if back == 0:
        return current[1 + mask + column], op.is_valid(current, 0, column) != 0
    if back < 0 or seq < state[frame.at + HEAD]:
        return np.int64(0), False
    place = (state[frame.at + BASE] + (seq & (state[frame.at + CAPACITY] - 1))) * plan.shape[P_WIDTH]
    return rows[place + 1 + mask + column], op.is_valid(rows, place, column) != 0


@numba.njit
def _picked(plan, code, column, b, condition, state, rows, frame, current):  # type: ignore[no-untyped-def]
    """The first, last or nth row that counts: any; where b, one that is not NULL; for NTH, one where the condition holds."""
    width, mask = plan.shape[P_WIDTH], plan.shape[P_MASK]
    base, capacity = state[frame.at + BASE], state[frame.at + CAPACITY]
    backward = code == op.LAST or (code == op.NTH and b < 0)
    wanted = abs(b) if code == op.NTH else 1
    held = frame.high - frame.low
    for k in range(held + frame.top):
        j = held + frame.top - 1 - k if backward else k
        source, place = (current, np.int64(0)) if j == held else (rows, (base + ((frame.low + j) & (capacity - 1))) * width)
        known = op.is_valid(source, place, column) != 0
        if code == op.NTH:
            if condition >= 0 and not (op.is_valid(source, place, condition) and source[place + 1 + mask + condition]):
                continue
        elif b and not known:
            continue
        wanted -= 1
        if wanted == 0:
            return source[place + 1 + mask + column], known
    return np.int64(0), False


@numba.njit
def _emit(plan, emission, i, state, rows, frame, current, answers):  # type: ignore[no-untyped-def]
    """Hand the rows of the frame over to Python."""
    width, mask = plan.shape[P_WIDTH], plan.shape[P_MASK]
    base, capacity = state[frame.at + BASE], state[frame.at + CAPACITY]
    used = answers.used[0]
    span = 2 * (i * plan.shape[P_EMISSIONS] + emission)
    answers.spans[span], answers.spans[span + 1] = used, frame.high - frame.low + frame.top
    for seq in range(frame.low, frame.high + frame.top):
        source, place = (current, np.int64(0)) if seq == frame.high else (rows, (base + (seq & (capacity - 1))) * width)
        for e in range(plan.emissions[EMISSION * emission + E_COLUMNS], plan.emissions[EMISSION * emission + E_COLUMNS_END]):
            column = plan.emitted[e]
            answers.emitted[used] = op.is_valid(source, place, column)
            answers.emitted[used + 1] = source[place + 1 + mask + column]
            used += 2
    answers.used[0] = used
