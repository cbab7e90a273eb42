"""For tests of steps and pipelines: a clock moved by hand, a broker in memory whose clients pause, crash and end on command, and the
question every step must answer: whole = stopped and resumed.

>>> clock = Clock(1_000)
>>> clock.move(500)
>>> clock()
1500
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from connectors.formats import json
from connectors.kafka.admin import TopicSettings
from connectors.kafka.columns import Bytes, Records
from connectors.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from streams.events.decode import WATERMARK
from streams.sensors import Sensor
from streams.step import Step
from streams.worker.connection import Part
from streams.worker.engine import Settings, Worker
from streams.worker.replay import Reader
from streams.worker.snapshots import Folder, Place, Snapshots
from streams.worker.write import Topics


class Crash(Exception):
    """What a crashing client raises: the process is gone, nothing is tidied up."""


@dataclass
class Clock:
    """Milliseconds, moved by hand."""

    now: int = 0

    def __call__(self) -> int:
        return self.now

    def move(self, ms: int) -> None:
        self.now += ms


@dataclass
class Faults:
    """What a connection's clients do on command. Counters count down; 0 crashes."""

    paused: set[Part] = field(default_factory=set)  # partitions that stall: they are there and give nothing
    ends: dict[Part, int] = field(default_factory=dict)  # a partition gives nothing at or past this offset
    polls_to_crash: int | None = None
    commits_to_crash: int | None = None  # before the commit
    commits_to_lose: int | None = None  # after the commit: it is visible, and nobody was told


class Connection:
    """A MemoryBroker's clients with faults. One per process that is played."""

    def __init__(self, broker: MemoryBroker, faults: Faults | None = None) -> None:
        self.broker, self.faults = broker, faults or Faults()

    def consumer(self, isolation: str = "read_committed") -> MemoryConsumer:
        return _Consumer(self.broker, isolation, self.faults)

    def producer(self, transactional_id: str | None = None) -> MemoryProducer:
        made = self.broker.producer(transactional_id)
        return _faulty(made, self.faults)

    def commit(self, positions: Mapping[Part, tuple[int, str]], group: str) -> None:
        _count(self.faults, ("commits_to_crash",))
        self.broker.commit(positions, group)
        _count(self.faults, ("commits_to_lose",))


class _Consumer(MemoryConsumer):
    def __init__(self, broker: MemoryBroker, isolation: str, faults: Faults) -> None:
        super().__init__(broker, isolation)
        self._faults = faults

    def poll(self, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]:
        if self._faults.polls_to_crash is not None:
            self._faults.polls_to_crash -= 1
            if self._faults.polls_to_crash < 0:
                raise Crash("while reading")
        stalled = (self._faults.paused & set(self._positions)) - self._paused
        stalled |= {part for part, end in self._faults.ends.items() if part in self._positions and self._positions[part] >= end}
        self.pause(stalled)
        try:
            return super().poll(timeout_ms, max_records)
        finally:
            self.resume(stalled)


def _faulty(producer: MemoryProducer, faults: Faults) -> MemoryProducer:
    commit = producer.commit

    def failing(*arguments: Any, **named: Any) -> None:
        _count(faults, ("commits_to_crash",))
        commit(*arguments, **named)
        _count(faults, ("commits_to_lose",))

    producer.commit = failing  # type: ignore[method-assign]
    return producer


def _count(faults: Faults, counters: Sequence[str]) -> None:
    for name in counters:
        left = getattr(faults, name)
        if left is not None:
            setattr(faults, name, left - 1)
            if left <= 0:
                raise Crash("before a commit" if name == "commits_to_crash" else "after a commit")


def put(
    broker: MemoryBroker, topic: str, partition: int, values: Iterable[bytes | None], *, watermark: int | None = None, timestamp: int = 0
) -> None:
    """Append records to a partition, and a watermark record behind them."""
    producer = broker.producer()
    rows = list(values)
    if rows:
        producer.send(topic, partition, np.full(len(rows), timestamp, np.int64), None, Bytes.of(rows))
    if watermark is not None:
        header: list[tuple[str, bytes | None]] = [(WATERMARK, str(watermark).encode())]
        producer.send(topic, partition, np.array([timestamp], np.int64), None, Bytes.nulls(1), [header])


def values(broker: MemoryBroker, topic: str) -> list[bytes | None]:
    """What read_committed readers see of a topic, partition by partition."""
    found: list[bytes | None] = []
    consumer = broker.consumer()
    for partition in consumer.partitions(topic):
        part = (topic, partition)
        consumer.assign([part], {part: consumer.beginning_offsets([part])[part]})
        while records := consumer.poll(0):
            found += [one.values[row] for one in records for row in range(len(one))]
    return found


def worker(
    step: Step,
    connection: Connection,
    *,
    name: str = "t",
    snapshots: Place | None = None,
    sensor: Sensor | None = None,
    **settings: Any,
) -> Worker:
    """A worker over a memory broker; its own topics are `<name>.commits`, `.dead-letters` and `.late`, made when missing."""
    own = ("commits", "dead-letters", "late")
    connection.broker.ensure_topics(
        {f"{name}.{topic}": TopicSettings() for topic in own if not connection.consumer().partitions(f"{name}.{topic}")}
    )
    readers = {one.topic: Reader(rank, one, _strict, strict=True) for rank, one in enumerate(step.inputs)}
    chosen = Settings(
        group=f"{name}.{step.name}",
        topics=Topics(*(f"{name}.{topic}" for topic in own)),
        snapshots=Snapshots(snapshots) if snapshots else None,
        snapshot_every_s=0.0,
        signature=str(getattr(step, "signature", "")),
        sources=frozenset(one.name for one in step.inputs),
        **settings,
    )
    return Worker(step, connection, readers, chosen, sensor)


def _strict(values: Bytes, schema: Any) -> Any:
    return json.decode(values, schema, strict=True)


def run_to_end(step: Step, connection: Connection, **settings: Any) -> Worker:
    """Drive a step until it is caught up with the broker."""
    driver = worker(step, connection, **settings)
    driver.run(until=driver.caught_up)
    return driver


def whole_equals_resumed(
    make: Callable[[], Step], fill: Callable[[MemoryBroker], None], outputs: Sequence[str], crashes: Sequence[Faults], **settings: Any
) -> None:
    """Assert that a run with crashes (each followed by a new worker) writes to `outputs` what an undisturbed one does.

    Three ways: undisturbed, resumed from snapshots, resumed from the log alone.
    """
    results = []
    for faults, with_snapshots in (((), False), (crashes, True), (crashes, False)):
        broker = MemoryBroker()
        fill(broker)
        with tempfile.TemporaryDirectory() as folder:
            place = Folder(Path(folder)) if with_snapshots else None
            for fault in faults:
                try:
                    run_to_end(make(), Connection(broker, Faults(**fault.__dict__)), snapshots=place, **settings)
                except Crash:
                    pass
            run_to_end(make(), Connection(broker), snapshots=place, **settings)
        results.append({topic: values(broker, topic) for topic in outputs})
    assert results[1] == results[0], "resumed from snapshots, the outputs differ from those of an undisturbed run"
    assert results[2] == results[0], "resumed from the log alone, the outputs differ from those of an undisturbed run"
