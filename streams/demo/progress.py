"""Whether everything that was sent has gone all its way: by positions, not by waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping

from streams import pipeline
from streams.predictions import log
from streams.project import Project
from streams.retraining.runs import ACTIVE, latest
from streams.worker.connection import Connection, Consumer, Part


class Progress:
    """Asks the broker; keep one for a whole wait."""

    def __init__(self, project: Project, connection: Connection) -> None:
        self._project, self._connection = project, connection
        self._inputs = {step: tuple(one.topic for one in pipeline.build(project, step).inputs) for step in pipeline.DRIVEN}
        self._consumer: Consumer = connection.consumer()

    def close(self) -> None:
        self._consumer.close()

    def at_rest(self) -> bool:
        """Every step has read and committed all that its topics hold, no run is under way, and nothing was written meanwhile."""
        before = self._ends()
        for step, topics in self._inputs.items():
            if self._behind(f"{self._project.prefix or self._project.name}.{step}", topics):
                return False
        runs = latest(one.value for one in log.records(self._connection, self._project.topic("runs")) if one.value)
        return not any(run.state in ACTIVE for run in runs.values()) and self._ends() == before

    def _parts(self, topics: tuple[str, ...]) -> list[Part]:
        return [(topic, number) for topic in topics for number in self._consumer.partitions(topic)]

    def _ends(self) -> Mapping[Part, int]:
        topics = tuple(sorted({topic for inputs in self._inputs.values() for topic in inputs}))
        return self._consumer.end_offsets(self._parts(topics))

    def _behind(self, group: str, topics: tuple[str, ...]) -> bool:
        parts = self._parts(topics)
        committed = self._consumer.committed(group, parts)
        starts, ends = self._consumer.beginning_offsets(parts), self._consumer.end_offsets(parts)
        for part in parts:
            at = committed[part][0] if part in committed else starts[part]
            if at < ends[part] and self._readable(part, at, ends[part]):
                return True
        return False

    def _readable(self, part: Part, start: int, end: int) -> bool:
        """Whether a record stands there: the markers of transactions have offsets too, and nobody reads them."""
        self._consumer.assign([part], {part: start})
        deadline = time.monotonic() + 5
        while self._consumer.position(part) < end and time.monotonic() < deadline:
            if any(len(records) for records in self._consumer.poll(100, 1)):
                return True
        return self._consumer.position(part) < end
