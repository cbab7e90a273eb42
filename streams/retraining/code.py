"""The trigger `code`: the champion was trained by another features.sql or another train.py than there is now."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc

from streams.predictions import log
from streams.project import Project
from streams.retraining.sources import Sources
from streams.types import TIME, Type
from streams.worker.connection import Connection

TRAIN = "train.py"  # beside a model: the file that trained it, to read and to compare, never to run
ROWS = 200_000  # read at a time


class Code:
    """`wait`: milliseconds of event time from the first row of a new features.sql to a run on its rows, as long as the first champion had."""

    def __init__(self, project: Project, connection: Connection, sources: Sources) -> None:
        self._connection, self._topic, self._plan = connection, project.topic("features"), sources.plan
        self._file = project.root / project.model.train.partition(":")[0]
        first = project.retraining.first_after_ms
        self.wait = first if first is not None else project.drift.window_ms
        self._read: dict[int, int] = {}  # by partition: up to where rows of this features.sql were looked for
        self._began: int | None = None

    @property
    def source(self) -> bytes:
        """The training file as it is now; empty where there is none."""
        return self._file.read_bytes() if self._file.is_file() else b""

    @property
    def run_id(self) -> str:
        """The run that this code asks for, once."""
        return f"code-{hashlib.sha256(self._plan.encode() + self.source).hexdigest()[:12]}"

    def features_changed(self, folder: Path) -> bool:
        """Whether the model in this folder was trained on rows of another features.sql."""
        manifest = folder / "manifest.json"
        return manifest.exists() and json.loads(manifest.read_text())["plan"] != self._plan

    def train_changed(self, folder: Path) -> bool:
        """Whether another file trained the model in this folder."""
        return (folder / TRAIN).exists() and (folder / TRAIN).read_bytes() != self.source

    def began(self) -> int | None:
        """The event time of the first row that features.sql as it is now has made; None until there is one."""
        if self._began is None:
            found = []
            for one in log.whole(self._connection, self._topic):
                at = max(self._read.get(one.partition, 0), one.start)
                while at < one.end:
                    until = min(at + ROWS, one.end)
                    rows = log.table(self._connection, [replace(one, start=at, end=until)], {"_plan": Type.STRING})
                    times = rows.filter(pc.fill_null(pc.equal(rows.column("_plan"), self._plan), False)).column(TIME)
                    at = until
                    if len(times):
                        found.append(pc.min(times).as_py())
                        break
                self._read[one.partition] = at
            self._began = min(found, default=None)
        return self._began
