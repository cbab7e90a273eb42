"""What every page is given: the project, its store, the palette; opened once a process and kept."""

from __future__ import annotations

import os
import threading
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


_opened: dict[Path, tuple[Project, Store, Reader]] = {}
_lock = threading.Lock()


def opened(root: Path) -> tuple[Project, Store, Reader]:
    """The project of a folder, its store and the reader that follows the topics; once a process, for all sessions."""
    root = root.resolve()
    with _lock:
        if root not in _opened:
            project = load_project(root)
            store = Store(project.state_dir / "store" / "dashboard.duckdb", project.name)
            reader = Reader(project, store)
            if os.environ.get("DRIFTLINE_DASHBOARD_READER", "on") != "off":
                reader.start()
            _opened[root] = project, store, reader
        return _opened[root]


def desk() -> Desk:
    """Raises ProjectError when the folder in DRIFTLINE_PROJECT is no project."""
    project, store, reader = opened(Path(os.environ.get("DRIFTLINE_PROJECT", ".")))
    return Desk(project, store, reader, palette(dark()))


def dark() -> bool:
    return getattr(st.context.theme, "type", None) == "dark"
