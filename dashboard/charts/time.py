"""Charts over event time."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts import frame
from dashboard.palette import Palette
from dashboard.queries.window import Window


def density(rows: pd.DataFrame, means: pd.DataFrame, spells: pd.DataFrame, palette: Palette, window: Window, title: str = "score") -> Any:
    """Scores over time: shade says which share of a time bucket's predictions had that score; the line is their mean."""
    rows = frame.when(rows)
    shade = (
        alt.Chart(rows)
        .mark_rect()
        .encode(
            x=frame.time_axis(window),
            x2="until:T",
            y=alt.Y("low:Q", title=title, axis=alt.Axis(tickCount=5, minExtent=frame.LEFT, maxExtent=frame.LEFT, grid=False)),
            y2="high:Q",
            color=alt.Color(
                "share:Q", scale=alt.Scale(range=[palette.ground, palette.current], type="sqrt", interpolate="rgb"), legend=None
            ),
            tooltip=[
                alt.Tooltip("time_text:N", title="from"),
                alt.Tooltip("low:Q", title="score from", format=".2f"),
                alt.Tooltip("high:Q", title="to", format=".2f"),
                alt.Tooltip("n:Q", title="predictions", format=","),
                alt.Tooltip("share:Q", title="share", format=".1%"),
            ],
        )
    )
    means = frame.when(means)
    line = (
        alt.Chart(means)
        .mark_line(color=palette.text, strokeWidth=2, interpolate="monotone")
        .encode(
            x=frame.time_axis(window),
            y="mean:Q",
            detail="spell:N",
            tooltip=["time_text:N", alt.Tooltip("mean:Q", format=".3f"), "version:O"],
        )
    )
    lines = pd.DataFrame({"time": spells["since"], "kind": "version", "text": [f"Version {int(version)}" for version in spells["version"]]})
    start = pd.Timestamp(means["time"].min()) if len(means) else None
    lines = lines[lines["time"] > start] if start is not None else lines
    return frame.finish(shade + line + frame.marks(lines, palette, window), palette, 280)


def quality(
    measured: pd.DataFrame,
    estimated: pd.DataFrame,
    reference: pd.DataFrame,
    marks: pd.DataFrame,
    palette: Palette,
    window: Window,
    title: str,
) -> Any:
    """Measured with its band, estimated before labels (dashed), the reference's band in grey, alarms and takeovers as marks."""
    layers: list[Any] = []
    if not reference.empty:
        row = reference.iloc[[0]]
        if row[["low", "high"]].notna().all(axis=None):
            layers.append(
                alt.Chart(row).mark_rect(color=palette.reference, opacity=0.2).encode(y=frame.value_axis("low", title), y2="high:Q")
            )
        layers.append(alt.Chart(row).mark_rule(color=palette.reference, strokeWidth=1.5).encode(y=frame.value_axis("value", title)))
    if not measured.empty:
        rows = frame.when(measured)
        tips = [alt.Tooltip("time_text:N", title="until"), alt.Tooltip("value:Q", title="measured", format=".4f"), alt.Tooltip("low:Q", format=".4f"),
                alt.Tooltip("high:Q", format=".4f"), alt.Tooltip("n:Q", title="labelled", format=",")]  # fmt: skip
        band = rows.dropna(subset=["low", "high"])
        if len(band):
            layers.append(
                alt.Chart(band)
                .mark_area(color=palette.current, opacity=0.18)
                .encode(x=frame.time_axis(window), y=frame.value_axis("low", title), y2="high:Q")
            )
        layers.append(
            alt.Chart(rows)
            .mark_line(color=palette.current, strokeWidth=2)
            .encode(x=frame.time_axis(window), y=frame.value_axis("value", title))
        )
        layers.append(
            alt.Chart(rows)
            .mark_point(size=60, opacity=0, filled=True)
            .encode(x=frame.time_axis(window), y=frame.value_axis("value", title), tooltip=tips)
        )
    if not estimated.empty:
        band = frame.when(estimated.dropna(subset=["low", "high"]))
        if len(band):
            edge = alt.Chart(band).mark_line(color=palette.current, strokeWidth=0.75, strokeDash=[2, 3], opacity=0.7)
            layers += [edge.encode(x=frame.time_axis(window), y=frame.value_axis(side, title)) for side in ("low", "high")]
        layers.append(
            alt.Chart(frame.when(estimated))
            .mark_line(color=palette.current, strokeWidth=1.5, strokeDash=[5, 4])
            .encode(
                x=frame.time_axis(window),
                y=frame.value_axis("value", title),
                tooltip=[alt.Tooltip("time_text:N", title="until"), alt.Tooltip("value:Q", title="estimated", format=".4f")],
            )
        )
    if not marks.empty:
        layers.append(frame.marks(marks, palette, window))
    return frame.finish(alt.layer(*layers), palette, 300)


