"""The loop: key by key, and within a key in the order of the log. Everything it needs comes in as arrays; it allocates next to nothing."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from streams.features.kernel import frames, rings
from streams.features.kernel import outputs as op
from streams.features.kernel.answer import Answers, Frame, write, write_extreme
from streams.features.kernel.batch import ANSWERED, STORED
from streams.features.kernel.exact import add_float, add_integer
from streams.features.kernel.extremes import BACK, FRONT, insert_rank, least, push, rank_in
from streams.features.kernel.layout import (
    BOTTOM,
    CLOCK,
    D_COLUMN,
    D_PLACE,
    DEQUE,
    FLOAT_SQUARES,
    FLOAT_SUM,
    FLOOR,
    G_DEQUES,
    G_DEQUES_END,
    G_ROWS,
    G_UPPER,
    G_WINDOWS,
    G_WINDOWS_END,
    GROUP,
    HEAD,
    INTEGER_SQUARES,
    INTEGERS,
    P_DEQUES,
    P_EMITTED,
    P_GROUPS,
    P_KEEP,
    P_MASK,
    P_ROWS,
    P_USES,
    P_WIDTH,
    P_WINDOWS,
    P_WORDS,
    S_COLUMN,
    S_KIND,
    S_PLACE,
    SUMMED,
    TAIL,
    U_DEQUE,
    USE,
    W_EXTREMES,
    W_EXTREMES_END,
    W_LOWER,
    W_MAXSIZE,
    W_START,
    W_START_OPEN,
    W_SUMS,
    W_SUMS_END,
    WINDOW,
    Plan,
)
from streams.features.kernel.words import fetch_ahead, offset, pointer
from streams.types import Int64

ROOM, ROWS_ROOM, MARKS_ROOM, WIDE_ROOM, EMITTED_ROOM = range(5)


class Memory(NamedTuple):
    """What outlives a batch."""

    state: Int64  # one line a key
    rows: Int64  # arena of rings: time, masks of what is not NULL, values
    rows_ledger: Int64
    marks: Int64  # arena of deques
    marks_ledger: Int64
    wide: Int64
    spare: Int64
    scratch: Int64  # a key's state, blank between rows


@numba.njit
def _add(plan, w, state, at, rows, place, sign, memory):  # type: ignore[no-untyped-def]
    """Add a row (sign 1) to the sums of a window, or take it out (sign -1)."""
    values = place + 1 + plan.shape[P_MASK]
    for s in range(plan.windows[WINDOW * w + W_SUMS], plan.windows[WINDOW * w + W_SUMS_END]):
        column, kind = plan.sums[SUMMED * s + S_COLUMN], plan.sums[SUMMED * s + S_KIND]
        if not op.is_valid(rows, place, column):
            continue
        entry = at + plan.sums[SUMMED * s + S_PLACE]
        if kind >= FLOAT_SUM:
            add_float(state, entry, rows[values + column], kind == FLOAT_SQUARES, sign, memory.wide, memory.spare)
        elif kind >= INTEGERS:
            add_integer(state, entry, rows[values + column], kind == INTEGER_SQUARES, sign)
        else:
            state[entry] += sign


@numba.njit
def _in_order(plan, memory, at, current, time, held, answered, i, answers):  # type: ignore[no-untyped-def]
    state, rows, width, tail = memory.state, memory.rows, plan.shape[P_WIDTH], memory.state[at + TAIL]
    for g in range(plan.shape[P_GROUPS]):
        group = GROUP * g
        cursor = at + plan.groups[group + G_UPPER]
        high = state[cursor]
        row = frames.origin(plan, g, state, at, rows, time, held, tail)
        target = frames.upper(plan, g, state, at, rows, time, held, high, tail, row)
        for seq in range(high, target):
            place = rings.line(state, at, width, seq)
            for w in range(plan.groups[group + G_WINDOWS], plan.groups[group + G_WINDOWS_END]):
                _add(plan, w, state, at, rows, place, 1, memory)
            for d in range(plan.groups[group + G_DEQUES], plan.groups[group + G_DEQUES_END]):
                if op.is_valid(rows, place, plan.deques[DEQUE * d + D_COLUMN]):
                    push(plan, d, state, at, memory.marks, memory.marks_ledger, seq, rank_in(plan, d, rows, place))
        high = max(high, target)
        state[cursor] = high
        top = frames.on_top(plan, g, held)
        for w in range(plan.groups[group + G_WINDOWS], plan.groups[group + G_WINDOWS_END]):
            extra = 1 if top and frames.has_current(plan, w) else 0
            low = _advance(plan, g, w, memory, at, time, high, row, extra)
            if not answered:
                continue
            if extra:
                _add(plan, w, state, at, current, 0, 1, memory)
            write(plan, w, i, state, rows, memory.wide, state, at, Frame(at, low, high, extra, row), current, answers)
            for u in range(plan.windows[WINDOW * w + W_EXTREMES], plan.windows[WINDOW * w + W_EXTREMES_END]):
                rank, found = least(plan, u, state, at, memory.marks)
                d = plan.uses[USE * u + U_DEQUE]
                if extra and op.is_valid(current, 0, plan.deques[DEQUE * d + D_COLUMN]):
                    own = rank_in(plan, d, current, 0)
                    rank, found = min(rank, own) if found else own, True
                write_extreme(plan, u, i, rank, found, answers)
            if extra:
                _add(plan, w, state, at, current, 0, -1, memory)


@numba.njit
def _advance(plan, g, w, memory, at, time, high, row, extra):  # type: ignore[no-untyped-def]
    """Take out of window w what has left it; gives its lower cursor."""
    state, rows, width, window = memory.state, memory.rows, plan.shape[P_WIDTH], WINDOW * w
    low, start = state[at + plan.windows[window + W_LOWER]], plan.windows[window + W_START]
    limit = low
    if start >= 0:
        if plan.groups[GROUP * g + G_ROWS]:
            limit = row - start + plan.windows[window + W_START_OPEN]
        else:
            bound = frames.since(plan, w, time)
            while low < high:
                place = rings.line(state, at, width, low)
                if rows[place] >= bound:
                    break
                _add(plan, w, state, at, rows, place, -1, memory)
                low += 1
    if plan.windows[window + W_MAXSIZE] >= 0:
        limit = max(limit, high + extra - plan.windows[window + W_MAXSIZE])
    while low < min(limit, high):
        _add(plan, w, state, at, rows, rings.line(state, at, width, low), -1, memory)
        low += 1
    state[at + plan.windows[window + W_LOWER]] = low
    return low


@numba.njit
def _answer_late(plan, memory, at, current, time, place, i, answers, ranks, found):  # type: ignore[no-untyped-def]
    """A row older than its key's newest: its frames are searched and their rows added up afresh."""
    state, rows, width, head = memory.state, memory.rows, plan.shape[P_WIDTH], memory.state[at + HEAD]
    for g in range(plan.shape[P_GROUPS]):
        row = frames.origin(plan, g, state, at, rows, time, False, place)
        high = max(head, frames.upper(plan, g, state, at, rows, time, False, head, place, row))
        for w in range(plan.groups[GROUP * g + G_WINDOWS], plan.groups[GROUP * g + G_WINDOWS_END]):
            extra = 1 if frames.on_top(plan, g, False) and frames.has_current(plan, w) else 0
            low = frames.lower(plan, g, w, state, at, rows, time, high, row, extra)
            first, last = plan.windows[WINDOW * w + W_EXTREMES], plan.windows[WINDOW * w + W_EXTREMES_END]
            found[first:last] = False
            for seq in range(low, high + extra):
                source, start = (current, np.int64(0)) if seq == high else (rows, rings.line(state, at, width, seq))
                _add(plan, w, memory.scratch, 0, source, start, 1, memory)
                for u in range(first, last):
                    d = plan.uses[USE * u + U_DEQUE]
                    if op.is_valid(source, start, plan.deques[DEQUE * d + D_COLUMN]):
                        rank = rank_in(plan, d, source, start)
                        ranks[u], found[u] = min(ranks[u], rank) if found[u] else rank, True
            write(plan, w, i, state, rows, memory.wide, memory.scratch, 0, Frame(at, low, high, extra, row), current, answers)
            for u in range(first, last):
                write_extreme(plan, u, i, ranks[u], found[u], answers)
            for seq in range(low, high + extra):
                source, start = (current, np.int64(0)) if seq == high else (rows, rings.line(state, at, width, seq))
                _add(plan, w, memory.scratch, 0, source, start, -1, memory)


