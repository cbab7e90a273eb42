"""LAST JOIN: for each left row, the right row of its key that it sees at that moment of the order."""

from __future__ import annotations

import hashlib

import numba
import numpy as np

from streams.errors import StateError
from streams.features.kernel.column import BoolArray
from streams.features.kernel.words import MIN
from streams.features.spec import LastJoin
from streams.types import Int64

MAGIC = b"driftline join 1\n"


@numba.njit(cache=True)
def _run(keys, order, known, left, ordered, best, row, rows, answers):  # type: ignore[no-untyped-def]
    """Gives the number of right rows seen so far."""
    n = 0
    for i in range(len(keys)):
        key = keys[i]
        if left[i]:
            answers[n] = row[key] if 0 <= key < len(row) else -1
            n += 1
            continue
        if key >= 0:
            rank = (order[i] if known[i] else MIN) if ordered else 0
            if row[key] < 0 or rank >= best[key]:
                best[key], row[key] = rank, rows
        rows += 1
    return rows


@numba.njit(cache=True)
def _places(keys, ranks, new_keys, new_ranks):  # type: ignore[no-untyped-def]
    """Behind which of the rows, sorted by key and rank, each new one comes; equal ones stay before it."""
    found = np.empty(len(new_keys), np.int64)
    for i in range(len(new_keys)):
        low, high = 0, len(keys)
        while low < high:
            middle = (low + high) // 2
            if keys[middle] < new_keys[i] or (keys[middle] == new_keys[i] and ranks[middle] <= new_ranks[i]):
                low = middle + 1
            else:
                high = middle
        found[i] = low
    return found


class SortedRows:
    """All right rows by key, rank and arrival. A few more are put in their places: sorting all for them would cost what all cost."""

    def __init__(self) -> None:
        self.keys: Int64 = np.empty(0, np.int64)
        self.ranks: Int64 = np.empty(0, np.int64)
        self.ordinals: Int64 = np.empty(0, np.int64)

    def add(self, keys: Int64, ranks: Int64) -> None:
        """The rows that come next, numbered on."""
        order = np.lexsort((ranks, keys))  # stable: equal ones stay as they came
        new = keys[order], ranks[order], order + len(self.ordinals)
        at = _places(self.keys, self.ranks, *new[:2])
        self.keys, self.ranks, self.ordinals = (np.insert(old, at, more) for old, more in zip(self._columns, new, strict=True))

    def spans(self, keys: Int64) -> tuple[Int64, Int64]:
        """Where the rows of each key begin and end."""
        return np.searchsorted(self.keys, keys, "left"), np.searchsorted(self.keys, keys, "right")

    @property
    def _columns(self) -> tuple[Int64, Int64, Int64]:
        return self.keys, self.ranks, self.ordinals


class JoinKernel:
    """Keeps per key only the right row that can still be seen: the greatest `order` (ties: the latest), or the latest to arrive."""

    def __init__(self, spec: LastJoin) -> None:
        self._ordered = spec.ordered
        self._best: Int64 = np.empty(0, np.int64)  # by key: its order value, and its ordinal or -1
        self._row: Int64 = np.empty(0, np.int64)
        self._rows = 0

    def process(self, keys: Int64, order: Int64 | None, left: BoolArray, valid: BoolArray | None = None) -> Int64:
        """Rows of both sides in the order of the log. `keys` are dense ids (-1: matches nothing), `order` the right rows' ORDER BY
        value (`valid` false: NULL, less than every value). For each left row, the ordinal of the right row it sees, counted over all
        right rows ever given, or -1.
        """
        if self._ordered and order is None:
            raise ValueError("a LAST JOIN with ORDER BY needs the right rows' order values")
        right = keys[~left]
        self._reach(int(right.max()) + 1 if len(right) else 0)
        answers = np.empty(int(left.sum()), np.int64)
        self._rows = int(
            _run(
                np.array(keys, np.int64),
                np.zeros(len(keys), np.int64) if order is None else np.array(order, np.int64),
                np.ones(len(keys), np.bool_) if valid is None else np.array(valid, np.bool_),
                np.array(left, np.bool_),
                self._ordered,
                self._best,
                self._row,
                self._rows,
                answers,
            )
        )
        return answers

    def _reach(self, count: int) -> None:
        if count > len(self._row):
            more = max(count, len(self._row) * 3 // 2) - len(self._row)
            self._best = np.concatenate([self._best, np.zeros(more, np.int64)])
            self._row = np.concatenate([self._row, np.full(more, -1, np.int64)])

    def live(self) -> Int64:
        """The ordinals of the right rows that can still be seen, ascending: the caller may let go of all others."""
        return np.sort(self._row[self._row >= 0])

    def snapshot(self) -> bytes:
        body = np.concatenate([np.array([self._rows], np.int64), self._best, self._row]).tobytes()
        return MAGIC + hashlib.sha256(body).digest() + body

    def restore(self, state: bytes) -> None:
        """Take a state that `snapshot` gave; raises StateError if it cannot be read."""
        start = len(MAGIC) + 32
        if not state.startswith(MAGIC) or hashlib.sha256(state[start:]).digest() != state[len(MAGIC) : start]:
            raise StateError("a snapshot of a LAST JOIN cannot be read; set it aside and replay the log")
        numbers = np.frombuffer(state[start:], np.int64)
        self._rows = int(numbers[0])
        half = (len(numbers) - 1) // 2
        self._best, self._row = numbers[1 : 1 + half].copy(), numbers[1 + half :].copy()
