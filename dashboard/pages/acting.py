"""What a person can do from a page: each asks who acts (once), says the reason, and answers at once."""

from __future__ import annotations

import hmac
import os
from datetime import timedelta
from time import monotonic

import streamlit as st

from dashboard import actions, parts, words
from dashboard.desk import Desk
from dashboard.queries import retraining as runs
from dashboard.queries.head import latest

SHOWN_S = 30.0
REQUESTED = "Run requested; it appears as soon as the runner has taken it."


def person(desk: Desk, place: str) -> str | None:
    """The name of who acts, or None until it is given. Asked once a session; with the password where others can reach the page."""
    known = st.session_state.get("person")
    host = st.get_option("server.address") or desk.project.dashboard.host
    open_to_others = host not in ("127.0.0.1", "localhost", "::1")
    password = os.environ.get("DRIFTLINE_DASHBOARD_PASSWORD")
    if open_to_others and not password:
        parts.warning(
            "This dashboard can be reached by others and has no password, so nothing can be changed here. Set DRIFTLINE_DASHBOARD_PASSWORD and start it again."
        )
        return None
    if known:
        return str(known)
    asked = (place, password)
    st.text_input(
        "Who are you?", key=f"name_{place}", placeholder="your name, for the record", autocomplete="name", on_change=_told, args=asked
    )
    if password:
        given = st.text_input("Password", type="password", key=f"password_{place}", on_change=_told, args=asked)
        if given and not _fits(place, password):
            parts.warning("That is not the password of this dashboard.")
    return None


def _told(place: str, password: str | None) -> None:
    """A callback, so that who has said it is not asked again in the same breath."""
    name = str(st.session_state.get(f"name_{place}") or "").strip()
    if name and (password is None or _fits(place, password)):
        st.session_state["person"] = name


def _fits(place: str, password: str) -> bool:
    return hmac.compare_digest(str(st.session_state.get(f"password_{place}") or "").encode(), password.encode())


def retrain(desk: Desk, reason: str | None) -> None:
    """The Retrain button: a run appears at once, a second click joins the same run."""
    made = runs.runs(desk.cursor())
    current = next((run for run in made if run.active or run.state == "waiting"), None)
    if st.session_state.get("asked") in {run.run_id for run in made}:
        st.session_state.pop("asked")
    asked = st.session_state.get("asked")
    with st.container(horizontal=True, vertical_alignment="center"):
        running = current is not None and current.active
        with st.popover("Running" if running or asked else "Retrain", type="primary", disabled=running, icon=None):
            who = person(desk, "retrain")
            _suggest("reason", reason)
            st.text_area("Reason", key="reason", height=96)
            st.button("Start the run", type="primary", disabled=who is None, key="start", on_click=_start, args=(desk, "reason", str(who)))
        if asked:
            parts.note(REQUESTED)
            _link(desk, "retraining", "Watch the run", run=str(asked))
        elif current is not None:
            parts.note(runs.sentence(current))
            _link(desk, "retraining", "Watch the run" if current.active else "Compare and decide", run=current.run_id)
        elif reason:
            parts.note(
                "Trains a challenger on all labels known now. The champion goes on serving; nothing is replaced before you have compared."
            )
    _refused(desk)
    if made and made[0].state == "failed":
        failed_run(made[0])


def _start(desk: Desk, key: str, who: str) -> None:
    """A callback, so that what the click did is there when the page is drawn for it: one drawing, not two."""
    answer = actions.retrain(desk.project, st.session_state.get(key) or "asked for", who)
    if answer.error:
        st.session_state["refused"] = answer.error
    else:
        st.session_state["asked"] = st.session_state["follow"] = answer.value


def _refused(desk: Desk) -> None:
    if refused := st.session_state.pop("refused", None):
        parts.failure("The run could not be requested", str(refused), f"Is the broker running? driftline up {desk.project.root}")


def _suggest(key: str, reason: str | None) -> None:
    """Fill the reason in from what the page says, as long as nobody has written another."""
    if st.session_state.get(key, "") in ("", st.session_state.get(f"{key}_suggested")):
        st.session_state[key] = st.session_state[f"{key}_suggested"] = reason or ""


