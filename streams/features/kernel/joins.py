"""LAST JOIN: for each left row, the right row of its key that it sees at that moment of the order."""

from __future__ import annotations

import pickle

import numpy as np

from streams.features.kernel.column import BoolArray
from streams.features.spec import LastJoin
from streams.types import Int64


class JoinKernel:
    """Keeps per key only the right row that can still be seen: the greatest `order` (ties: the latest), or the latest to arrive."""

    def __init__(self, spec: LastJoin) -> None:
        self._ordered = spec.ordered
        self._seen: dict[int, tuple[int, int]] = {}
        self._rows = 0

    def process(self, keys: Int64, order: Int64 | None, left: BoolArray, valid: BoolArray | None = None) -> Int64:
        """Rows of both sides in the order of the log. `keys` are dense ids (-1: matches nothing), `order` the right rows' ORDER BY
        value (`valid` false: NULL, less than every value). For each left row, the ordinal of the right row it sees, counted over all
        right rows ever given, or -1.
        """
        answers = []
        for i, is_left in enumerate(left.tolist()):
            key = int(keys[i])
            if is_left:
                answers.append(self._seen.get(key, (0, -1))[1])
                continue
            rank = int(order[i]) if self._ordered and order is not None and (valid is None or valid[i]) else -(2**63)
            if key >= 0 and (key not in self._seen or rank >= self._seen[key][0]):
                self._seen[key] = rank, self._rows
            self._rows += 1
        return np.array(answers, np.int64)

    def live(self) -> Int64:
        """The ordinals of the right rows that can still be seen, ascending: the caller may let go of all others."""
        return np.sort(np.array([row for _, row in self._seen.values()], np.int64))

    def snapshot(self) -> bytes:
        return pickle.dumps((self._seen, self._rows))

    def restore(self, state: bytes) -> None:
        self._seen, self._rows = pickle.loads(state)
