"""The pieces all pages are built from: head line, sentence, titles, designed empty and failed states."""

from __future__ import annotations

from html import escape

import streamlit as st

from dashboard import words
from dashboard.desk import REFRESH, Desk
from dashboard.queries.head import Head, head
from dashboard.queries.window import PERIODS

STATES = {"empty": "Waiting", "quiet": "Quiet", "watch": "Watch", "alarm": "Alarm"}


@st.fragment(run_every=REFRESH)
def head_line(desk: Desk, page: str) -> None:
    now = head(desk.cursor(), desk.project.drift)
    st.html(_head(now, desk, page))
    if now.error:
        failure(
            "The wished model cannot be loaded", now.error, "Roll back on Models, or promote another version; the champion goes on serving."
        )
    if desk.reader.trouble:
        failure("The broker does not answer", desk.reader.trouble, "The pages show what was read before.")


def _head(now: Head, desk: Desk, page: str) -> str:
    serving = f"version <b>{now.version}</b> serves" if now.version is not None else "no model serves yet"
    parts = [
        f'<span class="dl-name"><b>{escape(desk.project.name)}</b><span class="dl-page"> · {escape(page)}</span></span>',
        f'<span class="dl-state dl-{now.state}" role="status">{STATES[now.state]}: {escape(now.why)}</span>',
        f"<span>{serving}</span>",
    ]
    if now.newest is not None:
        idle = f", {words.age(now.idle_ms)} ago" if now.idle_ms is not None else ""
        parts.append(f"<span>newest event <b>{words.moment(now.newest, desk.zone)}</b>{idle}</span>")
    if now.checked is not None:
        parts.append(f"<span>last check <b>{words.moment(now.checked, desk.zone)}</b></span>")
    if now.run:
        parts.append("<span>a run is under way</span>")
    parts.append(f"<span>times in {escape(desk.zone)}</span>")
    if desk.reader.catching_up:
        parts.append(f"<span>reading {desk.reader.behind:,} records</span>")
    return f'<div class="dl-head">{"".join(parts)}</div>'


@st.fragment(run_every=1.0)
def reading(desk: Desk) -> None:
    """Shown in place of a page while the log is read for the first time."""
    if desk.reader.ready or desk.reader.trouble:
        st.rerun()
    sentence(
        "Reading the log.",
        f"{desk.reader.behind:,} records to go. This happens once; the store under .driftline/ is kept."
        if desk.reader.behind
        else "Connecting to the broker.",
    )


def sentence(text: str, note: str | None = None) -> None:
    st.html(f'<p class="dl-sentence">{escape(text)}</p>' + (f'<p class="dl-note">{escape(note)}</p>' if note else ""))


def title(text: str, note: str = "") -> None:
    st.html(f'<p class="dl-title">{escape(text)}<span>{escape(note)}</span></p>')


def empty(what: str, why: str, command: str | None = None) -> None:
    """A part that has nothing to show yet: what is missing, and what brings it."""
    code = f"<p><code>{escape(command)}</code></p>" if command else ""
    st.html(f'<div class="dl-box"><h4>{escape(what)}</h4><p>{escape(why)}</p>{code}</div>')


def failure(what: str, text: str, remedy: str, *, tail: str | None = None) -> None:
    log = f"<pre>{escape(tail)}</pre>" if tail else ""
    st.html(
        f'<div class="dl-box" role="alert" style="--dl-side: var(--dl-alarm)"><h4>{escape(what)}</h4><p>{escape(text)}</p>'
        f"<p>{escape(remedy)}</p>{log}</div>"
    )


def warning(text: str) -> None:
    st.html(f'<div class="dl-box" style="--dl-side: var(--dl-watch)"><p>{escape(text)}</p></div>')


def note(text: str) -> None:
    st.html(f'<p class="dl-note">{escape(text)}</p>')


def facts(pairs: dict[str, str]) -> None:
    st.html(
        '<div class="dl-facts">'
        + "".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in pairs.items())
        + "</div>"
    )


def key(*entries: tuple[str, str, str]) -> None:
    """A legend in words: (meaning, colour, '' | 'dash' | 'band')."""
    st.html(
        "".join(
            f'<span class="dl-key"><i class="dl-{style or "line"}" style="color: {colour}"></i>{escape(name)}</span>'
            for name, colour, style in entries
        )
    )


def period(default: str = "30d") -> str:
    """The window of event time, kept in the URL."""
    chosen = st.segmented_control(
        "Window of event time",
        list(PERIODS),
        default=default,
        required=True,
        key="window",
        bind="query-params",
        label_visibility="collapsed",
    )
    return str(chosen or default)
