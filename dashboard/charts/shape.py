"""Charts of shapes: distributions side by side, forest, calibration, bars by segment."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts import frame
from dashboard.palette import Palette


def sides(bars: pd.DataFrame, words: bool, palette: Palette, feature: str) -> Any:
    """Reference in grey, current in blue over it. Words lie as bars beside each other, steps of numbers stand, else the area is the share."""
    colour = alt.Color("side:N", scale=alt.Scale(domain=["reference", "current"], range=[palette.reference, palette.current]), title=None)
    tips = [alt.Tooltip("side:N"), alt.Tooltip("share:Q", title="share of rows", format=".2%")]
    if words:
        order = bars.groupby("value")["share"].max().sort_values(ascending=False).index.tolist()[:14]
        chart = (
            alt.Chart(bars[bars["value"].isin(order)])
            .mark_bar()
            .encode(
                y=alt.Y("value:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=150)),
                yOffset=alt.YOffset("side:N", sort=["reference", "current"]),
                x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=5)),
                color=colour,
                tooltip=[alt.Tooltip("value:N", title=feature), *tips],
            )
        )
        return frame.finish(chart, palette, 24 * len(order) + 80)
    if "density" not in bars:
        order = bars.loc[bars["side"] == "reference", "value"].tolist()
        chart = (
            alt.Chart(bars)
            .mark_bar()
            .encode(
                x=alt.X("value:N", sort=order, title=feature, axis=alt.Axis(labelAngle=-40, labelOverlap=True, ticks=False)),
                xOffset=alt.XOffset("side:N", sort=["reference", "current"]),
                y=alt.Y(
                    "share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=4, minExtent=frame.LEFT, maxExtent=frame.LEFT)
                ),
                color=colour,
                tooltip=[alt.Tooltip("value:N", title=feature), *tips],
            )
        )
        return frame.finish(chart, palette, 240)
    x = alt.X("low:Q", title=feature, axis=alt.Axis(grid=False, tickCount=7), scale=alt.Scale(zero=False, nice=False))
    y = alt.Y("density:Q", title="density", axis=alt.Axis(labels=False, ticks=False, grid=False), stack=None)
    edge = [alt.Tooltip("low:Q", title="from", format=".4~g"), alt.Tooltip("high:Q", title="to", format=".4~g")]
    base = alt.Chart(bars).encode(x=x, x2="high:Q", y=y, y2=alt.datum(0), color=colour, tooltip=[*edge, *tips])
    grey = base.transform_filter("datum.side == 'reference'").mark_rect(opacity=0.5)
    blue = base.transform_filter("datum.side == 'current'").mark_rect(opacity=0.4, stroke=palette.current, strokeWidth=1)
    return frame.finish(grey + blue, palette, 240)


def distribution(values: pd.DataFrame, palette: Palette, feature: str) -> Any:
    """The newest values of one feature."""
    if values["value"].dtype.kind in "fi":
        chart = (
            alt.Chart(values.dropna(subset=["value"]))
            .mark_bar(color=palette.current)
            .encode(x=alt.X("value:Q", bin=alt.Bin(maxbins=30), title=feature), y=alt.Y("count()", title="rows", axis=alt.Axis(minExtent=frame.LEFT, maxExtent=frame.LEFT, tickCount=4)), tooltip=["count()"])
        )  # fmt: skip
        return frame.finish(chart, palette, 200)
    counted = values["value"].fillna("(empty)").value_counts().head(15).rename_axis("value").reset_index(name="n")
    chart = (
        alt.Chart(counted)
        .mark_bar(color=palette.current)
        .encode(
            y=alt.Y("value:N", sort="-x", title=None), x=alt.X("n:Q", title="rows"), tooltip=["value:N", alt.Tooltip("n:Q", format=",")]
        )
    )
    return frame.finish(chart, palette, 22 * len(counted) + 50)


def forest(rows: pd.DataFrame, margin: float, palette: Palette, metric: str) -> Any:
    """Difference with its interval, all rows first, then by segment; right of zero the challenger is better; the margin is dashed too."""
    rows = rows.dropna(subset=["difference"]).copy()
    rows["side"] = [
        "challenger better" if low is not None and low > 0 else "champion better" if high is not None and high < 0 else "not told apart"
        for low, high in zip(rows["low"], rows["high"], strict=True)
    ]
    order = rows["name"].tolist()
    colour = alt.Color(
        "side:N",
        scale=alt.Scale(
            domain=["challenger better", "not told apart", "champion better"],
            range=[palette.challenger, palette.reference, palette.champion],
        ),
        title=None,
    )
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=140, ticks=False, domain=False))
    tips = [
        alt.Tooltip("name:N"),
        *(alt.Tooltip(f"{name}:Q", format="+.4f") for name in ("difference", "low", "high")),
        alt.Tooltip("rows:Q", format=","),
    ]
    base = alt.Chart(rows).encode(y=y, color=colour, tooltip=tips)
    title = f"difference in {metric}: worse ⟵ challenger ⟶ better"
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title, axis=alt.Axis(format="+.3f", tickCount=6)), x2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x="difference:Q")
    bounds = pd.DataFrame({"x": [0.0, margin], "what": ["no difference", "margin: promoting needs the whole interval to the right of it"]})
    zero = (
        alt.Chart(bounds.drop_duplicates("x"))
        .mark_rule(color=palette.faint, strokeDash=[3, 3])
        .encode(x="x:Q", tooltip=alt.Tooltip("what:N", title=""))
    )
    return frame.finish(zero + bars + points, palette, 26 * len(rows) + 80)


def calibration(rows: pd.DataFrame, palette: Palette) -> Any:
    """Observed against predicted; on the diagonal a score means what it says."""
    colour = alt.Color(
        "side:N", scale=alt.Scale(domain=["champion", "challenger"], range=[palette.champion, palette.challenger]), title=None
    )
    scale = alt.Scale(domain=[0, 1])
    line = alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1]})).mark_line(color=palette.reference, strokeDash=[3, 3], strokeWidth=1)
    base = alt.Chart(rows).encode(
        x=alt.X("predicted:Q", scale=scale, title="predicted", axis=alt.Axis(format="%", tickCount=5)),
        y=alt.Y("observed:Q", scale=scale, title="observed", axis=alt.Axis(format="%", tickCount=5)),
        color=colour,
        tooltip=[
            "side:N",
            alt.Tooltip("predicted:Q", format=".1%"),
            alt.Tooltip("observed:Q", format=".1%"),
            alt.Tooltip("rows:Q", format=","),
        ],
    )
    return frame.finish(
        line.encode(x="x:Q", y="y:Q") + base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=45, opacity=1), palette, 260
    )


def by_segment(rows: pd.DataFrame, palette: Palette) -> Any:
    """Observed and predicted rate by value of a segment: a gap is where the model is wrong."""
    base = alt.Chart(rows).encode(
        y=alt.Y(
            "value:N",
            sort=alt.EncodingSortField("rows", order="descending"),
            title=None,
            axis=alt.Axis(ticks=False, domain=False, minExtent=frame.LEFT),
        )
    )
    tips = ["value:N", alt.Tooltip("observed:Q", format=".1%"), alt.Tooltip("predicted:Q", format=".1%"), alt.Tooltip("log_loss:Q", format=".4f"), alt.Tooltip("rows:Q", title="labelled", format=",")]  # fmt: skip
    x = alt.X(
        "predicted:Q",
        title="predicted (open) and observed (filled) rate",
        axis=alt.Axis(format="%", tickCount=5),
        scale=alt.Scale(zero=False),
    )
    gap = base.mark_rule(color=palette.reference, strokeWidth=2).encode(x=x, x2="observed:Q")
    predicted = base.mark_point(size=70, color=palette.current, filled=False).encode(x="predicted:Q", tooltip=tips)
    observed = base.mark_point(size=70, color=palette.current, filled=True, opacity=1).encode(x="observed:Q", tooltip=tips)
    return frame.finish(gap + predicted + observed, palette, 26 * len(rows) + 60)
