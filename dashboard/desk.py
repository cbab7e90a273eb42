"""What every page is given: the project, its store, the palette; opened once a process and kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import duckdb
import streamlit as st

from dashboard.palette import Palette, palette
from dashboard.queries.window import Window, window
from dashboard.store.reader import Reader
from dashboard.store.store import Store
from streams.project import Project, load_project

REFRESH = 3.0  # seconds between two looks of a live part


@dataclass(frozen=True)
class Desk:
    project: Project
    store: Store
    reader: Reader
    palette: Palette

    @property
    def zone(self) -> str:
        return self.project.timezone

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self.store.cursor()

    def window(self, period: str, buckets: int = 60) -> Window:
        return window(self.cursor(), period, self.zone, buckets)


@st.cache_resource(show_spinner=False)
def _opened(root: str) -> tuple[Project, Store, Reader]:
    project = load_project(root)
    store = Store(project.state_dir / "store" / "dashboard.duckdb", project.name, project.drift.segments)
    reader = Reader(project, store)
    if os.environ.get("DRIFTLINE_DASHBOARD_READER", "on") != "off":
        reader.start()
    return project, store, reader


def desk() -> Desk:
    """Raises ProjectError when the folder in DRIFTLINE_PROJECT is no project."""
    project, store, reader = _opened(str(Path(os.environ.get("DRIFTLINE_PROJECT", ".")).resolve()))
    return Desk(project, store, reader, palette(dark()))


def dark() -> bool:
    return getattr(st.context.theme, "type", None) == "dark"
