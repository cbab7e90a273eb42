"""Live: is it running?"""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from dashboard import parts, words
from dashboard.desk import REFRESH, Desk
from dashboard.queries import live as queries

NAME = "live"
TITLE = "Live"


def show(desk: Desk) -> None:
    _now(desk)
    _set_aside(desk)


@st.fragment(run_every=REFRESH)
def _now(desk: Desk) -> None:
    found = queries.live(desk.cursor(), list(desk.project.sources))
    parts.sentence(found.sentence)
    if all(stage.total == 0 for stage in found.stages):
        source = next(iter(desk.project.sources))
        parts.empty(
            "No event has come in",
            "The topics are there and empty. Send some events:",
            f"driftline produce {source} FILE.jsonl --project {desk.project.root}",
        )
        return
    st.html('<div class="dl-way">' + "".join(_box(stage, found.rates) for stage in found.stages) + "</div>")
    parts.note(
        "The way of an event: rows per second over the last minute, records waiting, time since the last row. Bars: ten minutes of wall clock."
    )


def _box(stage: queries.Stage, rates: pd.DataFrame) -> str:
    waiting = "" if stage.lag is None else "nothing waiting" if not stage.lag else f"{stage.lag:,} waiting"
    behind = ' class="dl-behind"' if (stage.lag or 0) > 10_000 else ""
    idle = ("&nbsp;" if stage.total else "no row yet") if stage.idle_ms is None else f"{words.age(stage.idle_ms)} ago"
    rate = f"{stage.rate:,.0f}" if stage.rate >= 10 or not stage.rate else f"{stage.rate:.1f}"
    return (
        f'<div class="dl-stage"><h4>{escape(stage.name)}</h4><div class="dl-rate">{rate} <small>rows/s</small></div>'
        f"<p{behind}>{waiting or '&nbsp;'}</p><p>{idle}</p><p>{stage.total:,} in all</p>{_line(rates[rates['step'] == stage.name])}</div>"
    )


def _line(rates: pd.DataFrame) -> str:
    """Rows per second over ten minutes as small bars of the page itself: a chart would be drawn anew with every look."""
    top = max(1e-9, float(rates["rate"].max())) if len(rates) else 1.0
    bars = "".join(f'<i style="height:{max(4, round(100 * rate / top))}%"></i>' for rate in rates["rate"])
    return f'<div class="dl-line">{bars}</div>'


@st.fragment(run_every=2 * REFRESH)
def _set_aside(desk: Desk) -> None:
    cursor = desk.cursor()
    letters, late = queries.dead_letters(cursor), queries.late(cursor)
    left, right = st.columns(2, gap="large")
    with left:
        parts.title("Dead letters", "what could not be read, with its bytes, place and reason")
        if letters.empty:
            parts.note("None: every record could be read.")
        else:
            st.dataframe(
                _timed(letters, desk.zone)[["when", "source", "reason", "value"]],
                hide_index=True,
                height=min(320, 38 + 35 * len(letters)),
                column_config={"source": "place"},
            )
            parts.note("Mend the cause, then put them back: driftline dead-letters redrive")
    with right:
        parts.title("Late events", "answered, and what went by without them")
        if late.empty:
            parts.note("None: every event came in its order.")
        else:
            late["behind"] = [words.age(value) for value in late["behind_ms"]]
            shown = ["when", "place", "behind", *(["missed"] if late["missed"].fillna("").str.len().any() else [])]
            st.dataframe(_timed(late, desk.zone)[shown], hide_index=True, height=min(320, 38 + 35 * len(late)))


def _timed(rows: pd.DataFrame, zone: str) -> pd.DataFrame:
    rows["when"] = [words.moment(int(at), zone) for at in rows["noted"]]
    return rows
