"""Champion against challenger on the same labelled rows: difference with an interval, by segment, calibration, flipped decisions.

Rows of one day are alike, so the interval comes from resampling whole days (block bootstrap), with a fixed seed: the same rows give the
same interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.drift.performance import SCORES, Measured, area, log_loss, score_bins
from streams.types import Int64

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

DAY = 86_400_000
RESAMPLES = 2000
LEVEL = 0.95
MOST_VALUES = 30


def compare(
    times: Int64,
    labels: Bool,
    champion: Float64,
    challenger: Float64,
    threshold: float,
    metric: str = "log_loss",
    segments: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """`difference` is the champion's loss less the challenger's (for auc: the challenger's less the champion's): above 0 is better.

    `low` and `high` are the 95% interval; None where there are fewer than two days.
    """
    days = times // DAY
    return {
        "metric": metric,
        "rows": len(times),
        "start": int(times.min()) if len(times) else None,
        "end": int(times.max()) if len(times) else None,
        "champion": Measured.of(champion, labels).numbers(),
        "challenger": Measured.of(challenger, labels).numbers(),
        "difference": difference(days, labels, champion, challenger, metric),
        "segments": _segments(days, labels, champion, challenger, metric, segments or {}),
        "calibration": {"champion": calibration(champion, labels), "challenger": calibration(challenger, labels)},
        "flipped": flipped(labels, champion >= threshold, challenger >= threshold),
    }


def difference(days: Int64, labels: Bool, champion: Float64, challenger: Float64, metric: str) -> dict[str, float | None]:
    if not len(days):
        return {"value": None, "low": None, "high": None}
    _, block = np.unique(days, return_inverse=True)
    blocks = int(block.max()) + 1
    draws = np.random.default_rng(0).multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
    if metric == "auc":
        value, drawn = _auc(block, blocks, labels, champion, challenger, draws[:400])
    else:
        loss = (lambda p: log_loss(p, labels)) if metric == "log_loss" else (lambda p: (p - labels) ** 2)
        gain = loss(champion) - loss(challenger)
        sums, sizes = np.bincount(block, weights=gain, minlength=blocks), np.bincount(block, minlength=blocks)
        value, drawn = float(gain.mean()), (draws @ sums) / np.maximum(draws @ sizes, 1)
    if blocks < 2 or value is None:
        return {"value": value, "low": None, "high": None}
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": value, "low": float(low), "high": float(high)}


def _auc(block: Int64, blocks: int, labels: Bool, first: Float64, second: Float64, draws: Int64) -> tuple[float | None, Float64]:
    def bins(scores: Float64) -> Int64:
        flat = (block * 2 + labels) * SCORES + score_bins(scores)
        return np.bincount(flat, minlength=blocks * 2 * SCORES).reshape(blocks, 2 * SCORES)

    one, two = bins(first), bins(second)
    whole = [area(counts.sum(axis=0).reshape(2, SCORES)) for counts in (one, two)]
    if whole[0] is None or whole[1] is None:
        return None, np.empty(0)
    pairs = [(area((draw @ one).reshape(2, SCORES)), area((draw @ two).reshape(2, SCORES))) for draw in draws]
    return whole[1] - whole[0], np.array([b - a for a, b in pairs if a is not None and b is not None])


def _segments(
    days: Int64, labels: Bool, champion: Float64, challenger: Float64, metric: str, segments: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in segments.items():
        words = np.array([str(value) for value in values], dtype=object)
        distinct, counts = np.unique(words.astype(str), return_counts=True)
        top = sorted(zip(distinct.tolist(), counts.tolist(), strict=True), key=lambda one: (-one[1], one[0]))[:MOST_VALUES]
        found[name] = {}
        for word, rows in top:
            mask = words == word
            found[name][word] = {"rows": rows, **difference(days[mask], labels[mask], champion[mask], challenger[mask], metric)}
    return found


def calibration(scores: Float64, labels: Bool, bins: int = 10) -> list[dict[str, Any]]:
    """Observed rate against mean score, in ten bins of equal width; empty ones are left out."""
    code = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    rows = np.bincount(code, minlength=bins)
    score = np.bincount(code, weights=scores, minlength=bins)
    truth = np.bincount(code, weights=labels, minlength=bins)
    return [
        {"rows": int(rows[i]), "score": float(score[i] / rows[i]), "observed": float(truth[i] / rows[i])} for i in range(bins) if rows[i]
    ]


def flipped(labels: Bool, champion: Bool, challenger: Bool) -> dict[str, int]:
    """Decisions that differ, and how many of them the challenger got right."""
    to_true, to_false = ~champion & challenger, champion & ~challenger
    return {
        "to_true": int(to_true.sum()),
        "to_true_right": int((to_true & labels).sum()),
        "to_false": int(to_false.sum()),
        "to_false_right": int((to_false & ~labels).sum()),
    }
