"""The raw events in the windows of one feature row, found again in the log by key and event time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.features.explain import _frame as frame_text
from streams.features.plan import Filter, Join, Keep, Limit, Node, Plan, Scan, Windowed, walk
from streams.features.plan import Project as Projection
from streams.pipeline import reader
from streams.predictions import log
from streams.project import Project
from streams.types import TIME, OffsetRange
from streams.worker.connection import Connection

SHOWN = 50  # events of one source and window


@dataclass(frozen=True)
class Part:
    """One source that feeds a window: its key columns, in the order of the window's keys; None for a key that is computed."""

    source: str
    keys: tuple[str | None, ...]


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


def window_events(project: Project, connection: Connection, plan: Plan, row: pa.Table, event: dict[str, Any]) -> list[dict[str, Any]]:
    """For each window: frame, and for each source how many events are in it and the newest of them, with their places.

    A window whose key is computed is told without its events.
    """
    found = []
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
                    entry["events"] = {
                        part.source: _events(project, connection, part, values, span, event) for part in parts if None not in part.keys
                    }
                found.append(entry)
    return found


def _key_values(plan: Plan, parts: list[Part], event: dict[str, Any]) -> list[Any] | None:
    for part in parts:
        if part.source == plan.driving and None not in part.keys:
            return [event.get(name) for name in part.keys if name is not None]
    return None


def _events(
    project: Project, connection: Connection, part: Part, values: list[Any], span: tuple[int, int], event: dict[str, Any]
) -> dict[str, Any]:
    source = project.input(part.source)
    consumer = connection.consumer()
    try:
        places = [(source.topic, partition) for partition in consumer.partitions(source.topic)]
        starts = consumer.offsets_at(dict.fromkeys(places, span[0]))
        ends = consumer.offsets_at(dict.fromkeys(places, span[1] + 1))
    finally:
        consumer.close()
    table = log.rows(connection, [OffsetRange(*place, starts[place], ends[place]) for place in places], reader(project, 0, source))
    mask = pc.and_(pc.greater_equal(table.column(TIME), span[0]), pc.less_equal(table.column(TIME), span[1]))
    for name, value in zip(part.keys, values, strict=True):
        mask = pc.and_(mask, pc.equal(table.column(str(name)), pa.scalar(value, table.column(str(name)).type)))
    if event["place"].startswith(f"{part.source}["):
        own = int(event["place"].rsplit("@", 1)[1])
        mask = pc.and_(mask, pc.or_(pc.less(table.column(TIME), event["time"]), pc.less_equal(table.column("_offset"), own)))
    inside = table.filter(pc.fill_null(mask, False))
    order = np.argsort(inside.column(TIME).to_numpy(), kind="stable")[::-1][:SHOWN]
    rows = inside.take(pa.array(order)).to_pylist()
    shown = [{"place": f"{part.source}[{one.pop('_partition')}]@{one.pop('_offset')}", "time": one.pop(TIME), **one} for one in rows]
    return {"count": inside.num_rows, "newest": shown}