def labels(rows: pd.DataFrame, palette: Palette, window: Window) -> Any:
    """Predictions by what is known of them, one upon the other."""
    order = ["labelled", "never", "waiting"]
    tops = rows[order].cumsum(axis=1)
    parts = [rows[["time"]].assign(state=name, n=rows[name], low=tops[name] - rows[name], high=tops[name]) for name in order]
    long = frame.when(pd.concat(parts))
    long["until"] = long["time"] + pd.Timedelta(milliseconds=window.step)
    chart = (
        alt.Chart(long)
        .mark_rect()
        .encode(
            x=frame.time_axis(window),
            x2="until:T",
            y=frame.value_axis("low", "predictions", zero=True, format="~s"),
            y2="high:Q",
            color=alt.Color(
                "state:N", scale=alt.Scale(domain=order, range=[palette.current, palette.reference, palette.watch]), title=None
            ),
            tooltip=[alt.Tooltip("time_text:N", title="from"), "state:N", alt.Tooltip("n:Q", title="predictions", format=",")],
        )
    )
    return frame.finish(chart, palette, 180)


def lines_by_version(rows: pd.DataFrame, palette: Palette, window: Window, serving: int | None, title: str = "log loss per day") -> Any:
    """One line a spell of a version: those of the serving one in the champion's colour, the others grey."""
    rows = frame.when(rows)
    rows["side"] = ["champion" if version == serving else "earlier" for version in rows["version"]]
    colour = alt.Color("side:N", scale=alt.Scale(domain=["champion", "earlier"], range=[palette.champion, palette.reference]), legend=None)
    base = alt.Chart(rows).encode(
        x=frame.time_axis(window), y=frame.value_axis("log_loss", title), color=colour, detail="spell:N",
        tooltip=[alt.Tooltip("time_text:N", title="day"), "version:O", alt.Tooltip("log_loss:Q", format=".4f"), alt.Tooltip("n:Q", title="labelled", format=",")],
    )  # fmt: skip
    return frame.finish(base.mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=12)), palette, 200)


def history(rows: pd.DataFrame, palette: Palette, window: Window, feature: str) -> Any:
    """Middle value of a feature per check, with the band that holds the middle 80 %; grey is the reference's middle value."""
    rows = frame.when(rows)
    x, y = frame.time_axis(window), frame.value_axis
    tips = [alt.Tooltip("time_text:N", title="until"), *(alt.Tooltip(f"{name}:Q", title=title, format=".4~g") for name, title in
            (("middle", "middle"), ("low", "10 % below"), ("high", "90 % below"), ("usual", "reference")))]  # fmt: skip
    layers = [
        alt.Chart(rows).mark_area(color=palette.current, opacity=0.16).encode(x=x, y=y("low", feature), y2="high:Q"),
        alt.Chart(rows).mark_line(color=palette.reference, strokeWidth=1.5).encode(x=x, y=y("usual", feature)),
        alt.Chart(rows).mark_line(color=palette.current, strokeWidth=2).encode(x=x, y=y("middle", feature)),
        alt.Chart(rows).mark_point(size=60, opacity=0, filled=True).encode(x=x, y=y("middle", feature), tooltip=tips),
    ]
    return frame.finish(alt.layer(*layers), palette, 200)


