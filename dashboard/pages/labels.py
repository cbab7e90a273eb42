"""Labels and performance: is the model still right?"""

from __future__ import annotations

import streamlit as st

from dashboard import parts, words
from dashboard.charts import shape, time
from dashboard.desk import REFRESH, Desk
from dashboard.queries import performance as queries
from dashboard.queries.head import latest

NAME = "labels"
TITLE = "Labels and performance"
FEW = 20  # labelled rows below which a rate says nothing


def show(desk: Desk) -> None:
    said = st.container()
    left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom")
    if not desk.asked(queries.any_row):
        with said:
            parts.sentence("Quality is not known: no prediction has been made yet.")
            parts.empty(
                "No outcomes",
                "A prediction and its label become an outcome whenever the label comes. Start the streams:",
                f"driftline up {desk.project.root}",
            )
        return
    with left:
        names = list(queries.METRICS)
        metric = st.selectbox(
            "Metric",
            names,
            index=names.index(desk.project.promotion.metric),
            format_func=lambda name: queries.METRICS[name],
            key="metric",
            bind="query-params",
        )
    with middle:
        segment = st.selectbox("Segment", ["all", *desk.asked(queries.segment_names)], key="segment", bind="query-params")
    with right:
        period = parts.period()
    with said:
        _said(desk, metric or "log_loss", period)
    _pictures(desk, metric or "log_loss", None if segment in (None, "all") else segment, period)


@st.fragment(run_every=REFRESH)
def _said(desk: Desk, metric: str, period: str) -> None:
    labels = desk.project.model.labels
    found = desk.asked(queries.performance, desk.window(period), metric, labels.maturity_ms if labels else None, None)
    if found is None:
        return
    parts.sentence(found.sentence)
    if found.silent and labels:
        late = f"No label for {words.age(found.behind_ms)} of event time" if found.behind_ms is not None else "No label has come at all"
        parts.failure(
            late,
            f"The source {labels.source} is silent, or its {labels.on} matches no prediction.",
            f"See what arrives there: driftline status; send labels: driftline produce {labels.source} FILE",
        )


@st.fragment(run_every=2 * REFRESH)
def _pictures(desk: Desk, metric: str, segment: str | None, period: str) -> None:
    cursor, window, palette = desk.cursor(), desk.window(period), desk.palette
    labels = desk.project.model.labels
    pair = None if segment is None else (segment.split(": ", 1)[0], segment.split(": ", 1)[1])
    found = desk.asked(queries.performance, window, metric, labels.maturity_ms if labels else None, pair)
    if found is None:
        return
    parts.title(
        queries.METRICS[metric], f"of the {words.age(desk.project.drift.window_ms)} before each check{f', {segment}' if segment else ''}"
    )
    if found.measured.empty and found.estimated.empty:
        parts.empty(
            "No performance check in this window",
            "A check is recorded for every step of event time once labels are there. Choose a longer window.",
        )
    else:
        parts.key(("measured", palette.current, ""), ("its 95 % interval", palette.current, "band"), ("expected of the scores, before labels", palette.current, "dash"), ("reference", palette.reference, ""),
                  ("alarm", palette.alarm, "dash"), ("retraining", palette.challenger, "dash"), ("version", palette.champion, "dash"))  # fmt: skip
        st.altair_chart(
            time.quality(found.measured, found.estimated, found.reference, found.marks, palette, window, queries.METRICS[metric].lower()),
            theme=None,
            key="quality",
        )
    parts.title("Labels", "predictions by what is known of them")
    st.altair_chart(time.labels(found.labels, palette, window), theme=None, key="labels")
    left, right = st.columns(2, gap="large")
    with left:
        rows = desk.asked(queries.segments, window)
        name = segment.split(": ", 1)[0] if segment else (rows["segment"].iloc[0] if len(rows) else "")
        parts.title(f"By {name}" if name else "By segment", "newest check; a gap is where the model is wrong")
        if rows.empty:
            parts.note('No segments: name them in driftline.toml, [drift] segments = ["carrier"].')
        else:
            shown = rows[(rows["segment"] == name) & (rows["rows"] >= FEW)].head(15)
            if shown.empty:
                parts.note(f"No value of {name} has {FEW} labelled rows in the newest check.")
            else:
                st.altair_chart(shape.by_segment(shown, palette), theme=None, key="by-segment")
    with right:
        serving = (latest(cursor, "live") or {}).get("version")
        daily = desk.asked(queries.over_time, window)
        parts.title("By version", "log loss per day; green serves now")
        if daily.empty:
            parts.note("No day with 20 labels in this window.")
        else:
            st.altair_chart(time.lines_by_version(daily, palette, window, serving), theme=None, key="by-version")