@numba.njit
def _insert_late(plan, memory, at, current, time, seq, floor):  # type: ignore[no-untyped-def]
    """Put a row at its place among the key's rows, and into every running state whose rows are on both sides of it."""
    state = memory.state
    rings.insert(state, at, memory.rows, memory.rows_ledger, plan.shape[P_WIDTH], current, seq)
    if seq < state[at + FLOOR] or (seq == state[at + FLOOR] and time < floor):
        state[at + FLOOR] += 1
    for g in range(plan.shape[P_GROUPS]):
        cursor = at + plan.groups[GROUP * g + G_UPPER]
        inside = seq < state[cursor]
        if inside:
            state[cursor] += 1
        lowest = state[cursor]
        for w in range(plan.groups[GROUP * g + G_WINDOWS], plan.groups[GROUP * g + G_WINDOWS_END]):
            lower = at + plan.windows[WINDOW * w + W_LOWER]
            if inside and seq >= state[lower]:
                _add(plan, w, state, at, current, 0, 1, memory)
            elif seq < state[lower]:
                state[lower] += 1
            lowest = min(lowest, state[lower])
        for d in range(plan.groups[GROUP * g + G_DEQUES], plan.groups[GROUP * g + G_DEQUES_END]):
            known = op.is_valid(current, 0, plan.deques[DEQUE * d + D_COLUMN]) != 0
            rank = rank_in(plan, d, current, 0)
            insert_rank(plan, d, state, at, memory.marks, memory.marks_ledger, seq, rank, known and inside and seq >= lowest)


