"""The DuckDB file: opened, thrown away when it is of another layout or cannot be read, written by one reader, read by all pages."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from dashboard.store import rows
from dashboard.store.tables import DDL, LAYOUT

T = TypeVar("T")
FRESH_S = 2.0
MOST_ANSWERS = 300
_log = logging.getLogger(__name__)


class Store:
    """One file for one project. `write` is for the reader's thread alone; `cursor` serves any thread."""

    def __init__(self, path: Path, project: str) -> None:
        self.path = path
        self.project = project
        self.generation = 0  # grows with every write: a page need not draw the same twice
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[int, float, Any]] = OrderedDict()
        self._connection = self._open()

    def _open(self) -> duckdb.DuckDBPyConnection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(8):
            try:
                connection = duckdb.connect(str(self.path))
                if self._fits(connection):
                    return connection
                connection.close()
            except duckdb.IOException as error:
                if "lock" in str(error).lower():  # another dashboard of the same project has it: a file of our own
                    self.path = self.path.with_name(f"dashboard-{attempt + 2}.duckdb")
                    continue
                _log.warning("%s cannot be read (%s): read anew from the topics", self.path, error)
            except duckdb.Error as error:
                _log.warning("%s cannot be read (%s): read anew from the topics", self.path, error)
            self._remove()
        raise OSError(f"{self.path.parent}: no store can be opened there; is the folder writable?")

    def _fits(self, connection: duckdb.DuckDBPyConnection) -> bool:
        wished = f"{LAYOUT} {self.project}"
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'meta'").fetchone():
            connection.execute(f"BEGIN; {DDL}; INSERT INTO meta VALUES ('layout', '{wished}'); COMMIT")
            return True
        return connection.execute("SELECT value FROM meta WHERE name = 'layout'").fetchone() == (wished,)

    def _remove(self) -> None:
        for path in (self.path, self.path.with_name(self.path.name + ".wal")):
            path.unlink(missing_ok=True)

    @property
    def gone(self) -> bool:
        """Whether somebody deleted the file under us."""
        return not self.path.exists()

    def reopen(self) -> None:
        """Begin an empty store; cursors given out before still see the old one."""
        with self._lock:
            self._connection.close()
            self._remove()
            self._connection = self._open()
            self._answers.clear()
            self.generation += 1

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            return self._connection.cursor()

    def once(self, question: Hashable, answer: Callable[[], T]) -> T:
        """What `answer` gave last, as long as nothing was written since, or two seconds ago at most."""
        kept = self._answers.get(question)
        if kept is not None and (kept[0] == self.generation or time.monotonic() - kept[1] < FRESH_S):
            found: T = kept[2]
            return found
        asked = self.generation, time.monotonic()
        found = answer()
        self._answers[question] = (*asked, found)
        while len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
        return found

    def positions(self) -> dict[tuple[str, int], int]:
        """By topic (its short name) and partition: the next offset to read."""
        return {
            (topic, part): position for topic, part, position in self.cursor().execute("SELECT topic, part, next FROM positions").fetchall()
        }

    def write(
        self,
        facts: Mapping[str, Sequence[rows.Fact]] = {},
        tables: Mapping[tuple[str, int], pa.Table] = {},
        positions: Mapping[tuple[str, int], int] = {},
        ends: Mapping[str, int] = {},
    ) -> None:
        """Take what one poll gave, and the positions after it, in one transaction."""
        cursor = self.cursor()
        cursor.execute("BEGIN")
        try:
            for topic, batch in facts.items():
                rows.FACTS[topic](cursor, batch)
            for (topic, _), table in tables.items():
                rows.TABLES[topic](cursor, table)
            for (topic, part), position in positions.items():
                cursor.execute(
                    "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next", [topic, part, position]
                )
            if ends:
                now = int(time.time() * 1000)
                cursor.executemany("INSERT INTO ends VALUES (?, ?, ?)", [(now, topic, end) for topic, end in ends.items()])
                cursor.execute("DELETE FROM ends WHERE noted < ?", [now - rows.KEPT_SAMPLES_MS])
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
        cursor.close()
        if any(facts.values()) or tables:
            self.generation += 1
