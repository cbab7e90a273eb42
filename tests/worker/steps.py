"""A small step whose every answer depends on the whole order before it: a lost, doubled or moved row shows in all rows after it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from connectors.kafka.admin import TopicSettings
from connectors.memory import MemoryBroker
from streams.project import Project
from streams.step import Input
from streams.testing import put
from streams.types import OFFSET, PARTITION, TIME, Batch, Output, Outputs, Type

SCHEMA = {"card": Type.STRING, "at": Type.TIMESTAMP, "amount": Type.DOUBLE}


def source(name: str, topic: str, **settings: int) -> Input:
    return Input(name, topic, SCHEMA, "at", "card", **settings)


class Chain:
    """One row per driving row: `link` is a hash chained over all rows of all inputs in the merged order."""

    def __init__(self, inputs: tuple[Input, ...], out: str, partitions: int = 1) -> None:
        self._inputs, self._out, self._partitions = inputs, out, partitions
        self.link = 0
        self.held: int | None = None

    @property
    def name(self) -> str:
        return "chain"

    @property
    def inputs(self) -> tuple[Input, ...]:
        return self._inputs

    def process(self, batch: Batch) -> Outputs:
        rows = []
        for rank, one in enumerate(self._inputs):
            if one.name in batch.tables:
                table = batch.tables[one.name]
                meta = (table.column(name).to_pylist() for name in (PARTITION, OFFSET, TIME))
                rows += [(place, rank, *row) for place, *row in zip(batch.order[one.name].tolist(), *meta, strict=True)]
        out = []
        for _, rank, partition, offset, time in sorted(rows):
            self.link = (self.link * 1_000_003 + rank * 7919 + partition * 104_729 + offset * 31 + time) % (1 << 61)
            if rank == len(self._inputs) - 1:
                out.append((partition, offset, time, self.link))
        if not out:
            return {}
        partitions, offsets, times, links = (np.array(column, np.int64) for column in zip(*out, strict=True))
        table = pa.table({PARTITION: partitions.astype(np.int32), OFFSET: offsets, TIME: times, "link": links})
        return {self._out: Output(table, OFFSET, (partitions % self._partitions).astype(np.int32), times)}

    def hold(self) -> int | None:
        return self.held

    def snapshot(self) -> Mapping[str, bytes]:
        return {"link": json.dumps(self.link).encode()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        self.link = json.loads(state["link"])


def build(project: Project) -> Chain:
    """The step of a project whose sources are `a` and `b`, `b` driving."""
    inputs = tuple(project.input(name) for name in sorted(project.sources))
    return Chain(inputs, project.topic("features"), max(source.partitions for source in project.sources.values()))


INPUTS = (source("a", "t.a", idle_after=50), source("b", "t.b", idle_after=50, lateness=20))


def row(at: int) -> bytes:
    return json.dumps({"card": "c", "at": at, "amount": 1.0}).encode()


def broker() -> MemoryBroker:
    made = MemoryBroker()
    made.ensure_topics({"t.a": TopicSettings(2), "t.b": TopicSettings(1), "t.out": TopicSettings(1)})
    return made


def step() -> Chain:
    return Chain(INPUTS, "t.out")


def fill(made: MemoryBroker, times: list[list[int]] | None = None) -> None:
    made.ensure_topics({"t.a": TopicSettings(2), "t.b": TopicSettings(1), "t.out": TopicSettings(1)})
    parts = times or [[at * 7 % 400 for at in range(60)], [at * 11 % 400 for at in range(60)], [at * 5 % 400 for at in range(60)]]
    for (topic, partition), part in zip((("t.a", 0), ("t.a", 1), ("t.b", 0)), parts, strict=True):
        put(made, topic, partition, [row(at) if at % 50 else b"{broken" for at in part], watermark=500)
