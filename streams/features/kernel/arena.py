"""Memory that outlives a batch, in RAM or, where a folder is given, in files whose cold pages leave RAM."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from streams.features.kernel.rings import CLASSES, FREE, LEDGER, TOTAL
from streams.types import Int64


class Arena:
    """`array`: lines of `width` int64 words; `ledger`: what of it is used (rings.py)."""

    def __init__(self, width: int, folder: Path | None = None) -> None:
        self.width = width
        self.ledger: Int64 = np.full(LEDGER, -1, np.int64)
        self.ledger[FREE] = self.ledger[TOTAL] = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, prefix="rows-") if folder is not None else None  # noqa: SIM115
        self.array: Int64 = np.empty(0, np.int64)
        self.reserve(64)

    def reserve(self, lines: int) -> None:
        """See to it that `lines` more can be taken."""
        total = int(self.ledger[TOTAL])
        needed = int(self.ledger[FREE]) + lines
        if needed <= total:
            return
        total = max(needed, total + total // 2)
        size = total * self.width
        if self._file is None:
            larger = np.empty(size, np.int64)
            larger[: len(self.array)] = self.array
            self.array = larger
        else:
            self._file.truncate(8 * size)
            self.array = np.asarray(np.memmap(self._file, np.int64, "r+", shape=(size,)))
        self.ledger[TOTAL] = total

    @property
    def used(self) -> int:
        """Bytes in runs that belong to keys."""
        lines = int(self.ledger[FREE])
        for n in range(LEDGER - CLASSES):
            base = int(self.ledger[CLASSES + n])
            while base >= 0:
                lines -= 1 << n
                base = int(self.array[base * self.width])
        return 8 * lines * self.width
