"""Which rows a challenger is judged on, and by which model: never by one that has seen them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streams.predictions.model import Model
from streams.retraining.dataset import Dataset

Float64 = npt.NDArray[np.float64]

HELD_OUT = 0.2  # share of the labelled rows, the newest, that a challenger is judged by
HELD_OUT_MOST_MS = 28 * 86_400_000
NEWEST_MS = 14 * 86_400_000  # of the last stretch, at least: an interval from fewer days says little


@dataclass(frozen=True)
class Judging:
    """Where the stretches begin that a challenger is judged on: each by a model of what was known when the stretch began.

    `fair`: the champion has seen nothing of the last stretch.
    """

    starts: tuple[int, ...]
    fair: bool


def plan_of_judging(whole: Dataset, seen: int | None, window: int, min_rows: int) -> Judging:
    """The newest fifth of the rows (four weeks at most); with a champion, its last two weeks, or `window` ms where that
    is longer, are a stretch of their own.

    A challenger must have a chance to know the new world, or after a turn none would ever be better: so the last stretch is short.
    """
    place = int(len(whole) * (1 - HELD_OUT))
    first = max(int(whole.times[place]), int(whole.times[-1]) - HELD_OUT_MOST_MS)
    if seen is None:
        return Judging((first,), True)
    last = int(whole.times[-1]) - max(window, NEWEST_MS)
    if seen > last and int((whole.times >= seen).sum()) >= min_rows:
        last = seen
    if last <= first or int((whole.times >= last).sum()) < min_rows:
        return Judging((first,), seen <= first)
    return Judging((first, last), seen <= last)


def judged(after: Dataset, starts: Sequence[int], models: Sequence[Model]) -> Float64:
    """The score of each row by the model of its stretch."""
    scores = np.empty(len(after), np.float64)
    for start, end, model in zip(starts, [*starts[1:], None], models, strict=True):
        mask = (after.times >= start) & (after.times < end if end is not None else True)
        scores[mask] = model.score(after.rows.filter(pa.array(mask)))
    return scores
