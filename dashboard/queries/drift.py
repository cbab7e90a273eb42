"""Drift: which features moved, since when, and what that does to predictions and quality."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from dashboard import words
from dashboard.queries.head import OFF, condition
from dashboard.queries.window import Window, frame, placed
from streams.drift.reference import SHARE_FLOOR
from streams.sections import Drift as Rule

NEVER_SEEN = "(never seen)"


@dataclass(frozen=True)
class Drift:
    """`cells` has time, until, feature, reach, adjusted, moved, ignored, and the check that moved most in it: check_id, checked.

    `features` ranks what matters, most first.
    """

    sentence: str
    suggestion: str | None  # the reason a Retrain click is filled in with
    cells: pd.DataFrame
    features: pd.DataFrame
    score: pd.DataFrame  # time, value: shift of the predicted rate
    alarms: pd.DataFrame
    newest: str | None


def drift(cursor: duckdb.DuckDBPyConnection, window: Window, rule: Rule = Rule()) -> Drift | None:
    """None: no check has been recorded yet."""
    if not cursor.execute("SELECT 1 FROM checks WHERE kind = 'data' LIMIT 1").fetchone():
        return None
    step = max(window.step, rule.check_every_ms or 0)  # a cell is at least as wide as the time between two checks
    cells = frame(
        cursor,
        # a cell is the time before its checks: that of the newest one ends with the axis
        f"""SELECT (ends - 1) // {step} * {step} AS time, feature, max(reach) AS reach, min(adjusted) AS adjusted, bool_or(moved) AS moved,
                   arg_max(check_id, coalesce(reach, 0)) AS check_id, arg_max(ends, coalesce(reach, 0)) AS checked, bool_or(ignored) AS ignored
            FROM check_features WHERE ends BETWEEN ? AND ? GROUP BY ALL ORDER BY time""",
        [window.start, window.end],
    )
    ranked = frame(
        cursor,
        """WITH quiet AS (SELECT feature, max(ends) FILTER (NOT moved) AS quiet FROM check_features GROUP BY feature),
                spans AS (SELECT feature, min(ends) FILTER (moved AND ends > coalesce(quiet, -1)) AS since
                          FROM check_features JOIN quiet USING (feature) GROUP BY feature)
           SELECT feature, moved, reach, since, adjusted, ignored, usual, middle, missing, outside
           FROM check_features JOIN spans USING (feature) WHERE ends = (SELECT max(ends) FROM check_features)
           ORDER BY moved AND NOT ignored DESC, reach DESC NULLS LAST""",
    )
    newest = cursor.execute("SELECT arg_max(check_id, ends) FROM checks WHERE kind = 'data'").fetchone()
    shift = _shift(cursor, window)
    state, why = condition(cursor, rule)
    sentence = _sentence(ranked, shift, state, why, window.zone)
    alarms = frame(
        cursor,
        "SELECT ends AS time, kind, coalesce(reason, alarm) AS reason FROM checks WHERE alarm IS NOT NULL AND ends BETWEEN ? AND ? ORDER BY ends",
        [window.start, window.end],
    )
    placed(cells, window.zone, "time", "checked")
    cells["until"] = cells["time"] + pd.Timedelta(milliseconds=step)
    suggestion = None if state in ("quiet", "empty") else sentence.removesuffix(": retrain.").rstrip(".")
    return Drift(
        sentence,
        suggestion,
        cells,
        placed(ranked, window.zone, "since"),
        placed(shift, window.zone, "time"),
        placed(alarms, window.zone, "time"),
        newest[0] if newest else None,
    )


def any_row(cursor: duckdb.DuckDBPyConnection) -> bool:
    return cursor.execute("SELECT 1 FROM check_features LIMIT 1").fetchone() is not None


def names(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Features of the newest check, those that moved most first."""
    return [
        name
        for (name,) in cursor.execute(
            """SELECT feature FROM check_features WHERE ends = (SELECT max(ends) FROM check_features) ORDER BY moved DESC, reach DESC NULLS LAST"""
        ).fetchall()
    ]


def _shift(cursor: duckdb.DuckDBPyConnection, window: Window) -> pd.DataFrame:
    return frame(
        cursor,
        """SELECT ends AS time, TRY_CAST(body->>'$.mean' AS DOUBLE) AS mean, TRY_CAST(body->>'$.reference_mean' AS DOUBLE) AS reference
           FROM checks WHERE kind = 'prediction' AND ends BETWEEN ? AND ? ORDER BY ends""",
        [window.start, window.end],
    )


