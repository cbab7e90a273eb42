"""The tree of one prediction: model, feature row, raw events."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from dashboard import parts
from dashboard.actions import Answer


def tree(answer: Answer) -> None:
    if answer.error:
        parts.failure("The way back cannot be shown", answer.error, "The rows it came from may have left the log's retention.")
        return
    st.html(f'<ul class="dl-tree">{"".join(_branch(name, value) for name, value in (answer.value or {}).items())}</ul>')


def _branch(name: str, value: Any, depth: int = 0) -> str:
    label = escape(str(name).replace("_", " "))
    if isinstance(value, dict):
        inner = "".join(_branch(one, leaf, depth + 1) for one, leaf in value.items())
        return f"<li><details{' open' if depth < 1 else ''}><summary><b>{label}</b></summary><ul>{inner}</ul></details></li>"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        inner = "".join(_branch(str(place + 1), leaf, depth + 1) for place, leaf in enumerate(value[:50]))
        more = f"<li>and {len(value) - 50} more</li>" if len(value) > 50 else ""
        return f"<li><details><summary><b>{label}</b> ({len(value)})</summary><ul>{inner}{more}</ul></details></li>"
    return f"<li>{label}: <b>{escape(str(value))}</b></li>"
