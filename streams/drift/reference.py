"""What the world looked like to the champion: fixed when it is trained, kept beside the model, read by the drift step.

Limits come from the reference's own weeks, so that what was normal then is no alarm now.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streams.drift.distance import number_stability, word_stability
from streams.drift.performance import SCORES, Measured, score_bins
from streams.drift.sketch import Bins, bins_of
from streams.types import Int64

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

FILE = "reference.json"
PSI_FLOOR = 0.1  # below it nobody speaks of a shift, however calm the reference was
SHARE_FLOOR = 0.01  # of NULLs or strangers beyond the worst week of the reference


@dataclass(frozen=True)
class FeatureReference:
    """`limit` is the largest PSI between one window of the reference and the rest; `missing` the largest share of NULLs."""

    bins: Bins
    counts: Int64
    limit: float
    missing: float


@dataclass(frozen=True)
class Reference:
    """`features` over the rows the champion was trained on; scores and performance over its hold-out (event times in ms)."""

    rows: int
    start: int
    end: int
    features: tuple[FeatureReference, ...]
    scores: Int64
    score_limit: float
    performance: Mapping[str, Any]
    gap_limit: float
    segments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def text(self) -> str:
        value = {
            "rows": self.rows,
            "start": self.start,
            "end": self.end,
            "features": [
                {**one.bins.value(), "counts": one.counts.tolist(), "limit": one.limit, "missing": one.missing} for one in self.features
            ],
            "scores": self.scores.tolist(),
            "score_limit": self.score_limit,
            "performance": dict(self.performance),
            "gap_limit": self.gap_limit,
            "segments": {name: dict(values) for name, values in self.segments.items()},
        }
        return json.dumps(value, sort_keys=True) + "\n"

    @staticmethod
    def read(text: str) -> Reference:
        value = json.loads(text)
        features = tuple(
            FeatureReference(Bins.of(one), np.array(one["counts"], np.int64), one["limit"], one["missing"]) for one in value["features"]
        )
        return Reference(
            value["rows"],
            value["start"],
            value["end"],
            features,
            np.array(value["scores"], np.int64),
            value["score_limit"],
            value["performance"],
            value["gap_limit"],
            value["segments"],
        )


@dataclass(frozen=True)
class Scored:
    """The hold-out: rows that the model had not seen, in order of event time, with the segments' values."""

    times: Int64
    scores: Float64
    labels: Bool
    segments: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def reference_of(rows: pa.Table, times: Int64, scored: Scored, names: Sequence[str], window: int, every: int, min_rows: int) -> Reference:
    """`rows` are the training window's feature rows and `times` their event times; `window` and `every` are the checks' own."""
    start, end = (int(times.min()), int(times.max()) + 1) if len(times) else (0, 0)
    group = (times - start) // window
    groups = int(group.max()) + 1 if len(times) else 0
    features = tuple(_feature(bins_of(name, rows.column(name)), rows.column(name), group, groups, min_rows) for name in names)
    whole = Measured.of(scored.scores, scored.labels)
    numbers = whole.numbers()
    windows = list(_windows(scored, window, every, min_rows))
    gaps = [abs(float(one["gap"])) for one in windows if one["gap"] is not None]
    losses = [float(one["log_loss"]) for one in windows if one["log_loss"] is not None]
    rate = float(numbers["observed"] or 0.0)
    typical = max(float(np.mean([one["rows"] for one in windows])) if windows else len(scored.scores), 1.0)
    noise = 3 * float(np.sqrt(max(rate * (1 - rate), 1e-6) / typical))
    bands = {"log_loss_low": min(losses), "log_loss_high": max(losses)} if losses else {}
    return Reference(
        len(times),
        start,
        end,
        features,
        whole.bins.sum(axis=0),
        _score_limit(scored, window, min_rows),
        {**numbers, **bands, "windows": len(windows)},
        max([noise, *gaps]),
        {name: _by_value(scored, values) for name, values in scored.segments.items()},
    )


def _feature(bins: Bins, column: pa.ChunkedArray, group: Int64, groups: int, min_rows: int) -> FeatureReference:
    parts = bins.counts(column, group, groups) if groups else np.zeros((1, bins.slots), np.int64)
    total = parts.sum(axis=0)
    limit, missing = PSI_FLOOR, 0.0
    for part in parts:
        known = int(part[: bins.bins].sum())
        rows = known + int(part[-2])
        if rows < min_rows:
            continue
        limit = max(limit, stability(bins, total - part, part))
        missing = max(missing, int(part[-2]) / rows)
    return FeatureReference(bins, total, limit, missing)


def stability(bins: Bins, reference: Int64, current: Int64) -> float:
    """The PSI of two counts [slots] of one column."""
    distance = number_stability if bins.words is None else word_stability
    return distance(bins.compared(reference), bins.compared(current))


def _windows(scored: Scored, window: int, every: int, min_rows: int) -> Any:
    if not len(scored.times):
        return
    end = int(scored.times[0]) + window
    while end <= int(scored.times[-1]) + every:
        low, high = np.searchsorted(scored.times, [end - window, end])
        if high - low >= min_rows:
            yield Measured.of(scored.scores[low:high], scored.labels[low:high]).numbers()
        end += every


def _score_limit(scored: Scored, window: int, min_rows: int) -> float:
    limit = PSI_FLOOR
    if len(scored.times):
        group = (scored.times - scored.times[0]) // window
        codes = score_bins(scored.scores)
        total = np.bincount(codes, minlength=SCORES)
        for one in np.unique(group):
            part = np.bincount(codes[group == one], minlength=SCORES)
            if min_rows <= part.sum() < len(codes):
                limit = max(limit, number_stability(total - part, part))
    return limit


def _by_value(scored: Scored, values: Sequence[Any]) -> dict[str, Any]:
    words = np.array([str(value) for value in values], dtype=object)
    found = {}
    for word in sorted(set(words.tolist())):
        mask = words == word
        found[word] = Measured.of(scored.scores[mask], scored.labels[mask]).numbers()
    return found
