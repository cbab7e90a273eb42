"""What all charts share: the axes of event time, the marks on it, the look."""

from __future__ import annotations

import functools
from typing import Any, Literal

import altair as alt
import pandas as pd
from altair.utils import schemapi

from dashboard import words
from dashboard.palette import Palette
from dashboard.queries.window import Window

FONT = '"Source Sans", sans-serif'
LEFT = 56  # width of every y axis, so that charts below each other share their x axis

alt.data_transformers.disable_max_rows()
schemapi.disable_debug_mode()  # else each part of each chart is held against Vega-Lite's schema: most of a page's time


def finish(chart: Any, palette: Palette, height: int | None = 220) -> Any:
    """Give a chart the house look; the width is its container's."""
    if height is not None:
        chart.height = height
    chart.config = _look(palette)  # set, not configured: each configure_... would copy the whole chart
    object.__setattr__(chart, "to_dict", functools.partial(type(chart).to_dict, chart, validate=False))
    return chart


@functools.cache
def _look(palette: Palette) -> alt.Config:
    texts: dict[str, Any] = {
        "labelColor": palette.faint,
        "titleColor": palette.faint,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    return alt.Config(
        font=FONT,
        background="transparent",
        padding={"left": 0, "right": 6, "top": 4, "bottom": 0},
        view=alt.ViewConfig(strokeWidth=0),
        axis=alt.AxisConfig(gridColor=palette.grid, domainColor=palette.grid, tickColor=palette.grid, labelPadding=6, **texts),
        legend=alt.LegendConfig(orient="top", offset=4, **texts),
        title=alt.TitleConfig(color=palette.text, fontSize=13, anchor="start", fontWeight="normal"),
    )


def bounds(window: Window) -> list[Any]:
    ends = [words.local(at, window.zone).replace(tzinfo=None) for at in (window.start, window.end)]
    return [alt.DateTime(year=at.year, month=at.month, date=at.day, hours=at.hour, minutes=at.minute) for at in ends]


def time_axis(window: Window, field: str = "time", *, title: bool = True, labels: bool = True, **more: Any) -> alt.X:
    axis = alt.Axis(grid=False, labels=labels, ticks=labels, tickCount=8, labelOverlap=True, labelFlush=True)
    return alt.X(
        f"{field}:T",
        title=f"event time ({window.zone})" if title else None,
        scale=alt.Scale(domain=bounds(window), clamp=True),
        axis=axis,
        **more,
    )


def value_axis(field: str, title: str | None, *, zero: bool = False, format: str | None = None, **more: Any) -> alt.Y:
    axis = alt.Axis(tickCount=4, minExtent=LEFT, maxExtent=LEFT, format=format or alt.Undefined)
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=zero, nice=True), axis=axis, **more)


def when(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """A text of each time beside it, for tooltips that read the same in every browser."""
    table = table.copy()
    for column in columns or ("time",):
        table[f"{column}_text"] = pd.to_datetime(table[column]).dt.strftime("%-d %b %Y %H:%M")
    return table


def marks(rows: pd.DataFrame, palette: Palette, window: Window, *, words_shown: bool = True) -> Any:
    """Upright lines for alarms, retrainings and takeovers."""
    rows = when(rows.drop_duplicates(["time", "kind", "text"]))
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["alarm", "retraining", "version"], range=[palette.alarm, palette.challenger, palette.champion]),
        legend=None,
    )
    base = alt.Chart(rows).encode(
        x=time_axis(window), color=colour, tooltip=[alt.Tooltip("time_text:N", title="at"), alt.Tooltip("text:N", title="what")]
    )
    lines = base.mark_rule(strokeDash=[4, 3], strokeWidth=1.5)
    if not words_shown:
        return lines
    rows = rows.drop_duplicates(["time", "kind"]).copy()
    rows["label"] = [text if kind == "version" else str(kind).capitalize() for kind, text in zip(rows["kind"], rows["text"], strict=True)]
    rows["level"] = rows["kind"].map({"alarm": 8, "retraining": 22, "version": 36})
    end = words.local(window.start + (window.end - window.start) * 9 // 10, window.zone).replace(tzinfo=None)
    last = rows["time"] > end  # their words stand on the left, or the chart would be narrower than those below it
    return lines + _texts(rows[~last], colour, window, "left") + _texts(rows[last], colour, window, "right")


def _texts(rows: pd.DataFrame, colour: alt.Color, window: Window, align: Literal["left", "right"]) -> Any:
    marks = alt.Chart(rows).mark_text(align=align, dx=4 if align == "left" else -4, fontSize=11, baseline="middle")
    return marks.encode(x=time_axis(window), y=alt.Y("level:Q", scale=None, axis=None), text="label:N", color=colour)
