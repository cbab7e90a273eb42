"""Live: is it running?"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from time import time

import pandas as pd
import streamlit as st

from dashboard import parts, words
from dashboard.desk import REFRESH, Desk
from dashboard.queries import live as queries

NAME = "live"
TITLE = "Live"


def show(desk: Desk) -> None:
    held = _held(desk)
    st.fragment(_now, run_every=None if held else REFRESH)(desk, held)
    st.fragment(_set_aside, run_every=None if held else 2 * REFRESH)(desk, held)


@dataclass(frozen=True)
class Held:
    """What the page shows while it is paused."""

    at: int  # wall ms
    live: queries.Live
    letters: pd.DataFrame
    late: pd.DataFrame


def _held(desk: Desk) -> Held | None:
    """The page as it stood when somebody paused it; the streams go on."""
    held: Held | None = st.session_state.get("held")
    if not st.session_state.get("paused"):
        held = None
    elif held is None:
        cursor = desk.cursor()
        letters, late = queries.dead_letters(cursor), queries.late(cursor)
        held = Held(int(time() * 1000), queries.live(cursor, list(desk.project.sources)), letters, late)
    st.session_state["held"] = held
    return held


def _pause() -> None:
    st.session_state["paused"] = not st.session_state.get("paused")


def _now(desk: Desk, held: Held | None) -> None:
    found = held.live if held else queries.live(desk.cursor(), list(desk.project.sources))
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
    if job := queries.on_flink(desk.project):
        parts.note(job)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Go on" if held else "Pause", key="pause", on_click=_pause, help="Holds this page still to read it; the streams go on."
        ):
            st.rerun()
        parts.note(
            f"This page stands still since {words.moment(held.at, desk.zone, seconds=True)}; the streams go on."
            if held
            else "The way of an event: rows per second over the last minute, records waiting, time since the last row. Bars: ten minutes of wall clock."
        )


def _box(stage: queries.Stage, rates: pd.DataFrame) -> str:
    waiting = "" if stage.lag is None else "nothing waiting" if not stage.lag else f"{stage.lag:,} waiting"
    behind = ' class="dl-behind"' if (stage.lag or 0) > 10_000 else ""
    idle = ("&nbsp;" if stage.total else "no row yet") if stage.idle_ms is None else f"{words.age(stage.idle_ms)} ago"
    rate = f"{stage.rate:,.0f}" if stage.rate >= 10 or stage.rate < 0.05 else f"{stage.rate:.1f}"
    return (
        f'<div class="dl-stage"><h4>{escape(stage.name)}</h4><div class="dl-rate">{rate} <small>rows/s</small></div>'
        f"<p{behind}>{waiting or '&nbsp;'}</p><p>{idle}</p><p>{stage.total:,} in all</p>{_line(rates[rates['step'] == stage.name])}</div>"
    )


def _line(rates: pd.DataFrame) -> str:
    """Rows per second over ten minutes as small bars of the page itself: a chart would be drawn anew with every look."""
    top = max(1e-9, float(rates["rate"].max())) if len(rates) else 1.0
    bars = "".join(f'<i style="height:{max(4, round(100 * rate / top))}%"></i>' for rate in rates["rate"])
    return f'<div class="dl-line">{bars}</div>'


def _set_aside(desk: Desk, held: Held | None) -> None:
    cursor = desk.cursor()
    letters, late = (held.letters, held.late) if held else (queries.dead_letters(cursor), queries.late(cursor))
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
            rows = _timed(late, desk.zone)
            rows["behind"] = [words.age(value) for value in late["behind_ms"]]
            rows["missed by"] = [_windows(missed) for missed in late["missed"]]
            st.dataframe(rows[["when", "place", "behind", "missed by"]], hide_index=True, height=min(320, 38 + 35 * len(late)))
            parts.note("More patience for a source: lateness in driftline.toml. What it would have to be: driftline late")


def _timed(rows: pd.DataFrame, zone: str) -> pd.DataFrame:
    return rows.assign(when=[words.moment(int(at), zone) for at in rows["noted"]])


def _windows(missed: str | None) -> str:
    """The windows an event was missing in, first the number of them where there are many."""
    names = (missed or "").split(", ") if missed else []
    if not names:
        return "no window holds such events"
    return missed or "" if len(names) < 3 else f"{len(names)} windows: {missed}"
