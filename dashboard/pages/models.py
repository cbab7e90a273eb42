"""Models: what serves, what it was trained on, and the way back."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import actions, parts, words
from dashboard.charts import time
from dashboard.desk import REFRESH, Desk
from dashboard.pages import acting
from dashboard.queries import models as queries

NAME = "models"
TITLE = "Models"


def show(desk: Desk) -> None:
    acting.decided()
    found = _models(desk)
    _said(desk)
    if found is None:
        return
    _spans(desk)
    left, right = st.columns(2, gap="large")
    with left:
        _roll_back(desk, found)
    with right:
        _card(desk, found)
    _compare(found)


def _models(desk: Desk) -> queries.Models | None:
    return desk.store.once(NAME, lambda: queries.models(desk.cursor(), desk.project))


@st.fragment(run_every=REFRESH)
def _said(desk: Desk) -> None:
    found = _models(desk)
    if found is None:
        parts.sentence("No version serves yet.")
        parts.empty(
            "No models",
            "A version is there once a retraining run has been promoted; the first champion comes from the first run.",
            f"driftline retrain --project {desk.project.root}",
        )
        return
    parts.sentence(found.sentence)
    if st.session_state.get("serving", found.serving) != found.serving:
        st.session_state["serving"] = found.serving
        st.rerun()
    st.session_state["serving"] = found.serving


@st.fragment(run_every=2 * REFRESH)
def _spans(desk: Desk) -> None:
    found = _models(desk)
    if found is None:
        return
    parts.title("Versions", "thin: trained on; thick: served")
    window, trained = desk.window("all"), found.trained_from
    if trained is not None:
        window = replace(window, start=min(window.start, trained))
    spells = found.spells
    st.altair_chart(time.spans(found.versions, spells, desk.palette, window), theme=None, key="spans")
    columns = {
        "version": spells["version"],
        "serves": ["serves" if serving else "" for serving in spells["serving"]],
        "since": [_moment(at) for at in spells["since"]],
        "until": ["–" if serving else _moment(at) for serving, at in zip(spells["serving"], spells["until"], strict=True)],
        "predictions": ["–" if pd.isna(n) else f"{int(n):,}" for n in spells["predictions"]],
        "log loss while serving": [words.figure(value) for value in pd.to_numeric(spells["log_loss"])],
        "Brier while serving": [words.figure(value) for value in pd.to_numeric(spells["brier"])],
        **{name: spells[name].fillna("–") for name in ("by", "commit", "reason")},
    }
    st.dataframe(pd.DataFrame(columns), hide_index=True)


def _moment(at: pd.Timestamp) -> str:
    return "–" if pd.isna(at) else f"{at:%-d %b %Y %H:%M}"


def _roll_back(desk: Desk, found: queries.Models) -> None:
    parts.title("Roll back", "reverts the last change of what serves, as a commit")
    if found.previous is None:
        parts.note("There is no earlier version to go back to.")
        return
    with st.popover(f"Roll back to version {found.previous}"):
        who = acting.person(desk, "rollback")
        why = st.text_input("Reason", key="rollback_reason", placeholder="why, for the record")
        st.button(
            f"Serve version {found.previous} again",
            type="primary",
            disabled=who is None or not why,
            key="rollback",
            on_click=lambda: acting.done(actions.rollback(desk.project, why, str(who))),
        )


def _card(desk: Desk, found: queries.Models) -> None:
    parts.title("Model card")
    numbers = [int(version) for version in found.versions["version"]][::-1]
    version = st.selectbox("Version", numbers, key="version", bind="query-params")
    if version is None:
        return
    card = queries.card(desk.cursor(), desk.project, int(version))
    with st.expander(f"Card of version {version}"):
        st.markdown(card)
    with st.container(horizontal=True):
        name = f"{desk.project.name}-version-{version}"
        st.download_button("Download the card", card, f"{name}.md", "text/markdown", key="card_file", on_click="ignore")
        folder = actions.kept(desk.project, int(version))
        if folder is not None:
            pack = functools.partial(actions.packed, folder)
            st.download_button("Download the model", pack, f"{name}.zip", "application/zip", key="model_file", on_click="ignore")


def _compare(found: queries.Models) -> None:
    served = found.versions[found.versions["predictions"].notna()]
    if len(served) < 2:
        return
    parts.title("Compare two", "the quality each had while it served: other times, other weather")
    numbers = [int(version) for version in served["version"]]
    left, right = st.columns(2)
    one = left.selectbox("One", numbers, index=len(numbers) - 2, key="one", bind="query-params")
    other = right.selectbox("The other", numbers, index=len(numbers) - 1, key="other", bind="query-params")
    rows = found.versions.set_index("version")
    names = {
        "log_loss": "log loss",
        "brier": "Brier score",
        "observed": "observed rate",
        "predicted": "predicted rate",
        "predictions": "predictions",
        "reason": "reason",
    }
    table = [
        {"": title, f"version {one}": _shown(rows, one, name), f"version {other} ": _shown(rows, other, name)}
        for name, title in names.items()
        if name in rows
    ]
    st.dataframe(pd.DataFrame(table), hide_index=True)


def _shown(rows: pd.DataFrame, version: int | None, name: str) -> str:
    value: Any = rows[name].to_dict().get(version)
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return str(value) if isinstance(value, str) else words.figure(float(value)) if name != "predictions" else f"{int(value):,}"
