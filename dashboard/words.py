"""Numbers, ages and times as a person reads them: units, sensible digits, the project's time zone."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`3 dead letters`, `1 dead letter`, `no dead letters`; thousands are parted by commas."""
    if number == 0:
        return f"no {plural or noun + 's'}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def figure(value: float | None, digits: int = 3) -> str:
    """A metric between 0 and 1 without its leading zero: `.562`; larger numbers with two digits; `–` where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) < 1:
        return f"{value:.{digits}f}".replace("0.", ".", 1)
    return f"{value:,.2f}"


def sensible(value: float | None) -> str:
    """A number with four significant digits at most."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def rate(per_second: float) -> str:
    if 0 < per_second < 0.05:
        return "less than 0.1 events/s"
    return f"{per_second:,.0f} events/s" if per_second >= 10 or per_second == 0 else f"{per_second:.1f} events/s"


def age(milliseconds: float | None) -> str:
    """`0.4 s`, `41 s`, `5.2 h`, `12 d`."""
    if milliseconds is None:
        return "–"
    seconds = max(0.0, milliseconds / 1000)
    for size, unit, limit in ((1, "s", 90), (60, "min", 90), (3600, "h", 48)):
        if seconds / size < limit:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:,.0f} d"


def clock(milliseconds: float) -> str:
    """A running time as `00:41` or `1:02:03`."""
    seconds = max(0, int(milliseconds // 1000))
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"


def local(milliseconds: int, zone: str) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone(ZoneInfo(zone))


def moment(milliseconds: int | None, zone: str, *, year: bool = False, seconds: bool = False) -> str:
    """`29 Jun 14:05`, with the year or the seconds where asked."""
    if milliseconds is None:
        return "–"
    at = local(milliseconds, zone)
    return f"{at.day} {at:%b}{f' {at.year}' if year else ''} {at:%H:%M}{f':{at:%S}' if seconds else ''}"


def day(milliseconds: int | None, zone: str) -> str:
    if milliseconds is None:
        return "–"
    at = local(milliseconds, zone)
    return f"{at.day} {at:%B}"


def joined(parts: list[str]) -> str:
    """`a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]