@numba.njit
def _forget(plan, memory, at, floor, late):  # type: ignore[no-untyped-def]
    """Move the head past the rows that nothing can see any more: those before `floor`, but for the newest few that ROWS frames need."""
    state, rows, width = memory.state, memory.rows, plan.shape[P_WIDTH]
    seq, tail = state[at + FLOOR], state[at + TAIL]
    while seq < tail and rows[rings.line(state, at, width, seq)] < floor:
        seq += 1
    state[at + FLOOR] = seq
    head = max(state[at + HEAD], seq - plan.shape[P_ROWS])
    state[at + HEAD] = head
    if late:  # a window may still hold a row that is forgotten; the next row in order takes it out
        for w in range(plan.shape[P_WINDOWS]):
            head = min(head, state[at + plan.windows[WINDOW * w + W_LOWER]])
    state[at + BOTTOM] = head


@numba.njit
def _room(plan, memory, at, count, spare_needed):  # type: ignore[no-untyped-def]
    """Which arena cannot take `count` more rows of this key, whatever they are."""
    state = memory.state
    held = state[at + TAIL] - state[at + BOTTOM] + count
    if memory.rows_ledger[rings.FREE] + 2 * rings.capacity_for(held) > memory.rows_ledger[rings.TOTAL]:
        return ROWS_ROOM
    need = 0
    for g in range(plan.shape[P_GROUPS]):
        more = count + state[at + TAIL] - state[at + plan.groups[GROUP * g + G_UPPER]]
        for d in range(plan.groups[GROUP * g + G_DEQUES], plan.groups[GROUP * g + G_DEQUES_END]):
            deque = at + plan.deques[DEQUE * d + D_PLACE]
            need += 2 * rings.capacity_for(state[deque + BACK] - state[deque + FRONT] + more)
    if memory.marks_ledger[rings.FREE] + need > memory.marks_ledger[rings.TOTAL]:
        return MARKS_ROOM
    return WIDE_ROOM if memory.spare[0] < spare_needed else ROOM


