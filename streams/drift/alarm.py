"""When a finding is an alarm: so many checks in a row, then quiet for a while. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """`consecutive` checks in a row must find it; after an alarm the same kind is quiet for `cooldown` ms of event time."""

    consecutive: int = 2
    cooldown: int = 0


@dataclass(frozen=True)
class Streak:
    """What a rule remembers of one kind: findings in a row, and the event time of the last alarm."""

    found: int = 0
    alarmed: int | None = None


def judge(rule: Rule, streak: Streak, found: bool, end: int) -> tuple[Streak, bool]:
    """One more check, that ended at event time `end`. The second value says whether it raises an alarm.

    >>> first, rings = judge(Rule(2, 10), Streak(), True, 100)
    >>> judge(Rule(2, 10), first, True, 101)
    (Streak(found=2, alarmed=101), True)
    """
    if not found:
        return Streak(0, streak.alarmed), False
    length = streak.found + 1
    quiet = streak.alarmed is not None and end < streak.alarmed + rule.cooldown
    if length >= rule.consecutive and not quiet:
        return Streak(length, end), True
    return Streak(length, streak.alarmed), False
