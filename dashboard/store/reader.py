"""The thread that keeps the store up to date: it follows the topics by positions, read_committed, and reads no record twice."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from connectors.errors import OffsetLostError
from connectors.formats import json as json_format
from connectors.kafka.columns import Records
from dashboard.store import rows
from dashboard.store.store import Store
from streams.errors import DriftlineError
from streams.predictions import records as formats
from streams.project import TOPICS, Project
from streams.types import TIME, Schema, Type
from streams.worker.connection import Connection, Consumer, KafkaConnection

_log = logging.getLogger(__name__)

PACE_S = 0.6  # between two looks: each is one transaction, and the streams need the cores
ENDS_EVERY_S = 2.0
FEATURES_EVERY_S = 3.0
FEATURES_AT_ONCE = 1000  # newest rows that one look takes; a distribution needs no more
MOST_ROWS = 100_000
FOLLOWED = tuple(topic for topic in TOPICS if topic != "features")

# an outcome's own time is when it was known; its field _time is the event time of the prediction
_FORMATS: dict[str, Schema] = {
    "predictions": formats.predictions({}),
    "outcomes": {**formats.outcomes({}), TIME: Type.BIGINT},
}


class Reader:
    """`connect` opens a connection each time the broker was lost; a test gives one in memory."""

    def __init__(self, project: Project, store: Store, connect: Callable[[], Connection] | None = None) -> None:
        self.project = project
        self.store = store
        self.trouble: str | None = None  # why nothing is read, in words
        self.behind = 0
        self.ready = bool(store.positions())  # whether the log has been read to its end once; an older store shows what it has
        self._connect = connect or (lambda: KafkaConnection(project.kafka()))
        self._names = {project.topic(name): name for name in (*TOPICS, *project.sources)}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._consumer: Consumer | None = None
        self._newest: Consumer | None = None
        self._looked = self._sampled = 0.0

    @property
    def catching_up(self) -> bool:
        return self.behind > rows.BINS * 1000

    @property
    def running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.open()
                while not self._stop.is_set():
                    begun = time.monotonic()
                    full = self.step() >= MOST_ROWS
                    self._stop.wait(0 if full else max(0.0, PACE_S - (time.monotonic() - begun)))
            except OffsetLostError as error:
                _log.warning("the log has lost what the store stood at (%s): the store is made anew", error)
                self.store.reopen()
            except (DriftlineError, OSError) as error:
                self.trouble = str(error)
                self._stop.wait(1.0)
            finally:
                self.close()

    def open(self) -> None:
        """Take up at the store's positions. A log that is shorter than they are is another log: the store begins anew."""
        connection = self._connect()
        self._consumer, self._newest = connection.consumer(), connection.consumer()
        parts = self._parts(self._consumer, FOLLOWED)
        missing = [name for name in FOLLOWED if name not in {name for name, _ in parts}]
        if missing:
            raise DriftlineError(f"The topics {', '.join(missing)} are not there yet; driftline up makes them.")
        ends = self._consumer.end_offsets([(self.project.topic(name), part) for name, part in parts])
        known = self.store.positions()
        if any(known.get(part, 0) > ends[self.project.topic(part[0]), part[1]] for part in parts):
            _log.warning("the store stands further than the log: it is made anew")
            self.store.reopen()
            known = {}
        start = {(self.project.topic(name), part): at for (name, part), at in known.items() if (name, part) in parts}
        self._consumer.assign(list(ends), start)
        newest = [(self.project.topic("features"), part) for part in self._newest.partitions(self.project.topic("features"))]
        self._newest.assign(newest)
        self._looked = self._sampled = 0.0

    def close(self) -> None:
        for consumer in (self._consumer, self._newest):
            if consumer is not None:
                consumer.close()
        self._consumer = self._newest = None

    def _parts(self, consumer: Consumer, names: tuple[str, ...]) -> list[tuple[str, int]]:
        return [(name, part) for name in names for part in consumer.partitions(self.project.topic(name))]

    def step(self) -> int:
        """One look at the topics, one transaction; how many records it took."""
        assert self._consumer is not None
        if self.store.gone:
            self.store.reopen()
            for name, number in self._parts(self._consumer, FOLLOWED):
                place = (self.project.topic(name), number)
                self._consumer.seek(place, self._consumer.beginning_offsets([place])[place])
        polled = self._consumer.poll(200, MOST_ROWS)
        facts: dict[str, list[rows.Fact]] = {}
        tables = {}
        positions = {}
        for part in polled:
            name = self._names[part.topic]
            positions[name, part.partition] = part.next_offset
            if name in _FORMATS:
                tables[name, part.partition] = _table(part, _FORMATS[name])
            else:
                facts.setdefault(name, []).extend(_facts(part))
        now = time.monotonic()
        ends = {}
        if now - self._looked >= ENDS_EVERY_S:
            self._looked = now
            ends = self._ends()
        if now - self._sampled >= FEATURES_EVERY_S:
            self._sampled = now
            facts["features"] = list(self._features())
        if polled or ends or facts.get("features"):
            self.store.write(facts, tables, positions, ends)
        self.trouble = None
        return sum(len(part) for part in polled)

    def _ends(self) -> dict[str, int]:
        """Records by topic up to now; and how far this reader is behind."""
        assert self._consumer is not None
        parts = [(self.project.topic(name), part) for name, part in self._parts(self._consumer, (*TOPICS, *self.project.sources))]
        found = self._consumer.end_offsets(parts)
        ends: dict[str, int] = {}
        for (topic, _), end in found.items():
            ends[self._names[topic]] = ends.get(self._names[topic], 0) + end
        followed = [(self.project.topic(name), part) for name, part in self._parts(self._consumer, FOLLOWED)]
        self.behind = sum(max(0, found[part] - self._consumer.position(part)) for part in followed)
        self.ready = self.ready or not self.catching_up
        return ends

    def _features(self) -> Iterator[rows.Fact]:
        """The newest feature rows: a replay writes more than anybody looks at, so the rest is passed over by position."""
        assert self._newest is not None
        topic = self.project.topic("features")
        parts = [(topic, part) for part in self._newest.partitions(topic)]
        ends = self._newest.end_offsets(parts)
        for part in parts:
            if ends[part] - FEATURES_AT_ONCE > self._newest.position(part):
                self._newest.seek(part, ends[part] - FEATURES_AT_ONCE)
        deadline = time.monotonic() + 2.0
        while any(self._newest.position(part) < ends[part] for part in parts) and time.monotonic() < deadline:
            for polled in self._newest.poll(100, FEATURES_AT_ONCE):
                yield from _facts(polled)


def _table(part: Records, schema: Schema) -> pa.Table:
    """The records that can be read, with the event time in _time; those without a value only mark event time."""
    rows_with = np.flatnonzero(part.values.length > 0)
    read = json_format.decode(part.values.take(rows_with), schema)
    if TIME in schema:
        return read.table
    return read.table.append_column(TIME, pa.array(part.timestamps[rows_with][read.good]))


def _read(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return json.loads(value)  # slower, and it knows NaN and Infinity, which a feature may be


def _facts(part: Records) -> Iterator[rows.Fact]:
    for row in range(len(part)):
        key, value = part.keys[row], part.values[row]
        if value is None:
            continue
        try:
            body = _read(value)
        except ValueError:
            _log.warning("%s[%s]@%s is no JSON and is passed over", part.topic, part.partition, part.offsets[row])
            continue
        if isinstance(body, dict):
            text = key.decode("utf-8", "replace") if key is not None else None
            yield rows.Fact(part.partition, int(part.offsets[row]), int(part.timestamps[row]), text, body)