def heat(cells: pd.DataFrame, order: list[str], palette: Palette, window: Window) -> Any:
    """Features against time. The shade is the distance from the reference in units of its own usual limit; moved cells are full, others faint."""
    rows = frame.when(cells[cells["feature"].isin(order)], "checked")
    rows["what"] = ["moved" if moved else "as in the reference" for moved in rows["moved"]]
    pick = alt.selection_point(name="cell", fields=["feature", "check_id"], on="click", empty=False)
    chart = (
        alt.Chart(rows)
        .mark_rect(cursor="pointer")
        .encode(
            x=frame.time_axis(window),
            x2="until:T",
            y=alt.Y("feature:N", sort=order, title=None, axis=alt.Axis(labelLimit=150, domain=False, ticks=False)),
            color=alt.Color("reach:Q", scale=alt.Scale(domain=[0, 1, 1.7, 3, 5], range=list(palette.ramp), clamp=True, interpolate="rgb"),
                            title="distance ÷ usual limit", legend=alt.Legend(gradientLength=110, gradientThickness=8, values=[0, 1, 3, 5], titleOrient="left")),
            opacity=alt.Opacity("moved:N", scale=alt.Scale(domain=[True, False], range=[1, 0.6]), legend=None),
            tooltip=[alt.Tooltip("feature:N"), alt.Tooltip("checked_text:N", title="check of"), alt.Tooltip("reach:Q", title="distance ÷ limit", format=".2f"),
                     alt.Tooltip("adjusted:Q", title="adjusted p", format=".2~g"), alt.Tooltip("what:N", title="verdict")],
        )
        .add_params(pick)
    )  # fmt: skip
    return frame.finish(chart, palette, 18 * len(order) + 84)


def shift(rows: pd.DataFrame, palette: Palette, window: Window) -> Any:
    """Mean score of the window of each check against the reference's."""
    rows = frame.when(rows)
    base = alt.Chart(rows)
    return frame.finish(
        base.mark_line(color=palette.reference, strokeWidth=1.5).encode(
            x=frame.time_axis(window), y=frame.value_axis("reference", "mean score")
        )
        + base.mark_line(color=palette.current, strokeWidth=2).encode(
            x=frame.time_axis(window),
            y=frame.value_axis("mean", "mean score"),
            tooltip=[
                alt.Tooltip("time_text:N", title="until"),
                alt.Tooltip("mean:Q", format=".4f"),
                alt.Tooltip("reference:Q", format=".4f"),
            ],
        ),
        palette,
        150,
    )


def spans(versions: pd.DataFrame, spells: pd.DataFrame, palette: Palette, window: Window) -> Any:
    """Versions on the time axis: a thin bar for what each was trained on, thick ones for when it served."""
    rows = []
    trained: Any = versions.dropna(subset=["trained_from", "trained_to"]).itertuples()
    for row in trained:
        rows.append({"name": f"version {row.version}", "time": row.trained_from, "until": row.trained_to, "kind": "trained on"})
    served: Any = spells.dropna(subset=["since", "until"]).itertuples()
    for row in served:
        kind = "serves" if row.serving else "served"
        rows.append({"name": f"version {row.version}", "time": row.since, "until": row.until, "kind": kind})
    table = (
        frame.when(pd.DataFrame(rows), "time", "until")
        if rows
        else pd.DataFrame(columns=["name", "time", "until", "kind", "time_text", "until_text"])
    )
    kinds = ["trained on", "served", "serves"]
    base = alt.Chart(table).encode(
        x=frame.time_axis(window), x2="until:T",
        y=alt.Y("name:N", sort=[f"version {v}" for v in versions["version"]][::-1], title=None, axis=alt.Axis(minExtent=frame.LEFT + 10, domain=False, ticks=False)),
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[palette.current, palette.reference, palette.champion]), title=None),
        tooltip=[alt.Tooltip("name:N", title="what"), "kind:N", alt.Tooltip("time_text:N", title="from"), alt.Tooltip("until_text:N", title="until")],
    )  # fmt: skip
    thin = base.transform_filter("datum.kind == 'trained on'").mark_bar(height=4, yOffset=9)
    thick = base.transform_filter("datum.kind != 'trained on'").mark_bar(height=12, yOffset=-1, cornerRadius=2)
    return frame.finish(thick + thin, palette, 38 * max(1, len(versions)) + 76)
