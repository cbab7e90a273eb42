"""All memory of one store: the keys' states, the arenas of rows and deques, the wide sums."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streams.features.kernel.arena import Arena
from streams.features.kernel.digits import WIDE, WIDE_WORDS
from streams.features.kernel.engine import Memory
from streams.features.kernel.layout import BOTTOM, CAPACITY, CLOCK, DEQUE, P_WIDTH, P_WORDS, TAIL, Layout
from streams.features.kernel.words import MIN
from streams.types import Int64


@dataclass(frozen=True)
class Usage:
    """Bytes: of the keys' lines with their deques and wide sums, and of the rows with the room their rings have over."""

    keys: int
    rows: int
    key_bytes: int
    row_bytes: int

    @property
    def bytes_per_key(self) -> float:
        return self.key_bytes / max(self.keys, 1)

    @property
    def bytes_per_row(self) -> float:
        return self.row_bytes / max(self.rows, 1)


class Keep:
    def __init__(self, layout: Layout, spill: Path | None) -> None:
        plan = layout.plan
        self.plan = plan
        self.entries = layout.entries  # places of the float sums
        self.words = int(plan.shape[P_WORDS])
        self.count = 0  # keys
        self.blank: Int64 = np.zeros(self.words, np.int64)
        self.blank[CLOCK] = MIN
        self.blank[layout.entries + WIDE] = -1
        self.scratch = self.blank.copy()
        self.state: Int64 = np.empty(0, np.int64)
        self.mark: Int64 = np.empty(0, np.int64)
        self.rows = Arena(int(plan.shape[P_WIDTH]), spill)
        self.marks = Arena(2, spill)
        self.spare_needed = 2 * len(layout.entries)
        self.wide: Int64 = np.zeros((self.spare_needed, WIDE_WORDS), np.int64)
        self.spare: Int64 = np.arange(-1, self.spare_needed, dtype=np.int64)
        self.spare[0] = self.spare_needed

    @property
    def memory(self) -> Memory:
        return Memory(
            self.state, self.rows.array, self.rows.ledger, self.marks.array, self.marks.ledger, self.wide, self.spare, self.scratch
        )

    def keys(self, count: int) -> None:
        """See to it that ids below `count` have a state."""
        if count <= self.count:
            return
        if count * self.words > len(self.state):
            capacity = max(count, self.count + self.count // 2, 16)
            larger = np.empty(capacity * self.words, np.int64)  # whole lines
            larger[: self.count * self.words] = self.state[: self.count * self.words]
            self.state = larger
            mark = np.full(capacity, -1, np.int64)
            self.mark = mark
        self.state[self.count * self.words : count * self.words].reshape(-1, self.words)[:] = self.blank
        self.count = count

    def grow(self, what: int, key: int, rows: int) -> None:
        """Make the room that `run` misses for `rows` more rows of a key."""
        if what == 1:
            self.rows.reserve(max(len(self.rows.array) // self.rows.width // 2, 8 * rows + 4 * self.held(key) + 1024))
        elif what == 2:
            need = sum(8 * (rows + self.held(key)) + 64 for _ in range(len(self.plan.deques) // DEQUE))
            self.marks.reserve(max(len(self.marks.array) // 4, need))
        else:
            self._widen(max(len(self.wide), self.spare_needed))

    def _widen(self, more: int) -> None:
        first, free = len(self.wide), int(self.spare[0])
        self.wide = np.concatenate([self.wide, np.zeros((more, WIDE_WORDS), np.int64)])
        self.spare = np.concatenate([self.spare[: free + 1], np.arange(first, first + more), np.zeros(first, np.int64)])
        self.spare[0] = free + more

    def take_wide(self, rows: Int64) -> Int64:
        """Give these wide sums rows of their own."""
        if len(rows) > self.spare[0]:
            self._widen(len(rows))
        free = int(self.spare[0]) - len(rows)
        places = self.spare[free + 1 : free + 1 + len(rows)].copy()
        self.spare[0] = free
        self.wide[places] = rows
        return places

    def free_wide(self, keys: Int64) -> None:
        places = self.state.reshape(-1, self.words)[keys][:, self.entries + WIDE].reshape(-1)
        places = places[places >= 0]
        self.wide[places] = 0
        free = int(self.spare[0])
        self.spare[free + 1 : free + 1 + len(places)] = places
        self.spare[0] = free + len(places)

    def usage(self) -> Usage:
        lines = self.state[: self.count * self.words].reshape(-1, self.words)
        rows = int((lines[:, TAIL] - lines[:, BOTTOM]).sum())
        wide = len(self.wide) - int(self.spare[0])
        return Usage(self.count, rows, 8 * (self.count * self.words + wide * WIDE_WORDS) + self.marks.used, self.rows.used)

    def held(self, key: int) -> int:
        """Rows of a key, at most."""
        return int(self.state[key * self.words + CAPACITY])