def failed_run(run: runs.Run) -> None:
    parts.failure(
        runs.sentence(run),
        str(run.body.get("error") or "no reason was recorded"),
        runs.advice(run),
        tail="\n".join((run.body.get("log_tail") or [])[-12:]) or None,
    )


def _link(desk: Desk, page: str, label: str, **query: str) -> None:
    pages = st.session_state.get("pages") or {}
    if page in pages:
        st.page_link(pages[page], label=label, query_params=query)


def mute(desk: Desk, feature: str) -> None:
    """A muted feature is shown and raises no alarm until a date."""
    parts.title("Mute", "shown, and no alarm until a date")
    with st.popover(f"Mute {feature}"):
        who = person(desk, "mute")
        newest = words.local(desk.window("1d").end, desk.zone).date()
        until = st.date_input("Until (event time)", newest + timedelta(days=14), min_value=newest, key="mute_until")
        why = st.text_input("Reason", key="mute_reason", placeholder="why this shift is expected")
        if st.button("Mute", disabled=who is None or not why, key="mute_now"):
            answer = actions.mute(desk.project, feature, until, why, str(who))
            (parts.warning if answer.error else parts.note)(answer.error or f"{feature} raises no alarm until {until:%-d %B}.")


def report(desk: Desk) -> None:
    """Evidently's report over the champion's training data and the newest window, made in the background."""
    parts.title("Report", "Evidently, as one HTML file")
    under_way, answer = actions.reported(desk.project)
    if st.button("Make the report", key="report_now", disabled=under_way):
        actions.report(desk.project)
        st.rerun(scope="fragment")
    if under_way:
        parts.note("Comparing the training data with the newest window; this takes about a minute.")
    elif answer is not None and answer.error:
        parts.failure("The report could not be made", answer.error, "The drift checks above do not depend on it.")
    elif answer is not None:
        st.download_button(
            "Download the report", answer.value.read_bytes(), answer.value.name, "text/html", key="report_file", on_click="ignore"
        )


def decide(desk: Desk, run: runs.Run) -> None:
    """Promote or reject; promoting is off while the interval crosses the margin, and says why."""
    hindrance = actions.hindrance(desk.project, run.body, (desk.asked(latest, "desired") or {}).get("version"))
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        who = person(desk, "decide")
    with right if who is None else left:
        why = st.text_input("Reason", key="decision_reason", placeholder="why, for the record")
    with right if who is not None else st.container(), st.container(horizontal=True):
        st.button(
            "Promote",
            type="primary",
            disabled=who is None or hindrance is not None,
            key="promote",
            on_click=lambda: done(actions.promote(desk.project, run.run_id, why or runs.verdict(run), str(who))),
        )
        st.button(
            "Reject",
            disabled=who is None,
            key="reject",
            on_click=lambda: done(actions.reject(desk.project, run.run_id, why or "rejected by hand", str(who))),
        )
    if hindrance:
        parts.note(hindrance)


def done(answer: actions.Answer) -> None:
    """Keep what a click came to for `decided`."""
    st.session_state["decided"] = answer, monotonic() + SHOWN_S


def decided() -> None:
    """What the last decision came to, for as long as one needs to read it: a page draws itself anew every few seconds."""
    answer: actions.Answer | None
    answer, until = st.session_state.get("decided", (None, 0.0))
    if answer is None or monotonic() > until:
        return
    if answer.error:
        parts.failure("Nothing was changed", answer.error, "The champion goes on serving.")
    else:
        parts.note(str(answer.value))


def cancel(desk: Desk, run: runs.Run) -> None:
    with st.popover("Cancel the run"):
        who = person(desk, "cancel")
        if st.button("Cancel it", disabled=who is None, key=f"cancel_{run.run_id}"):
            answer = actions.cancel(desk.project, run.run_id, str(who))
            parts.note(answer.error or "Asked to stop; it ends within seconds.")


def retrain_again(desk: Desk, reason: str | None) -> None:
    with st.popover("Retrain", type="secondary"):
        who = person(desk, "again")
        _suggest("reason_again", reason)
        st.text_area("Reason", key="reason_again", height=96)
        pressed = (desk, "reason_again", str(who))
        st.button("Start the run", type="primary", disabled=who is None, key="start_again", on_click=_start, args=pressed)
    _refused(desk)
