"""The tree of one prediction: model, feature row, raw events."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from dashboard import parts, words
from dashboard.actions import Answer

MOMENTS = ("time", "predicted_at", "cut_off")  # milliseconds since the epoch


def tree(answer: Answer, zone: str) -> None:
    """What was said and by which version stands open; features, events and windows unfold."""
    if answer.error:
        parts.failure("The way back cannot be shown", answer.error, "The rows it came from may have left the log's retention.")
        return
    st.html(
        f'<ul class="dl-tree">{"".join(_branch(name, value, zone, name in ("prediction", "model")) for name, value in (answer.value or {}).items())}</ul>'
    )


def _branch(name: str, value: Any, zone: str, unfolded: bool = False) -> str:
    label = escape(str(name).replace("_", " "))
    if isinstance(value, dict):
        inner = "".join(_branch(one, leaf, zone) for one, leaf in value.items())
        return f"<li><details{' open' if unfolded else ''}><summary><b>{label}</b></summary><ul>{inner}</ul></details></li>"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        inner = "".join(_branch(str(place + 1), leaf, zone) for place, leaf in enumerate(value[:50]))
        more = f"<li>and {len(value) - 50} more</li>" if len(value) > 50 else ""
        return f"<li><details><summary><b>{label}</b> ({len(value)})</summary><ul>{inner}{more}</ul></details></li>"
    if isinstance(value, int) and name in MOMENTS:
        value = words.moment(value, zone, year=True, seconds=True)
    elif value is None or value == "" or isinstance(value, bool):
        value = "–" if not isinstance(value, bool) else "yes" if value else "no"
    return f"<li>{label}: <b>{escape(str(value))}</b></li>"