@numba.njit(cache=True)
def run(plan_, memory_, batch, answers_, progress, spare_needed):  # type: ignore[no-untyped-def]
    """Take the batch, from where `progress` says: group, its row or -1. It stops with progress[2] naming an arena without room."""
    plan = Plan(
        pointer(plan_.shape),
        pointer(plan_.is_float),
        pointer(plan_.groups),
        pointer(plan_.windows),
        pointer(plan_.sums),
        pointer(plan_.deques),
        pointer(plan_.uses),
        pointer(plan_.outputs),
        pointer(plan_.emissions),
        pointer(plan_.emitted),
        pointer(plan_.listed),
    )
    memory = Memory(
        pointer(memory_.state),
        pointer(memory_.rows),
        pointer(memory_.rows_ledger),
        pointer(memory_.marks),
        pointer(memory_.marks_ledger),
        pointer(memory_.wide),
        pointer(memory_.spare),
        pointer(memory_.scratch),
    )
    answers = Answers(
        pointer(answers_.values),
        pointer(answers_.valid),
        pointer(answers_.overflows),
        pointer(answers_.spans),
        pointer(answers_.emitted),
        pointer(answers_.used),
    )
    state, keep, width, emitted = memory.state, plan.shape[P_KEEP], plan.shape[P_WIDTH], plan.shape[P_EMITTED]
    lines, stride = pointer(batch.lines), width + 1
    ranks, found = np.empty(plan.shape[P_USES], np.int64), np.zeros(plan.shape[P_USES], np.bool_)
    groups = len(batch.keys)
    for group in range(progress[0], groups):
        at = batch.keys[group] * plan.shape[P_WORDS]
        first, end = batch.starts[group], batch.starts[group + 1]
        if group + 3 < groups:
            _fetch_ahead(plan, memory, batch.keys[group + 3] * plan.shape[P_WORDS], batch.keys[group + 1] * plan.shape[P_WORDS])
        if progress[1] >= 0:
            first, progress[1] = progress[1], -1
        else:
            missing = _room(plan, memory, at, end - first, spare_needed)
            if missing:
                progress[0], progress[2] = group, missing
                return
        for i in range(first, end):
            if emitted and answers.used[0] + emitted * (state[at + TAIL] - state[at + HEAD] + 1) > len(answers_.emitted):
                progress[0], progress[1], progress[2] = group, i, EMITTED_ROOM
                return
            current = offset(lines, i * stride)
            time, held, answered = current[0], current[width] & STORED != 0, current[width] & ANSWERED != 0
            late = time < state[at + CLOCK]
            if late:
                place = rings.first_from(state, at, memory.rows, width, state[at + HEAD], state[at + TAIL], time + 1)
                if answered:
                    _answer_late(plan, memory, at, current, time, place, i, answers, ranks, found)
                if held:
                    _insert_late(plan, memory, at, current, time, place, rings.earlier(state[at + CLOCK], keep) if keep >= 0 else time)
            else:
                state[at + CLOCK] = time
                if held:
                    rings.append(state, at, memory.rows, memory.rows_ledger, width, current)
                _in_order(plan, memory, at, current, time, held, answered, i, answers)
            if keep >= 0:
                _forget(plan, memory, at, rings.earlier(state[at + CLOCK], keep), late)
    progress[0], progress[2] = groups, ROOM


@numba.njit
def _fetch_ahead(plan, memory, far, near):  # type: ignore[no-untyped-def]
    """Ask for the state of a key three groups on, and, by the state that is here by now, for the ends of the next key's rings."""
    state, width = memory.state, plan.shape[P_WIDTH]
    for word in range(0, plan.shape[P_WORDS], 8):
        fetch_ahead(state, far + word)
    place = rings.line(state, near, width, state[near + TAIL])
    fetch_ahead(memory.rows, place)
    fetch_ahead(memory.rows, place + 8)
    for d in range(plan.shape[P_DEQUES]):
        deque = near + plan.deques[DEQUE * d + D_PLACE]
        fetch_ahead(memory.marks, 2 * (state[deque] + (state[deque + BACK] & (state[deque + 1] - 1))))
    for w in range(plan.shape[P_WINDOWS]):
        place = rings.line(state, near, width, state[near + plan.windows[WINDOW * w + W_LOWER]])
        fetch_ahead(memory.rows, place)
        fetch_ahead(memory.rows, place + 8)
