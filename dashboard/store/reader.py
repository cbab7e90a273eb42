"""The thread that keeps the store up to date from the topics."""

from __future__ import annotations

from dashboard.store.store import Store
from streams.project import Project


class Reader:
    def __init__(self, project: Project, store: Store) -> None:
        self.project = project
        self.store = store
        self.trouble: str | None = None
        self.behind = 0

    @property
    def catching_up(self) -> bool:
        return self.behind > 20_000

    def start(self) -> None: ...
