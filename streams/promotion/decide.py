"""May the challenger be promoted? Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.retraining.runs import Run


@dataclass(frozen=True)
class Verdict:
    """`allowed`: the interval excludes what the margin forbids. `reason` is for people."""

    allowed: bool
    reason: str


def may_promote(run: Run, margin: float, champion: int | None) -> Verdict:
    """Whether the rule lets a run's version replace this champion (None: whichever there is), and why not."""
    return verdict(run.comparison, margin, champion if champion != run.version else None)


def verdict(comparison: Mapping[str, Any] | None, margin: float, champion: int | None = None) -> Verdict:
    """The near end of the interval must be above `margin` (0: better; below 0: so much harm at most is put up with), and the comparison one
    with `champion`, the version that would be replaced (None: that is not asked).

    >>> verdict({"metric": "log_loss", "difference": {"value": 0.02, "low": 0.01, "high": 0.03}}, 0.0).allowed
    True
    >>> verdict(None, 0.0).reason
    'the first champion: there is nothing to compare with'
    """
    if comparison is None:
        return Verdict(True, "the first champion: there is nothing to compare with")
    if champion is not None and comparison.get("champion_version", champion) != champion:
        return Verdict(
            False, f"it was compared with version {comparison['champion_version']}, and version {champion} is the champion now; retrain"
        )
    found = comparison["difference"]
    metric = str(comparison["metric"]).replace("_", " ")
    if found["low"] is None:
        return Verdict(False, f"there are too few labelled days to say how sure the difference in {metric} is")
    interval = f"improvement in {metric} {found['value']:+.4f}, 95% interval [{found['low']:+.4f}, {found['high']:+.4f}]"
    if found["low"] > margin:
        return Verdict(True, f"{interval}, above the margin {margin:g}")
    return Verdict(False, f"{interval} reaches below the margin {margin:g}")
