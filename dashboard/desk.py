"""What every page is given: the project, its store, the palette; opened once a process and kept."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import streamlit as st

from dashboard.palette import Palette, palette
from dashboard.queries.window import Window, window
from dashboard.store.reader import Reader
from dashboard.store.store import Store
from streams.commands.options import open_project
from streams.project import Project

T = TypeVar("T")
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

    def asked(self, question: Callable[..., T], *more: Any) -> T:
        """The answer of a query of the store, given `more` behind the cursor; asked once a write for all sessions and parts of a page.

        Nobody may change what comes back.
        """
        return self.store.once((question.__module__, question.__qualname__, *more), lambda: question(self.cursor(), *more))

    def window(self, period: str) -> Window:
        return self.asked(window, period, self.zone)


_opened: dict[Path, tuple[Project, Store, Reader]] = {}
_lock = threading.Lock()


def opened(root: Path) -> tuple[Project, Store, Reader]:
    """The project of a folder (with the values of --set), its store and the reader that follows the topics; once a process, for all sessions."""
    root = root.resolve()
    with _lock:
        if root not in _opened:
            project = open_project(str(root), json.loads(os.environ.get("DRIFTLINE_SETTINGS", "[]")))
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
