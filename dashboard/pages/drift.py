"""Drift: has the world moved, and does it matter? Here it is made right again."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import parts, words
from dashboard.charts import shape, time
from dashboard.desk import REFRESH, Desk
from dashboard.pages import acting
from dashboard.queries import drift as queries

NAME = "drift"
TITLE = "Drift"
SHOWN = 15  # features of the heat map before "all" is chosen


def show(desk: Desk) -> None:
    said = st.container()
    if not desk.asked(queries.any_row):
        with said:
            parts.sentence("Nothing has been compared with a reference yet.")
            every = desk.project.drift.check_every_ms
            when = f"every {words.age(every)} of event time" if every else f"every {desk.project.drift.check_every_rows:,} predictions"
            parts.empty(
                "No drift check",
                f"A check is recorded {when}, once a champion serves: its training data are the reference. Start the streams:",
                f"driftline up {desk.project.root}",
            )
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        period = parts.period()
        every = st.toggle("All features", key="all_features", width="content")
    with said:
        _said(desk, period)
    _map(desk, period, every)
    _cell(desk)
    _others(desk, period)


@st.fragment(run_every=REFRESH)
def _said(desk: Desk, period: str) -> None:
    found = desk.asked(queries.drift, desk.window(period), desk.project.drift)
    if found is None:
        return
    parts.sentence(found.sentence)
    acting.retrain(desk, found.suggestion)


@st.fragment(run_every=2 * REFRESH)
def _map(desk: Desk, period: str, every: bool) -> None:
    window = desk.window(period)
    found = desk.asked(queries.drift, window, desk.project.drift)
    if found is None or found.cells.empty:
        parts.note("No check in this window: choose a longer one.")
        return
    order = found.features["feature"].tolist()
    shown = order if every else order[:SHOWN]
    parts.title(
        "Features over time", f"{len(shown)} of {len(order)}, those that moved most first; click a cell to compare it with the reference"
    )
    st.altair_chart(
        time.heat(found.cells, shown, desk.palette, window),
        theme=None,
        key="heat",
        on_select=_pick,
        selection_mode="cell",
    )


def _pick() -> None:
    """A click on the map chooses feature and check for the comparison below, and for the URL."""
    chosen: Any = st.session_state.get("heat", {}).get("selection", {}).get("cell") or []
    if chosen:
        st.session_state["feature"] = chosen[0]["feature"]
        st.session_state["check"] = chosen[0]["check_id"]


@st.fragment(run_every=2 * REFRESH)
def _cell(desk: Desk) -> None:
    names = desk.asked(queries.names)
    if st.session_state.get("feature") not in names:
        st.session_state["feature"] = names[0]
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        feature = st.selectbox("Feature", names, key="feature", bind="query-params", on_change=lambda: st.session_state.pop("check", None))
    check = st.session_state.get("check") or st.query_params.get("check")
    if check:
        st.query_params["check"] = check
    elif "check" in st.query_params:
        del st.query_params["check"]
    found = desk.asked(queries.cell, str(feature), check) or desk.asked(queries.cell, str(feature), None)
    if found is None:
        return
    with right:
        parts.facts(found.facts)
    left, right = st.columns([3, 2], gap="large")
    with left:
        parts.title("Reference against current", f"{found.feature}, check of {words.moment(found.ends, desk.zone)}")
        st.altair_chart(shape.sides(found.bars, found.words, desk.palette, found.feature), theme=None, key="sides")
    with right:
        acting.mute(desk, found.feature)
        acting.report(desk)


@st.fragment(run_every=2 * REFRESH)
def _others(desk: Desk, period: str) -> None:
    window = desk.window(period)
    found = desk.asked(queries.drift, window, desk.project.drift)
    if found is None:
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        parts.title("Predictions", "mean score of each check's window; grey: the reference")
        if found.score.empty:
            parts.note("No prediction check in this window.")
        else:
            st.altair_chart(time.shift(found.score, desk.palette, window), theme=None, key="shift")
    with right:
        parts.title("Alarms", "in this window")
        if found.alarms.empty:
            parts.note("None.")
        else:
            st.dataframe(
                found.alarms,
                hide_index=True,
                height=min(180, 38 + 35 * len(found.alarms)),
                column_config={"time": st.column_config.DatetimeColumn(format="D MMM HH:mm")},
            )
    parts.title("All features", "newest check")
    st.dataframe(
        _readable(found.features),
        hide_index=True,
        height=min(420, 38 + 35 * len(found.features)),
        column_config={
            "distance": st.column_config.NumberColumn("distance ÷ limit", format="%.2f"),
            "empty": st.column_config.NumberColumn(format="percent"),
            "never seen": st.column_config.NumberColumn(format="percent"),
        },
    )


def _readable(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "feature": rows["feature"],
            "verdict": [
                "muted" if ignored else "moved" if moved else "" for moved, ignored in zip(rows["moved"], rows["ignored"], strict=True)
            ],
            "moved since": ["–" if pd.isna(at) else f"{at:%-d %b %H:%M}" for at in rows["since"]],
            "distance": rows["reach"],
            "reference, middle": [words.sensible(value) for value in rows["usual"]],
            "current, middle": [words.sensible(value) for value in rows["middle"]],
            "empty": rows["missing"],
            "never seen": rows["outside"],
            "adjusted p": [words.sensible(value) for value in rows["adjusted"]],
        }
    )
