"""The ledger of late events: each with its place, how far behind it was, and the windows that had gone by without it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from streams.events.decode import VALUE
from streams.events.redrive import records_of
from streams.types import OFFSET, PARTITION, TIME, Batch, Late, Output
from streams.worker.connection import Connection

Reach = Mapping[str, int | None]  # windows over an input by name, and how far each goes back (ms; None: without end)


def to_output(batch: Batch, late: Sequence[Late], topics: Mapping[str, str], reach: Mapping[str, Reach], at: int) -> Output:
    """One record a late row, keyed by its place, all in partition 0.

    A window misses an event that is `behind_ms` behind for that long, or for its own length where that is shorter.
    """
    rows: list[str] = []
    places: list[str] = []
    times: list[int] = []
    for one in late:
        table, topic = batch.tables[one.input], topics[one.input]
        windows = [(json.dumps(name), length) for name, length in reach.get(one.input, {}).items()]
        found = (table.column(name).to_numpy()[one.rows].astype(np.int64).tolist() for name in (PARTITION, OFFSET, TIME))
        for partition, offset, time, behind in zip(*found, one.behind_ms.tolist(), strict=True):
            place = f"{topic}[{partition}]@{offset}"
            missed = ",".join([f"{name}:{behind if length is None or behind < length else length}" for name, length in windows])
            rows.append(
                f'{{"place":"{place}","topic":"{topic}","partition":{partition},"offset":{offset},'
                f'"time":{time},"behind_ms":{behind},"missed":{{{missed}}},"at":{at}}}'
            )
            places.append(place)
            times.append(time)
    table = pa.table({VALUE: pa.array(rows, pa.string()), "place": pa.array(places, pa.string())})
    return Output(table, "place", np.zeros(len(rows), np.int32), np.array(times, np.int64))


@dataclass(frozen=True)
class LateSummary:
    """What one source's ledger says: `needed_ms` is the lateness that would have caught 99.9 % of what came late."""

    topic: str
    events: int
    largest_behind_ms: int
    median_behind_ms: int
    lateness_ms: int
    needed_ms: int
    missed: Mapping[str, int]  # by window: events that were missed there

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "missed": dict(self.missed)}


def ledger(connection: Connection, topic: str) -> list[dict[str, Any]]:
    """All records of the ledger's topic, in the order they were written."""
    consumer = connection.consumer()
    try:
        return [json.loads(records.values[row] or b"{}") for records in records_of(consumer, topic) for row in range(len(records))]
    finally:
        consumer.close()


def summarise(records: Sequence[Mapping[str, Any]], lateness: Mapping[str, int]) -> list[LateSummary]:
    """Sum up ledger records; `lateness` has each source topic's setting (ms), which adds to how far behind its events were."""
    found = []
    for topic in sorted({record["topic"] for record in records}):
        mine = [record for record in records if record["topic"] == topic]
        behind = np.array([record["behind_ms"] for record in mine], np.int64)
        missed: dict[str, int] = {}
        for record in mine:
            for window in record["missed"]:
                missed[window] = missed.get(window, 0) + 1
        patience = lateness.get(topic, 0)
        needed = patience + int(np.quantile(behind, 0.999, method="higher"))
        found.append(LateSummary(topic, len(mine), int(behind.max()), int(np.median(behind)), patience, needed, missed))
    return found
