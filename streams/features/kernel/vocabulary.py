"""The words of text columns, each with one number for as long as the kernel lives."""

from __future__ import annotations

import numpy as np

from streams.features.kernel.column import BoolArray, Column
from streams.types import Int64


class Vocabulary:
    def __init__(self) -> None:
        self.words: list[str] = []
        self._codes: dict[str, int] = {}

    def codes(self, column: Column) -> Int64:
        """Our numbers for the column's words; 0 where it is NULL."""
        words = column.words or ()
        table = np.zeros(max(len(words), 1), np.int64)
        used = np.asarray(column.values, np.int64) if column.valid is None else np.asarray(column.values, np.int64)[column.valid]
        present = np.zeros(len(table), np.bool_)
        present[used] = True
        for i in np.flatnonzero(present).tolist():
            table[i] = self.code(words[i])
        if column.valid is None:
            return table[column.values]
        return table[np.where(column.valid, column.values, 0).astype(np.int64)]

    def code(self, word: str) -> int:
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = len(self.words)
            self.words.append(word)
        return code

    def column(self, codes: Int64, valid: BoolArray | None) -> Column:
        """A column of these words alone."""
        used, places = np.unique(codes if valid is None else np.where(valid, codes, -1), return_inverse=True)
        if len(used) and used[0] < 0:
            return Column(np.maximum(places - 1, 0), valid, [self.words[i] for i in used[1:].tolist()])
        return Column(places.astype(np.int64), valid, [self.words[i] for i in used.tolist()])
