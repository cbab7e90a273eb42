"""The place of each row of one partition in the merged order, and which rows came too late for it.

Behind its watermark (the largest event time seen, less the lateness) a partition has been answered; a row at or past it waits
there until the watermark passes it. So a row's key is the greater of its event time and the watermark it met, whatever the
batches looked like: the order is a function of the log alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.types import Int64

NEVER = -(1 << 62)  # the running maximum before the first row: no event time is below it
ALWAYS = 1 << 62


@dataclass(frozen=True)
class Keyed:
    """One value a row: `key` in the merged order, `behind` in ms (0: in time), `before` the running maximum it met.

    `newest` is the running maximum after the last row.
    """

    key: Int64
    behind: Int64
    before: Int64
    newest: int


def watermark(newest: int, lateness: int) -> int:
    """The event time (ms) behind which a partition has been answered; NEVER before its first row."""
    return newest if newest <= NEVER else newest - lateness


def place(times: Int64, is_row: npt.NDArray[np.bool_], newest: int, lateness: int) -> Keyed:
    """Place the rows of one partition; `times` also holds watermark records, where `is_row` is false.

    `newest` is the running maximum before the first of them. The arrays of the result have one value a row.
    """
    if not len(times):
        empty = np.empty(0, np.int64)
        return Keyed(empty, empty, empty, newest)
    running = np.maximum(np.maximum.accumulate(times), newest)
    before = np.empty_like(running)
    before[0] = newest
    before[1:] = running[:-1]
    if not is_row.all():
        times, before = times[is_row], before[is_row]
    mark = np.where(before <= NEVER, NEVER, before - lateness)
    key = np.maximum(times, mark)
    return Keyed(key, key - times, before, int(running[-1]))
