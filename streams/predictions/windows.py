"""The raw events in the windows of one feature row, found again in the log by key and event time.

A record's own time says only where to begin: a producer stamps an event when it sends it, and the end of a transaction has the broker's
time. Each source is read from there until what follows came after the event.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streams.features.explain import _frame as frame_text
from streams.features.plan import Filter, Join, Keep, Limit, Node, Plan, Scan, Windowed, walk
from streams.features.plan import Project as Projection
from streams.pipeline import reader
from streams.predictions import log
from streams.project import Project
from streams.types import OFFSET, PARTITION, TIME, OffsetRange
from streams.worker.connection import Connection
from streams.worker.reorder import NEVER, place, watermark
from streams.worker.replay import Reader

SHOWN = 50  # events of one source and window


@dataclass(frozen=True)
class Part:
    """One source that feeds a window: its key columns, in the order of the window's keys; None for a key that is computed."""

    source: str
    keys: tuple[str | None, ...]


@dataclass
class _Asked:
    """Events of these keys and of event time in `span`, both ends within; `found` as they are read."""

    keys: dict[str, Any]
    span: tuple[int, int]
    found: list[pa.Table] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def take(self, table: pa.Table, mask: npt.NDArray[np.bool_]) -> None:
        times = table.column(TIME).to_numpy()
        chosen = pa.array(mask & (times >= self.span[0]) & (times <= self.span[1]))
        for name, value in self.keys.items():
            chosen = pc.and_(chosen, pc.equal(table.column(name), pa.scalar(value, table.column(name).type)).combine_chunks())
        self.found.append(table.filter(pc.fill_null(chosen, False)))

    def answer(self, source: str) -> dict[str, Any]:
        inside = pa.concat_tables(self.found) if self.found else None
        if inside is None:
            rows = []
        else:
            order = np.argsort(inside.column(TIME).to_numpy(), kind="stable")[::-1][:SHOWN]
            rows = inside.take(pa.array(order)).to_pylist()
        shown = [{"place": f"{source}[{one.pop(PARTITION)}]@{one.pop(OFFSET)}", "time": one.pop(TIME), **one} for one in rows]
        gone = {"gone": f"events of this window before {', '.join(self.gone)}, where the log begins"} if self.gone else {}
        return {"count": 0 if inside is None else inside.num_rows, **gone, "newest": shown}


def origin(node: Node, ref: str) -> tuple[str, str] | None:
    """The source and column that a plan's column comes from unchanged, None where it is computed."""
    if isinstance(node, Scan):
        return next(((node.table, field.name) for field in node.fields if field.ref == ref), None)
    if isinstance(node, Projection):
        source = next((scalar.column for name, scalar in node.outputs if name == ref), None)
        return origin(node.child, source) if source else None
    if isinstance(node, Join):
        return origin(node.right, ref.removeprefix(node.prefix)) if ref.startswith(node.prefix) else origin(node.left, ref)
    if isinstance(node, (Filter, Limit, Windowed)):
        return origin(node.child, ref)
    return None


def parts_of(child: Node, keep: Keep) -> Iterator[Part]:
    """The sources behind one store of rows, the window's own first."""
    columns = [scalar.column for scalar in keep.keys]
    for node, names in [(child, {}), *((union.node, dict(union.columns)) for union in keep.unions)]:
        places = [origin(node, names.get(column, column)) if column else None for column in columns]
        tables = {place[0] for place in places if place is not None}
        if len(tables) == 1:
            yield Part(tables.pop(), tuple(place[1] if place is not None else None for place in places))


def window_events(project: Project, connection: Connection, plan: Plan, event: dict[str, Any]) -> list[dict[str, Any]]:
    """For each window: frame, and for each source how many events are in it and the newest of them, with their places.

    A window whose key is computed is told without its events.
    """
    found = []
    asked: dict[str, list[tuple[dict[str, Any], _Asked]]] = {}
    for node in walk(plan.root):
        if not isinstance(node, Windowed):
            continue
        for keep in node.keeps:
            parts = list(parts_of(node.child, keep))
            values = _key_values(plan, parts, event)
            for number, window in enumerate(keep.spec.windows):
                frame = window.frame
                entry: dict[str, Any] = {
                    "window": keep.names[number] if number < len(keep.names) else str(number),
                    "key": values,
                    "frame": frame_text(frame),
                    "columns": len(window.aggregates),
                }
                if values is not None and None not in values and not frame.rows:
                    span = (event["time"] - frame.start if frame.start is not None else 0, event["time"] - frame.end)
                    entry["events"] = {}
                    for part in parts:
                        if None not in part.keys:
                            keys = {str(name): value for name, value in zip(part.keys, values, strict=True)}
                            asked.setdefault(part.source, []).append((entry["events"], _Asked(keys, span)))
                found.append(entry)
    for source, places in asked.items():
        _read(project, connection, source, [one for _, one in places], event)
        for events, one in places:
            events[source] = one.answer(source)
    return found


def _key_values(plan: Plan, parts: list[Part], event: dict[str, Any]) -> list[Any] | None:
    for part in parts:
        if part.source == plan.driving and None not in part.keys:
            return [event.get(name) for name in part.keys if name is not None]
    return None


def _read(project: Project, connection: Connection, name: str, asked: list[_Asked], event: dict[str, Any]) -> None:
    """Give to each what it asked for of the events of one source that came before this one, or are it."""
    source = project.input(name)
    first = max(min(one.span[0] for one in asked) - source.max_ahead, 0)
    consumer = connection.consumer()
    try:
        places = [(source.topic, partition) for partition in consumer.partitions(source.topic)]
        starts, ends = consumer.offsets_at(dict.fromkeys(places, first)), consumer.end_offsets(places)
        begins = consumer.beginning_offsets(places)
    finally:
        consumer.close()
    for part in places:
        met: int | None = None
        for table, before in _upto(connection, reader(project, 0, source), OffsetRange(*part, starts[part], ends[part]), event):
            met = int(table.column(TIME)[0].as_py()) if met is None and table.num_rows else met
            for one in asked:
                one.take(table, before)
        if starts[part] == begins[part] > 0:
            for one in asked:
                one.gone += [f"{name}[{part[1]}]@{begins[part]}"] if met is None or met > one.span[0] else []


def _upto(
    connection: Connection, read_as: Reader, whole: OffsetRange, event: dict[str, Any]
) -> Iterator[tuple[pa.Table, npt.NDArray[np.bool_]]]:
    """The rows of one partition, and which came before the event or are it; to where all that follows came after."""
    source, time = read_as.input, event["time"]
    driving, _, rest = event["place"].rpartition("[")
    partition, own = (int(number) for number in rest.split("]@"))
    drives, newest = source.name == driving, NEVER
    with closing(log.chunks(connection, [whole])) as chunks:
        for records in chunks:
            read = read_as.decode(records)
            keyed = place(read.times, read.is_row, newest, source.lateness)
            newest = keyed.newest
            before = keyed.key < time
            if not drives or whole.partition < partition:
                before |= keyed.key == time
            if drives and whole.partition == partition:
                before |= read.offsets <= own
            yield read.table, before
            if watermark(newest, source.lateness) > time and (not drives or whole.partition != partition or read.next_offset > own):
                return
