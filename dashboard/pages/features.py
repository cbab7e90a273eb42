"""Features: what is served now, and are they what the model was trained on?"""

from __future__ import annotations

import streamlit as st

from dashboard import actions, parts, words
from dashboard.charts import shape, time
from dashboard.desk import REFRESH, Desk
from dashboard.queries import features as queries

NAME = "features"
TITLE = "Features"
SHOWN = 4  # findings about data quality that are named


def show(desk: Desk) -> None:
    _said(desk)
    if desk.asked(queries.any_row):
        _chosen(desk)
        _table(desk)
        _source(desk)


@st.fragment(run_every=REFRESH)
def _said(desk: Desk) -> None:
    found = desk.asked(queries.features)
    if found is None:
        parts.sentence("No feature row has been written yet.")
        parts.empty(
            "No feature rows",
            "A row is written for every event of the driving source. Start the streams:",
            f"driftline up {desk.project.root}",
        )
        return
    parts.sentence(queries.sentence(len(found.table), actions.verified(desk.project)))
    findings = desk.asked(queries.findings)
    if findings:
        said = [f"{one['name']}: {one['what']} in {one['share']:.1%} of rows, {one['usual']:.1%} is usual" for one in findings[:SHOWN]]
        more = f"; and {words.count(len(findings) - SHOWN, 'more feature')}" if len(findings) > SHOWN else ""
        parts.warning("; ".join(said) + more + ".")


def _chosen(desk: Desk) -> None:
    labels = desk.project.model.labels
    names = desk.asked(queries.names, labels.on if labels else None)
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        feature = st.selectbox("Feature", names, key="feature", bind="query-params")
    with right:
        period = parts.period()
    if feature is None:
        return
    _pictures(desk, feature, period)


@st.fragment(run_every=2 * REFRESH)
def _pictures(desk: Desk, feature: str, period: str) -> None:
    window = desk.window(period)
    history = desk.asked(queries.history, feature, window)
    left, right = st.columns([3, 2], gap="large")
    with left:
        parts.title("History", "middle value and middle 80 % of each check's window; grey: the reference")
        if history.empty or history["middle"].isna().all():
            parts.note(
                "No check has looked at this feature in the window, or its values are words: see Drift."
                if history.empty
                else "Words have no middle value: their shares are on Drift."
            )
        else:
            st.altair_chart(time.history(history, desk.palette, window, feature), theme=None, key="feature-history")
    with right:
        values = desk.asked(queries.values, feature)
        parts.title("Now", f"the newest {len(values):,} rows")
        st.altair_chart(shape.distribution(values, desk.palette, feature), theme=None, key="feature-now")


@st.fragment(run_every=2 * REFRESH)
def _table(desk: Desk) -> None:
    found = desk.asked(queries.features)
    if found is None:
        return
    parts.title("All features", f"over the newest {found.rows:,} rows")
    st.dataframe(
        found.table,
        hide_index=True,
        height="content" if len(found.table) < 12 else 420,
        column_config={"empty": st.column_config.NumberColumn("empty", format="percent"), "middle": "middle or most frequent"},
    )


def _source(desk: Desk) -> None:
    left, right = st.columns(2, gap="large")
    with left, st.expander("SQL"):
        st.code(desk.project.features_sql, language="sql")
    with right, st.expander("Plan and state"):
        st.code(actions.plan(desk.project), language="text")
    _verify(desk)
    parts.note("The offline values are computed by the same kernel from the log's own records; equal means equal in every bit.")


@st.fragment(run_every=REFRESH)
def _verify(desk: Desk) -> None:
    """The comparison runs in the background: the log may be long."""
    under_way = actions.verifying(desk.project)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Verify now",
            disabled=under_way is not None,
            help="Computes the newest 10,000 rows again from the log, offline, and compares them bit for bit",
        ):
            actions.verify(desk.project)
            st.rerun(scope="fragment")
        if under_way is not None:
            parts.note(f"Computing again from the log: {under_way:,} events so far.")
    last = actions.verified(desk.project)
    if last and last.get("error"):
        parts.failure("The comparison could not be made", str(last["error"]), "Is the broker running? driftline status")
    for difference in (last or {}).get("differences", [])[:5]:
        parts.warning(difference)