def _sentence(ranked: pd.DataFrame, shift: pd.DataFrame, state: str, why: str, zone: str) -> str:
    all_moved, ignored = ranked["moved"].astype(bool), ranked["ignored"].astype(bool)
    moved, muted, judged = ranked[all_moved & ~ignored], int((all_moved & ignored).sum()), int((~ignored).sum())
    parts = []
    if len(moved):
        since = moved["since"].dropna()
        when = f"Since {words.day(int(since.min()), zone)} " if len(since) else ""
        parts.append(
            f"{when}{len(moved)} of {judged} features moved, {moved['feature'].iloc[0]} first"
            if len(moved) > 1
            else f"{when}{moved['feature'].iloc[0]} moved, 1 of {judged} features"
        )
    else:
        parts.append(f"None of {judged} features moved")
    if muted:
        parts.append(f"{words.count(muted, 'muted feature')} did")
    if not shift.empty and pd.notna(shift["mean"].iloc[-1]) and pd.notna(shift["reference"].iloc[-1]):
        points = 100 * (shift["mean"].iloc[-1] - shift["reference"].iloc[-1])
        if abs(points) >= 1:
            parts.append(
                f"predictions {'rose' if points > 0 else 'fell'} by {abs(points):.0f} {'point' if abs(points) < 1.5 else 'points'}"
            )
    if state == "alarm" and why.startswith(OFF):
        return "; ".join([*parts, f"{why}: retrain"]) + "."
    return "; ".join(parts) + "."


@dataclass(frozen=True)
class Cell:
    """One feature in one check. `bars` has side (reference, current), share, and `value` (words, or few numbers) or low, high, density."""

    feature: str
    ends: int
    bars: pd.DataFrame
    words: bool
    facts: dict[str, str]


def cell(cursor: duckdb.DuckDBPyConnection, feature: str, check_id: str | None = None) -> Cell | None:
    row = cursor.execute(
        f"""SELECT body, ends, reach, moved FROM check_features WHERE feature = ? {"AND check_id = ?" if check_id else ""} ORDER BY ends DESC LIMIT 1""",
        [feature, check_id] if check_id else [feature],
    ).fetchone()
    if row is None:
        return None
    body = json.loads(row[0])
    facts = {
        "verdict": "moved" if row[3] else "as in the reference",
        "distance": f"{words.sensible(row[2])} × the usual limit" if row[2] is not None else "–",
        "adjusted p": words.sensible(body.get("adjusted")),
        "empty": f"{body.get('missing') or 0:.1%}",
        "never seen before": f"{body.get('outside') or 0:.1%}",
    }
    bars, text = _bars(body.get("reference") or {}, body.get("current") or {})
    return Cell(feature, row[1], bars, text, facts)


def _bars(reference: dict[str, Any], current: dict[str, Any]) -> tuple[pd.DataFrame, bool]:
    """Bars of both sketches, and whether they are words. What the reference never had is one bar more.

    Numbers become steps named by their upper edge where bars are equal or very unequal (a density would be all spike), or where values
    are outside the reference (a density has no place for them).
    """
    made: list[dict[str, Any]] = []
    strange = 0.0
    for side, sketch in (("reference", reference), ("current", current)):
        counts, outside = sketch.get("counts") or [], sketch.get("outside") or 0
        total = max(1, sum(counts) + outside)
        strange = max(strange, outside / total)
        if sketch.get("words") is not None:
            made += [{"value": word, "side": side, "share": n / total} for word, n in zip(sketch["words"], counts, strict=True)]
        else:
            edges = sketch.get("edges") or [0.0] * (len(counts) + 1)
            made += [
                {"low": low, "high": high, "side": side, "share": n / total}
                for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
            ]
        made.append({"value": NEVER_SEEN, "side": side, "share": outside / total})
    bars = pd.DataFrame(made)
    new = bars["value"] == NEVER_SEEN
    inside = bars[~new]
    if "words" in reference or inside.empty:
        return bars if strange or inside.empty else inside, True
    width = inside["high"] - inside["low"]
    if strange > SHARE_FLOOR or (width <= 0).any() or width.max() > 60 * width.median():
        whole = bool((inside["high"] % 1 == 0).all() and (width <= 1).all())
        bars.loc[~new, "value"] = [
            words.sensible(high) if whole or low == high else f"≤ {words.sensible(high)}"
            for low, high in zip(inside["low"], inside["high"], strict=True)
        ]
        return bars if strange else bars.loc[~new], False
    return inside.assign(density=inside["share"] / width), False
