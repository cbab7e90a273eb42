"""How good scored and labelled rows are, as sums of whole numbers: mergeable, and the same however rows were batched.

Losses are summed as integers of 2^-32 (34.5 at most a row, so 60 million rows fit), scores in 1,000 bins, from which AUC follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from streams.types import Int64

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SCORES = 1000
UNIT = 2.0**32
TINY = 1e-15
SUMS = 5  # rows, labelled true, score, log loss, squared error
BLOCKS = 4  # of rows that an interval asks for at least


def log_loss(scores: Float64, labels: Bool) -> Float64:
    """The loss of each row, natural logarithm, scores kept within [1e-15, 1 - 1e-15]."""
    kept = np.clip(scores, TINY, 1 - TINY)
    return -np.log(np.where(labels, kept, 1 - kept))


def score_bins(scores: Float64) -> Int64:
    return np.clip((scores * SCORES).astype(np.int64), 0, SCORES - 1)


@dataclass
class Measured:
    """Sums over labelled rows; `bins[0]` counts those labelled false, `bins[1]` true, by score."""

    sums: Int64 = field(default_factory=lambda: np.zeros(SUMS, np.int64))
    bins: Int64 = field(default_factory=lambda: np.zeros((2, SCORES), np.int64))

    @staticmethod
    def of(scores: Float64, labels: Bool) -> Measured:
        found = Measured()
        found.add(scores, labels)
        return found

    def add(self, scores: Float64, labels: Bool) -> None:
        truth = labels.astype(np.int64)
        self.sums += np.array(
            [
                len(scores),
                truth.sum(),
                np.rint(scores * UNIT).astype(np.int64).sum(),
                np.rint(log_loss(scores, labels) * UNIT).astype(np.int64).sum(),
                np.rint((scores - truth) ** 2 * UNIT).astype(np.int64).sum(),
            ],
            np.int64,
        )
        self.bins += np.bincount(truth * SCORES + score_bins(scores), minlength=2 * SCORES).reshape(2, SCORES)

    def plus(self, other: Measured) -> None:
        self.sums = self.sums + other.sums
        self.bins = self.bins + other.bins

    @property
    def rows(self) -> int:
        return int(self.sums[0])

    def numbers(self) -> dict[str, float | int | None]:
        """log_loss, brier, auc (None with one class only), observed and predicted rate, gap = observed - predicted."""
        rows = self.rows
        if not rows:
            return {"rows": 0, "log_loss": None, "auc": None, "brier": None, "observed": None, "predicted": None, "gap": None}
        positive = int(self.sums[1])
        observed, predicted = positive / rows, float(self.sums[2]) / UNIT / rows
        return {
            "rows": rows,
            "log_loss": float(self.sums[3]) / UNIT / rows,
            "auc": area(self.bins),
            "brier": float(self.sums[4]) / UNIT / rows,
            "observed": observed,
            "predicted": predicted,
            "gap": observed - predicted,
        }


def area(bins: Int64) -> float | None:
    """Area under the ROC curve from score bins; ties within a bin count half. None when one class is missing."""
    negative, positive = bins[0], bins[1]
    pairs = int(negative.sum()) * int(positive.sum())
    if not pairs:
        return None
    below = np.cumsum(negative) - negative
    return float((positive * below).sum() + 0.5 * (positive * negative).sum()) / pairs


def intervals(blocks: Sequence[Measured]) -> dict[str, float]:
    """The 95% interval of each number of all blocks together, as `log_loss_low`, `log_loss_high` and so on.

    Rows of one day are alike, so the interval comes from leaving out one block at a time (jackknife), not from rows taken for
    independent. Empty with fewer than four blocks that have rows; without `auc` where a block less would leave one class only.
    """
    blocks = [one for one in blocks if one.rows]
    if len(blocks) < BLOCKS:
        return {}
    sums = np.stack([one.sums for one in blocks])
    whole, rest = sums.sum(axis=0), sums.sum(axis=0) - sums
    found: dict[str, float] = {}
    for name, place, unit in (("observed", 1, 1.0), ("predicted", 2, UNIT), ("log_loss", 3, UNIT), ("brier", 4, UNIT)):
        found |= _interval(name, float(whole[place] / unit / whole[0]), rest[:, place] / unit / rest[:, 0])
    bins = np.sum([one.bins for one in blocks], axis=0)
    value, without = area(bins), [area(bins - one.bins) for one in blocks]
    known = [one for one in without if one is not None]
    if value is not None and len(known) == len(blocks):
        found |= _interval("auc", value, np.array(known))
    return found


def expected_intervals(blocks: Sequence[Int64]) -> dict[str, float]:
    """The same of what scores promise; `blocks` are their counts by bin."""
    blocks = [one for one in blocks if one.any()]
    if len(blocks) < BLOCKS:
        return {}
    counts = np.stack(blocks)
    rest = counts.sum(axis=0) - counts
    found: dict[str, float] = {}
    for name, promise in promises().items():
        value = float((counts.sum(axis=0) * promise).sum() / counts.sum())
        found |= _interval(name, value, (rest * promise).sum(axis=1) / rest.sum(axis=1))
    return found


def _interval(name: str, value: float, without: Float64) -> dict[str, float]:
    blocks = len(without)
    error = float(np.sqrt((blocks - 1) / blocks * ((without - without.mean()) ** 2).sum()))
    reach = float(special.stdtrit(blocks - 1, 0.975)) * error
    low, high = value - reach, value + reach
    return {f"{name}_low": max(low, 0.0), f"{name}_high": high if name == "log_loss" else min(high, 1.0)}


def promises() -> dict[str, Float64]:
    """By score bin, what a calibrated model expects of its own answer before any label."""
    p = (np.arange(SCORES) + 0.5) / SCORES
    return {"log_loss": -(p * np.log(p) + (1 - p) * np.log(1 - p)), "brier": p * (1 - p), "predicted": p}


def estimated_accuracy(scores: Float64, threshold: float) -> Float64:
    """What a calibrated model expects of its own answer, before any label: p where it says true, 1 - p where it says false."""
    return np.where(scores >= threshold, scores, 1 - scores)
