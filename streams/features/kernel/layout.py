"""Where everything of a key stands: a store's plan as arrays of numbers, so that the compiled code is the same for every plan.

A key's state is one line of int64 words: the header, then for each group of windows its upper cursor and its deques, for each
window its lower cursor, its places in the deques, and its sums (exact.py). Windows whose frames end alike form a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streams.errors import FeatureError
from streams.features.kernel import outputs as op
from streams.features.kernel.column import FLOATS
from streams.features.kernel.digits import ENTRY, SQUARES
from streams.features.kernel.scans import SCANS
from streams.features.spec import Aggregate, Frame, Store
from streams.types import Int64, Type

BASE, CAPACITY, HEAD, TAIL, CLOCK, FLOOR, BOTTOM, HEADER = range(8)
NOT_SUMMED, COUNTED, INTEGERS, INTEGER_SQUARES, FLOAT_SUM, FLOAT_SQUARES = -1, 0, 1, 2, 3, 4
LIMITS = {Type.SMALLINT: 15, Type.INT: 31}
ALIASES = {
    "stddev": "stddev_samp",
    "std": "stddev_samp",
    "variance": "var_samp",
    "at": "lag",
    "nth_value_where": "nth_value",
}


# What stands in a line of each matrix of the plan.
(G_ROWS, G_END, G_END_OPEN, G_NO_TIME, G_NO_ROW, G_UPPER, G_WINDOWS, G_WINDOWS_END, G_DEQUES, G_DEQUES_END, GROUP) = range(11)
(W_START, W_START_OPEN, W_MAXSIZE, W_LOWER, W_OUTPUTS, W_OUTPUTS_END, W_SUMS, W_SUMS_END) = range(8)
(W_EXTREMES, W_EXTREMES_END, W_EMISSION, WINDOW) = range(8, 12)
(S_COLUMN, S_KIND, S_PLACE, SUMMED) = range(4)
(D_COLUMN, D_GREATEST, D_PLACE, D_USES, D_USES_END, D_FLOAT, DEQUE) = range(7)
(U_WINDOW, U_PLACE, U_DEQUE, U_OUTPUT, USE) = range(5)
(O_CODE, O_A, O_B, O_C, O_OUTPUT, OUTPUT) = range(6)
(E_COLUMNS, E_COLUMNS_END, EMISSION) = range(3)
(P_WORDS, P_WIDTH, P_MASK, P_COLUMNS, P_KEEP, P_ROWS, P_OUTPUTS, P_GROUPS, P_WINDOWS, P_USES, P_EMITTED, P_EMISSIONS, P_DEQUES) = range(13)


class Plan(NamedTuple):
    """The layout as compiled code reads it: flat int64 arrays of the lines above."""

    shape: Int64  # one line of P_
    is_float: Int64  # by value column
    groups: Int64
    windows: Int64
    sums: Int64
    deques: Int64
    uses: Int64  # by window: a window's use of a deque is one output
    outputs: Int64
    emissions: Int64
    emitted: Int64  # value columns
    listed: Int64  # uses by deque


class Scanned(NamedTuple):
    """An aggregate that Python computes from the rows of its frame."""

    window: int
    place: int  # among the window's aggregates
    aggregate: Aggregate
    emission: int
    places: tuple[int, ...]  # of its arguments among the emitted columns


class Layout(NamedTuple):
    plan: Plan
    columns: list[list[int]]  # [window][aggregate]: output column, or -1 where Python computes it
    scanned: list[Scanned]
    entries: Int64  # places of float sums within a key's state


def name_of(aggregate: Aggregate) -> str:
    name = aggregate.function
    if name.startswith("udaf:"):
        return name
    name = ALIASES.get(name, name)
    if name == "ew_avg" and not (aggregate.parameters and aggregate.parameters[0]):
        return "avg"  # what the weights come to
    return ALIASES.get(name.removesuffix("_where"), name.removesuffix("_where"))


def _flat(lines: Sequence[Sequence[int]]) -> Int64:
    return np.array([value for line in lines for value in line], np.int64)


def _group_key(frame: Frame) -> tuple[int, ...]:
    return int(frame.rows), frame.end, int(frame.end_open), int(frame.exclude_current_time), int(frame.exclude_current_row)


def retention(store: Store) -> tuple[int, int]:
    """(milliseconds or -1 for ever, rows kept beyond them): what any frame can still see."""
    longest, rows = 0, 0
    for window in store.windows:
        frame = window.frame
        for aggregate in window.aggregates:
            if name_of(aggregate) == "lag":
                rows = max(rows, int(aggregate.parameters[0] or 0))
        if frame.start is None and frame.maxsize is None:
            longest = -1
        elif frame.rows:
            rows = max(rows, frame.start if frame.start is not None else frame.end + (frame.maxsize or 0) + 1)
        elif frame.start is None:
            rows = max(rows, frame.maxsize or 0)
            longest = max(longest, frame.end) if longest >= 0 else -1
        else:
            longest = max(longest, frame.start, frame.end) if longest >= 0 else -1
    if longest < 0 or store.history is None:
        return -1, rows
    return longest + store.history, rows


def layout_of(store: Store) -> Layout:
    return _Builder(store).build()


class _Builder:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.words = HEADER
        self.order = sorted(range(len(store.windows)), key=lambda w: (_group_key(store.windows[w].frame), w))
        self.windows: list[list[int]] = []
        self.sums: list[list[int]] = []
        self.deques: list[list[int]] = []
        self.uses: list[list[int]] = []
        self.outputs: list[list[int]] = []
        self.columns = [[-1] * len(window.aggregates) for window in store.windows]
        self.scanned: list[Scanned] = []
        self.emissions: list[list[int]] = []
        self.emitted: list[int] = []
        self.entries: list[int] = []
        self.count = 0

    def take(self, words: int) -> int:
        self.words += words
        return self.words - words

    def build(self) -> Layout:
        groups: list[list[int]] = []
        at = 0
        while at < len(self.order):
            key = _group_key(self.store.windows[self.order[at]].frame)
            end = at + 1
            while end < len(self.order) and _group_key(self.store.windows[self.order[end]].frame) == key:
                end += 1
            upper, first = self.take(1), len(self.deques)
            self._deques(at, end)
            for w in range(at, end):
                self._window(w, first)
            groups.append([*key, upper, at, end, first, len(self.deques)])
            at = end
        listed: list[int] = []
        for d, deque in enumerate(self.deques):
            deque[D_USES] = len(listed)
            listed.extend(u for u, use in enumerate(self.uses) if use[U_DEQUE] == d)
            deque[D_USES_END] = len(listed)
        types = self.store.columns
        mask = (len(types) + 63) // 64
        keep, rows = retention(self.store)
        counts = [len(groups), len(self.order), len(self.uses), 2 * len(self.emitted), len(self.emissions), len(self.deques)]
        plan = Plan(
            np.array([self.words, 1 + mask + len(types), mask, len(types), keep, rows, self.count, *counts], np.int64),
            np.array([t in FLOATS for t in types], np.int64),
            _flat(groups),
            _flat(self.windows),
            _flat(self.sums),
            _flat(self.deques),
            _flat(self.uses),
            _flat(self.outputs),
            _flat(self.emissions),
            np.array(self.emitted, np.int64),
            np.array(listed, np.int64),
        )
        return Layout(plan, self.columns, self.scanned, np.array(self.entries, np.int64))

    def _aggregates(self, w: int) -> list[tuple[int, str, Aggregate]]:
        return [(i, name_of(a), a) for i, a in enumerate(self.store.windows[self.order[w]].aggregates)]

    def _deques(self, first: int, last: int) -> None:
        """One deque a column and end, shared by the windows of a group."""
        wanted: dict[tuple[int, int], None] = {}
        for w in range(first, last):
            for _, name, aggregate in self._aggregates(w):
                if name in ("min", "max") and not self._python(name, aggregate):
                    wanted[aggregate.arguments[0], int(name == "max")] = None
        for column, greatest in wanted:
            self.deques.append([column, greatest, self.take(4), -1, -1, int(self.store.columns[column] in FLOATS)])

    def _window(self, w: int, first_deque: int) -> None:
        frame = self.store.windows[self.order[w]].frame
        outputs, sums, uses, emission = len(self.outputs), len(self.sums), len(self.uses), len(self.emissions)
        lower = self.take(1)
        kinds: dict[int, int] = {}
        for _, name, aggregate in self._aggregates(w):
            if aggregate.arguments and not self._python(name, aggregate):
                kind = self._kind(name, aggregate.arguments[0])
                if kind != NOT_SUMMED:
                    kinds[aggregate.arguments[0]] = max(kinds.get(aggregate.arguments[0], kind), kind)
        places: dict[int, int] = {}
        for column, kind in kinds.items():
            places[column] = self.take(1 if kind == COUNTED else ENTRY if kind in (INTEGER_SQUARES, FLOAT_SQUARES) else SQUARES)
            self.sums.append([column, kind, places[column]])
            if kind in (FLOAT_SUM, FLOAT_SQUARES):
                self.entries.append(places[column])
        scanned = []
        for index, name, aggregate in self._aggregates(w):
            if self._python(name, aggregate):
                scanned.append((index, aggregate))
                continue
            self.columns[self.order[w]][index] = self.count
            if name in ("min", "max"):
                wanted = [aggregate.arguments[0], int(name == "max")]
                d = next(d for d in range(first_deque, len(self.deques)) if self.deques[d][:2] == wanted)
                self.uses.append([w, self.take(1), d, self.count])
            else:
                self.outputs.append([*self._operation(name, aggregate, places), self.count])
            self.count += 1
        if scanned:
            needed = sorted({a for _, aggregate in scanned for a in aggregate.arguments})
            for index, aggregate in scanned:
                where = tuple(needed.index(a) for a in aggregate.arguments)
                self.scanned.append(Scanned(self.order[w], index, aggregate, emission, where))
            self.emissions.append([len(self.emitted), len(self.emitted) + len(needed)])
            self.emitted.extend(needed)
        start = -1 if frame.start is None else frame.start
        maxsize = -1 if frame.maxsize is None else frame.maxsize
        self.windows.append(
            [
                *(start, int(frame.start_open), maxsize, lower),
                *(outputs, len(self.outputs), sums, len(self.sums), uses, len(self.uses)),
                emission if scanned else -1,
            ]
        )

    def _operation(self, name: str, aggregate: Aggregate, places: dict[int, int]) -> tuple[int, int, int, int]:
        column = aggregate.arguments[0] if aggregate.arguments else -1
        integer = int(column < 0 or self.store.columns[column] not in FLOATS)
        parameter = aggregate.parameters[0] if aggregate.parameters else None
        code = op.COMPILED[name]
        if name == "count":
            return (op.COUNT, places[column], 1, 0) if column >= 0 else (op.COUNT_ROWS, -1, 0, 0)
        if name == "sum":
            return code, places[column], integer, LIMITS.get(aggregate.type, 63)
        if name in ("avg", "var_pop", "var_samp", "stddev_pop", "stddev_samp"):
            return code, places[column], integer, 0
        if name in ("lag", "nth_value"):
            return code, column, int(parameter or 0), aggregate.arguments[1] if len(aggregate.arguments) > 1 else -1
        if name in ("first_value", "last_value"):
            return code, column, int(bool(parameter)), 0
        alpha = np.float64(parameter if name == "ew_avg" and parameter else 0.0)
        return code, column, integer, int(alpha.view(np.int64))

    def _python(self, name: str, aggregate: Aggregate) -> bool:
        """Whether it is computed in Python, from the rows of its frame."""
        if name.startswith("udaf:"):
            return True
        text = bool(aggregate.arguments) and self.store.columns[aggregate.arguments[0]] is Type.STRING
        if name in ("min", "max"):
            return text
        if name in op.COMPILED:
            return False
        if name in SCANS:
            return True
        raise FeatureError(f"the kernel has no aggregate `{name}`; it has {', '.join(sorted([*op.COMPILED, *SCANS]))}")

    def _kind(self, name: str, column: int) -> int:
        if name in ("sum", "avg"):
            return FLOAT_SUM if self.store.columns[column] in FLOATS else INTEGERS
        if name in ("var_pop", "var_samp", "stddev_pop", "stddev_samp"):
            return FLOAT_SQUARES if self.store.columns[column] in FLOATS else INTEGER_SQUARES
        return COUNTED if name == "count" else NOT_SUMMED
