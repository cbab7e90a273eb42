"""Predictions: what has been said, by which version, and why."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import actions, parts, words
from dashboard.charts import time
from dashboard.desk import REFRESH, Desk
from dashboard.pages import why
from dashboard.queries import predictions as queries
from dashboard.queries.head import latest

NAME = "predictions"
TITLE = "Predictions"


def show(desk: Desk) -> None:
    said = st.container()
    some = desk.asked(queries.any_row)
    period = parts.period() if some else "30d"
    with said:
        _said(desk, period)
    if some:
        _picture(desk, period)
        _find(desk)
        _newest(desk)


@st.fragment(run_every=REFRESH)
def _said(desk: Desk, period: str) -> None:
    found = desk.asked(queries.predictions, desk.window(period))
    if found is None:
        parts.sentence("No prediction has been made yet.")
        first = desk.project.retraining.first_after_ms
        version = (desk.asked(latest, "live") or {}).get("version")
        if version is not None:
            parts.empty(
                "No predictions",
                f"Version {version} serves, and scores what comes from now on: the rows before had gone by when it was trained. To have a "
                "history scored from its first champion on, write in_step = true under [promotion] before it is sent.",
            )
        elif first:
            why_not = f"The first champion is trained by itself {words.age(first)} of event time after the first event; until then rows are not scored."
            parts.empty("No predictions", why_not)
        else:
            why_not = "No model serves yet. Train the first one on the Retraining page, or with:"
            parts.empty("No predictions", why_not, f"driftline retrain --project {desk.project.root}")
        return
    parts.sentence(found.sentence)


@st.fragment(run_every=2 * REFRESH)
def _picture(desk: Desk, period: str) -> None:
    window = desk.window(period)
    found = desk.asked(queries.predictions, window)
    if found is None or found.density.empty:
        parts.note("No prediction in this window.")
        return
    parts.key(
        ("mean score", desk.palette.text, ""),
        ("share of the predictions with that score", desk.palette.current, "band"),
        ("a version takes over", desk.palette.champion, "dash"),
    )
    st.altair_chart(time.density(found.density, found.means, found.spells, desk.palette, window), theme=None, key="scores")


def _find(desk: Desk) -> None:
    parts.title("Find one", "by prediction id (flights[0]@1042) or label key; why: the tree down to the raw events")
    text = st.text_input("Find", key="id", bind="query-params", placeholder="prediction id or label key", label_visibility="collapsed")
    if not text:
        return
    rows = desk.asked(queries.find, text, desk.zone)
    if rows.empty:
        parts.empty(
            f"No prediction {text}", "Neither a prediction id nor a label key is that text. Both are copied exactly, capitals included."
        )
        return
    st.dataframe(_readable(rows), hide_index=True, column_config=_COLUMNS)
    if st.toggle("Why this prediction", key="why", bind="query-params"):
        with st.spinner("Going back through the log to the events it came from"):
            answer = actions.why(desk.project, str(rows["prediction_id"].iloc[0]))
        why.tree(answer, desk.zone)


@st.fragment(run_every=2 * REFRESH)
def _newest(desk: Desk) -> None:
    rows = desk.asked(queries.newest, desk.zone)
    parts.title("Newest", f"{len(rows)} rows")
    st.dataframe(_readable(rows), hide_index=True, height=320, column_config=_COLUMNS)


_COLUMNS = {
    "event time": st.column_config.DatetimeColumn(format="D MMM YYYY HH:mm:ss"),
    "score": st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.3f"),
}


def _readable(rows: pd.DataFrame) -> pd.DataFrame:
    table = {
        "event time": rows["time"],
        "prediction": rows["prediction_id"],
        "label key": rows["label_key"],
        "score": rows["score"],
        "says": ["yes" if said else "no" for said in rows["prediction"]],
        "version": rows["version"],
    }
    if "state" in rows:
        known = zip(rows["state"], rows["label"], strict=True)
        table["truth"] = [
            "waiting" if pd.isna(state) else "never comes" if state == "never" else "yes" if label else "no" for state, label in known
        ]
        table["known"] = rows["label_time"]
    return pd.DataFrame(table)
