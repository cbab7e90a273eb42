"""The stages in one process, with the messages between them in any order that keeps each channel's own: what a test needs of a cluster."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from streams.features.distributed.arrive import Arrive
from streams.features.distributed.assemble import Assemble
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.messages import ORDER, OUT, ROWS, TASKS, Arrived, Sent, Written
from streams.features.distributed.order import Order
from streams.features.distributed.task import Bucket

ARRIVE = "arrive"


class Stage(Protocol):
    def receive(self, message: Any) -> Sent: ...

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None: ...


STAGES: dict[str, Callable[[JobPlan, int], Stage]] = {
    ARRIVE: Arrive,
    ORDER: lambda job, key: Order(job),
    TASKS: Bucket,
    ROWS: Assemble,
}


class Local:
    """Runs a job over given records; `seed` draws the delivery, `restart` is the chance that a stage is put away and restored before a message."""

    def __init__(self, job: JobPlan, seed: int = 0, restart: float = 0.0) -> None:
        self._job, self._draw, self._restart = job, random.Random(seed), restart
        self._stages: dict[tuple[str, int], Stage] = {}
        self._channels: dict[tuple[tuple[str, int], tuple[str, int]], deque[Any]] = {}
        self._held: dict[int, dict[int, bytes]] = {}  # what each `Assemble` keeps
        self.written: list[Written] = []

    def run(self, found: Iterable[Arrived], *, ended: bool = True) -> list[Written]:
        """Deliver everything, then end (`ended` False: let the clock tick once more); what was written, in order."""
        for one in found:
            key = one.rank * 1024 + one.records.partition
            self._post(("source", key), [(ARRIVE, key, one)])
        self._deliver()
        order = self._stage((ORDER, 0))
        assert isinstance(order, Order)
        last = order.end() if ended else order.tick(lambda reads: set())
        if last is not None:
            self._post((ORDER, 0), order.receive(last))
            self._deliver()
        return self.written

    def _deliver(self) -> None:
        while waiting := [channel for channel, messages in self._channels.items() if messages]:
            source, target = self._draw.choice(waiting)
            message = self._channels[source, target].popleft()
            if self._draw.random() < self._restart and target in self._stages:
                self._begin_again(target)
            stage = self._stage(target)
            self._post(target, stage.receive(message))
            if isinstance(stage, Assemble):
                self._keep(stage, target[1])
            if isinstance(stage, Order) and self._draw.random() < 0.5 and (tick := stage.tick(lambda reads: set())) is not None:
                self._post(target, stage.receive(tick))

    def _post(self, source: tuple[str, int], sent: Iterable[tuple[str, int, Any]]) -> None:
        for stage, key, message in sent:
            if stage == OUT:
                self.written.append(message)
            else:
                self._channels.setdefault((source, (stage, key)), deque()).append(message)

    def _begin_again(self, target: tuple[str, int]) -> None:
        state = self._stages.pop(target).snapshot()
        stage = self._stage(target)
        stage.restore(state)
        if isinstance(stage, Assemble):
            for number, message in sorted(self._held[target[1]].items()):
                stage.again(number, message)

    def _keep(self, stage: Assemble, key: int) -> None:
        held = self._held.setdefault(key, {})
        for number, message in stage.changes.items():
            if message is None:
                del held[number]
            else:
                held[number] = message
        stage.changes.clear()

    def _stage(self, target: tuple[str, int]) -> Stage:
        if target not in self._stages:
            self._stages[target] = STAGES[target[0]](self._job, target[1])
        return self._stages[target]
