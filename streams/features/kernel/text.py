"""How values read inside the text that the *_cate and top functions give: "k:v,k:v", floats with six digits."""

from __future__ import annotations

import datetime as dt
import math
from zoneinfo import ZoneInfo

from streams.types import Type

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Value = int | float | str | bool | None


def render(value: Value, type: Type, zone: ZoneInfo) -> str:
    """The text of one value that is not NULL. A TIMESTAMP is shown in `zone`, to the second; a time beyond Python's calendar as its number."""
    if type is Type.STRING:
        return str(value)
    if type in (Type.FLOAT, Type.DOUBLE):
        return number(float(value or 0.0))
    try:
        if type is Type.DATE:
            return (dt.date(1970, 1, 1) + dt.timedelta(days=int(value or 0))).isoformat()
        if type is Type.TIMESTAMP:
            return (_EPOCH + dt.timedelta(milliseconds=int(value or 0))).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return str(value)
    if type is Type.BOOL:
        return "true" if value else "false"
    return str(value)


def number(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.6f}"
