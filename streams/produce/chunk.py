"""Rows of one file as they go into the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from connectors.kafka.columns import Bytes
from streams.types import Int64

FILE_BITS = 48  # of a position: below them the place in the file


@dataclass(frozen=True)
class Bad:
    """A row that does not fit the schema: where it stands, and why. `row` is its place in the chunk, None where it cannot be sent."""

    place: str  # file:line, or file:row where the file has no lines
    reason: str
    row: int | None

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows. `times` are event times (ms); of a bad row, the newest event time before it.

    `newest` is the running maximum of `times` over the source so far: the rows' place when several files are merged. `after[i]` is the
    position once row i is done: the file's number in the upper bits, below them bytes (in a JSONL file) or rows (in others).
    """

    values: Bytes
    keys: Bytes
    times: Int64
    newest: Int64
    after: Int64
    bad: Sequence[Bad] = ()

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: npt.NDArray[np.bool_] | slice) -> Chunk:
        """The rows of a mask or a slice, without word of the bad ones."""
        return Chunk(self.values.take(rows), self.keys.take(rows), self.times[rows], self.newest[rows], self.after[rows])

    def slice(self, first: int, last: int) -> Chunk:
        return self.take(slice(first, last))

    @staticmethod
    def concat(first: Chunk, second: Chunk) -> Chunk:
        return Chunk(
            Bytes.concat([first.values, second.values]),
            Bytes.concat([first.keys, second.keys]),
            np.concatenate([first.times, second.times]),
            np.concatenate([first.newest, second.newest]),
            np.concatenate([first.after, second.after]),
        )
