"""One check: what a window of events says against the reference. Counts in, records out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streams.drift.distance import adjusted, chi_square, kolmogorov_smirnov, number_stability
from streams.drift.performance import SCORES, SUMS, UNIT, Measured, expected_intervals, intervals, promises
from streams.drift.reference import SHARE_FLOOR, FeatureReference, Reference, stability
from streams.drift.sketch import coarse
from streams.types import Int64

SEGMENT_VALUES = 200  # values of each segment that are told apart


@dataclass
class Window:
    """Counts of one stretch of event time; stretches add up. `features` lies flat, feature after feature, slot after slot."""

    features: Int64
    feature_rows: int = 0
    scores: Int64 = field(default_factory=lambda: np.zeros(SCORES, np.int64))
    estimated: int = 0  # expected accuracy, in units of 2^-32
    served: Measured = field(default_factory=Measured)  # whatever version scored it
    current: Measured = field(default_factory=Measured)  # by the version that serves now
    segments: dict[tuple[str, str], Int64] = field(default_factory=dict)

    def plus(self, other: Window) -> None:
        if len(other.features) == len(self.features):
            self.features = self.features + other.features
            self.feature_rows += other.feature_rows
        self.scores = self.scores + other.scores
        self.estimated += other.estimated
        self.served.plus(other.served)
        self.current.plus(other.current)
        for name, sums in other.segments.items():
            self.segments[name] = self.segments.get(name, np.zeros(SUMS, np.int64)) + sums


@dataclass(frozen=True)
class Limits:
    """`threshold` overrides the calibrated gap limit; `ignore` names features that raise no alarm."""

    min_rows: int = 500
    alpha: float = 0.05
    share: float = 0.2
    threshold: float | None = None
    ignore: frozenset[str] = frozenset()


def data_check(window: Window, reference: Reference, limits: Limits) -> dict[str, Any]:
    """Each feature's test; `suspect` features are significant after adjustment and beyond the reference's own weeks."""
    tested = []
    at = 0
    for one in reference.features:
        counts = window.features[at : at + one.bins.slots]
        at += one.bins.slots
        tested.append((one, counts, *_test(one, counts)))
    p_values = adjusted(np.array([p for *_, p in tested], np.float64))
    features = []
    for (one, counts, name, statistic, p), fair in zip(tested, p_values, strict=True):
        psi = stability(one.bins, one.counts, counts)
        features.append(
            {
                "name": one.bins.name,
                "test": name,
                "statistic": round(statistic, 6),
                "p_value": p,
                "adjusted": float(fair),
                "psi": round(psi, 6),
                "limit": round(one.limit, 6),
                "suspect": bool(fair < limits.alpha and psi > one.limit),
                "ignored": one.bins.name in limits.ignore,
                "missing": _share(one, counts, -2),
                "outside": _share(one, counts, -1),
                "reference": coarse(one.bins, one.counts),
                "current": coarse(one.bins, counts),
            }
        )
    return {"kind": "data", "rows": window.feature_rows, "features": features}


def _test(one: FeatureReference, counts: Int64) -> tuple[str, float, float]:
    first, second = one.bins.compared(one.counts), one.bins.compared(counts)
    if one.bins.words is not None:
        return ("chi_square", *chi_square(first, second))
    return ("kolmogorov_smirnov", *kolmogorov_smirnov(first, second))


def _rows(one: FeatureReference, counts: Int64) -> int:
    """A number out of range is counted in an end bin too; a new word in the last slot only."""
    return int(counts.sum() if one.bins.words is not None else counts[:-1].sum())


def _share(one: FeatureReference, counts: Int64, slot: int) -> float:
    return round(int(counts[slot]) / max(_rows(one, counts), 1), 6)


def quality_check(window: Window, reference: Reference, limits: Limits) -> dict[str, Any]:
    """Features with more NULLs than the worst week of the reference, or with values it never had."""
    findings = []
    at = 0
    for one in reference.features:
        counts = window.features[at : at + one.bins.slots]
        at += one.bins.slots
        if one.bins.name in limits.ignore:
            continue
        words = one.bins.words is not None
        rows = max(_rows(one, counts), 1)
        missing, outside = int(counts[-2]) / rows, int(counts[-1]) / rows
        slack = max(SHARE_FLOOR, 3 * float(np.sqrt(max(one.missing * (1 - one.missing), 1e-4) / rows)))
        if missing > one.missing + slack:
            findings.append({"name": one.bins.name, "what": "missing", "share": round(missing, 6), "usual": round(one.missing, 6)})
        if outside > 5 * SHARE_FLOOR:
            findings.append(
                {"name": one.bins.name, "what": "new words" if words else "out of range", "share": round(outside, 6), "usual": 0.0}
            )
    return {"kind": "quality", "rows": window.feature_rows, "findings": findings}


def prediction_check(window: Window, reference: Reference, limits: Limits) -> dict[str, Any]:
    """Whether the scores moved, and what the model itself expects of them before any label."""
    rows = int(window.scores.sum())
    statistic, p = kolmogorov_smirnov(reference.scores, window.scores)
    psi = number_stability(reference.scores, window.scores)
    middle = (np.arange(SCORES) + 0.5) / SCORES
    return {
        "kind": "prediction",
        "rows": rows,
        "test": "kolmogorov_smirnov",
        "statistic": round(statistic, 6),
        "p_value": p,
        "psi": round(psi, 6),
        "limit": round(reference.score_limit, 6),
        "suspect": bool(rows >= limits.min_rows and p < limits.alpha and psi > reference.score_limit),
        "mean": float((window.scores * middle).sum() / rows) if rows else None,
        "reference_mean": float((reference.scores * middle).sum() / max(int(reference.scores.sum()), 1)),
        "estimated_accuracy": window.estimated / UNIT / rows if rows else None,
        "reference": _twenty(reference.scores),
        "current": _twenty(window.scores),
    }


def _twenty(scores: Int64) -> list[int]:
    return [int(one) for one in scores.reshape(20, -1).sum(axis=1)]


def performance_check(window: Window, reference: Reference | None, limits: Limits, blocks: Sequence[Window] = ()) -> dict[str, Any]:
    """Measured quality of what served, and whether the serving version's gap is beyond its limit; `blocks` (days) give the intervals."""
    current = window.current.numbers()
    limit = limits.threshold if limits.threshold is not None else (reference.gap_limit if reference else None)
    gap = current["gap"]
    decayed = bool(limit is not None and gap is not None and window.current.rows >= limits.min_rows and abs(gap) > limit)
    segments: dict[str, dict[str, Any]] = {}
    for name, word, sums in _most_frequent(window.segments):
        band = intervals([Measured(one.segments[name, word]) for one in blocks if (name, word) in one.segments])
        segments.setdefault(name, {})[word] = Measured(sums).numbers() | {"auc": None} | band
    served = window.served.numbers() | intervals([one.served for one in blocks])
    return {
        "kind": "performance",
        "rows": window.served.rows,
        "performance": {
            **served,
            "current": current,
            "limit": limit,
            "decayed": decayed,
            "estimated": _estimated(window) | expected_intervals([one.scores for one in blocks]),
            "reference": dict(reference.performance) if reference else None,
        },
        "segments": segments,
    }


def _most_frequent(segments: Mapping[tuple[str, str], Int64]) -> Iterator[tuple[str, str, Int64]]:
    """Of each segment the values with most labelled rows, in order of their names: each record is kept for ever."""
    for name in sorted({name for name, _ in segments}):
        ranked = sorted((-int(sums[0]), word) for (one, word), sums in segments.items() if one == name)
        yield from ((name, word, segments[name, word]) for word in sorted(word for _, word in ranked[:SEGMENT_VALUES]))


def _estimated(window: Window) -> dict[str, float | None]:
    """Log loss, Brier and rate that the scores promise if they are calibrated, before the labels come."""
    rows = int(window.scores.sum())
    if not rows:
        return {"log_loss": None, "brier": None, "predicted": None, "accuracy": None}
    found: dict[str, float | None] = {name: float((window.scores * promise).sum() / rows) for name, promise in promises().items()}
    return found | {"accuracy": window.estimated / UNIT / rows}
