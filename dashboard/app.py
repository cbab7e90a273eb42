"""The dashboard's script: `driftline up` runs it by `python -m dashboard FOLDER`, which says in DRIFTLINE_PROJECT which project it is."""

from __future__ import annotations

import functools
from pathlib import Path

import streamlit as st

from dashboard import parts, theme
from dashboard.desk import dark, desk
from dashboard.pages import PAGES
from dashboard.palette import palette
from streams.errors import DriftlineError

st.set_page_config(page_title="Driftline", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
st.html(theme.sheet(palette(dark())))

try:
    opened = desk()
except (DriftlineError, OSError) as error:
    parts.failure("This project cannot be shown", str(error), "Start the dashboard with: driftline up FOLDER")
    st.stop()

first, *others = PAGES
home = st.Page(functools.partial(first.show, opened), title=first.TITLE, url_path="", default=True)
pages = [home, *(st.Page(functools.partial(page.show, opened), title=page.TITLE, url_path=page.NAME) for page in others)]
# Streamlit gives the first page the empty path alone: whoever names it is led there
named = st.Page(lambda: st.switch_page(home, query_params=st.query_params), title=first.TITLE, url_path=first.NAME, visibility="hidden")
chosen = st.navigation([*pages, named], position="top")
st.session_state["pages"] = dict(zip((page.NAME for page in PAGES), pages, strict=True))
parts.head_line(opened, chosen.title)
if opened.reader.ready or opened.reader.trouble or not opened.reader.running:
    chosen.run()
else:
    parts.reading(opened)
