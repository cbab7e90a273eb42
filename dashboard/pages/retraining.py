"""Retraining: what runs, what came of it, and shall the challenger take over?"""

from __future__ import annotations

from html import escape
from time import time

import streamlit as st

from dashboard import actions, parts, words
from dashboard.charts import shape
from dashboard.desk import Desk
from dashboard.pages import acting
from dashboard.queries import retraining as queries
from dashboard.queries.drift import drift

NAME = "retraining"
TITLE = "Retraining"


def show(desk: Desk) -> None:
    made = queries.runs(desk.cursor())
    acting.decided()
    if not made:
        parts.sentence("No run has been started yet.")
        first = desk.project.retraining.first_after_ms
        parts.empty(
            "No runs",
            f"The first champion is trained by itself after {words.age(first)} of events."
            if first
            else "A run builds a data set from the log, trains, evaluates and compares. Start one here, or with:",
            f"driftline retrain --project {desk.project.root}",
        )
        acting.retrain(desk, None)
        _wait(desk)
        return
    names = {run.run_id: run for run in made}
    # a run that was asked for is followed once it is here: until then the page shows what it showed
    wished = st.session_state.pop("follow") if st.session_state.get("follow") in names else st.query_params.get("run")
    if wished in names and st.session_state.get("run_seen") != wished:
        st.session_state["run"] = st.session_state["run_seen"] = wished
    if st.session_state.get("run") not in names:
        st.session_state["run"] = made[0].run_id
    said = st.container()
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        chosen = st.selectbox("Run", list(names), format_func=lambda name: _name(names[name], desk), key="run")
    run = names[str(chosen)]
    st.query_params["run"] = st.session_state["run_seen"] = run.run_id
    with said:
        _states(desk, run.run_id)
    with right:
        if not any(one.active for one in made):
            found = drift(desk.cursor(), desk.window("30d"), desk.project.drift)
            acting.retrain_again(desk, found.suggestion if found else None)
    if run.comparison:
        _comparison(desk, run)
    elif run.state == "waiting":
        acting.decide(desk, run)
    elif run.active:
        parts.note("The comparison appears here as soon as the challenger has been evaluated.")
    parts.title("All runs")
    st.dataframe(
        queries.table(made, desk.zone),
        hide_index=True,
        column_config={"as of": st.column_config.DatetimeColumn(format="D MMM YYYY HH:mm"), "run_id": None},
    )


def _name(run: queries.Run, desk: Desk) -> str:
    """Without its state: the box goes on showing the label that was chosen."""
    return f"Run {run.number}, as of {words.moment(run.body.get('as_of'), desk.zone)}"


@st.fragment(run_every=1.5)
def _wait(desk: Desk) -> None:
    if queries.runs(desk.cursor()):
        st.rerun()


@st.fragment(run_every=1.5)
def _states(desk: Desk, run_id: str) -> None:
    made = {run.run_id: run for run in queries.runs(desk.cursor())}
    if (asked := st.session_state.get("follow")) in made:
        st.rerun()
    if asked:
        parts.note(acting.REQUESTED)
    run = made.get(run_id)
    if run is None:
        return
    parts.sentence(queries.sentence(run), run.body.get("reason"))
    now = int(time() * 1000)
    reached = {state: (noted, took) for state, noted, took in run.states}
    boxes = []
    for state in (*queries.STATES, run.state) if run.state in queries.ENDED else queries.STATES:
        noted, took = reached.get(state, (None, None))
        kind = (
            ""
            if noted is None
            else "dl-bad"
            if state in ("failed", "cancelled", "rejected")
            else "dl-now"
            if took is None and run.state not in queries.ENDED
            else "dl-done"
        )
        text = "" if noted is None else words.clock(took if took is not None else now - noted if run.state not in queries.ENDED else 0)
        boxes.append(
            f'<div class="dl-step {kind}"><b>{escape("waiting for you" if state == run.state == "waiting" else state)}</b>{text if state not in queries.ENDED else ""}&nbsp;</div>'
        )
    st.html(f'<div class="dl-states">{"".join(boxes)}</div>')
    if run.state == "failed":
        acting.failed_run(run)
    elif run.active:
        with st.container(horizontal=True, vertical_alignment="center"):
            acting.cancel(desk, run)
        st.code("\n".join(actions.log_tail(desk.project, run.run_id)) or "The trainer has not printed anything yet.", language="text")
    if st.session_state.get("seen_state", {}).get(run_id) not in (None, run.state):
        st.session_state["seen_state"][run_id] = run.state
        st.rerun()  # the parts below are of another state now
    st.session_state.setdefault("seen_state", {})[run_id] = run.state


def _comparison(desk: Desk, run: queries.Run) -> None:
    comparison = run.comparison or {}
    metric = str(comparison.get("metric", "log_loss")).replace("_", " ")
    parts.title(
        "Champion against challenger", f"on the newest {comparison.get('rows') or 0:,} labelled rows, held out of the challenger's training"
    )
    parts.facts(queries.facts(run))
    if comparison.get("champion_saw_rows"):
        parts.warning("The champion was trained on some of these rows, so the comparison flatters it.")
    if run.state == "waiting":
        acting.decide(desk, run)
    forest, calibration = queries.comparison_frames(run)
    left, right = st.columns([3, 2], gap="large")
    with left:
        parts.title("By segment", "each with its interval")
        st.altair_chart(shape.forest(forest, desk.project.promotion.margin, desk.palette, metric), theme=None, key="forest")
    with right:
        parts.title("Calibration", "on the dashed line a score means what it says")
        if calibration.empty:
            parts.note("No calibration was recorded.")
        else:
            st.altair_chart(shape.calibration(calibration, desk.palette), theme=None, key="calibration")
