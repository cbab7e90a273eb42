"""Records become typed rows; what cannot be read is refused, with the reason.

What is refused depends on the record alone; only a time in the future is measured by the wall clock, and that refusal is recorded with
the commit, so that a replay refuses the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.kafka.columns import Bytes, Records
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME, Int64, Schema

Bool = npt.NDArray[np.bool_]
# values and their schema -> the rows that can be read, their indexes, and (row, reason) of the others
Format = Callable[[Bytes, Schema], tuple[pa.Table, Int64, Sequence[tuple[int, str]]]]

WATERMARK = "driftline-watermark"  # header of a record without value: event time has come to this many milliseconds
VALUE, KEY, TIMESTAMP = "_value", "_key", "_timestamp"  # columns a schema may ask for: the record's own text, key and time
# a feature row's fields `_partition` and `_offset` (the driving event's place), beside the row's own place
PLACE = {"_event_partition": PARTITION, "_event_offset": OFFSET}
LARGEST = 4 << 20  # bytes of one event


@dataclass(frozen=True)
class Refused:
    """One record that cannot be read, as it stands in the log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    reason: str
    by_clock: bool = False  # refused for the wall clock's sake: a replay must be told


@dataclass(frozen=True)
class Decoded:
    """`table` has the rows in log order with the meta columns; `times` and `is_row` also cover watermark records."""

    table: pa.Table
    offsets: Int64
    times: Int64
    is_row: Bool
    refused: tuple[Refused, ...]
    next_offset: int


def decode(
    records: Records, source: Input, read: Format, strict: bool = True, now: int | None = None, ahead: Collection[int] = ()
) -> Decoded:
    """Read the records of one partition. See `decode_parts`; `ahead` are the offsets that a replay is told were refused by the clock."""
    (found,) = decode_parts([records], source, read, strict, now, ahead)
    return found


def decode_parts(
    parts: Sequence[Records], source: Input, read: Format, strict: bool = True, now: int | None = None, ahead: Collection[int] = ()
) -> list[Decoded]:
    """Read the records of several partitions of one topic by the schema of `source`, all in one go: of a few each, most of the time is
    what a call costs. What they need of the buffers is copied together.

    With `strict` a record without value and one larger than LARGEST are refused, as is an event time or a watermark more than `max_ahead` past
    `now` (ms); without it (topics of the project's own) a record without value is passed over. A replay of one partition gives no
    `now`, but the offsets that were refused for that reason as `ahead`.
    """
    records = Records.concat(parts)
    reasons: dict[int, str] = {}
    length = records.values.length
    marks = _watermarks(records, length, reasons)
    far: set[int] = set()  # rows and watermarks in the future
    if strict and now is not None:
        far = {row for row, mark in marks.items() if mark > now + source.max_ahead}
        reasons |= {row: f"the header {WATERMARK} = {_in_future(marks.pop(row), now, source)}" for row in far}
    usable = length > 0
    if strict:
        for row in np.flatnonzero(length <= 0):
            if int(row) not in marks and int(row) not in reasons:
                reasons[int(row)] = "an empty message: an event is one JSON object or Avro record"
        for row in np.flatnonzero(length > LARGEST):
            reasons[int(row)] = f"{int(length[row]):,} bytes; an event has at most {LARGEST:,}"
        usable &= length <= LARGEST
    candidates = np.flatnonzero(usable)
    table, good = _table(records, candidates, source.schema, read, reasons)
    times, known = _times(records, good, table, source)
    for row in good[~known]:
        reasons[int(row)] = f"the event time {source.time} is missing"
    if strict and now is not None:
        for at in np.flatnonzero(known & (times > now + source.max_ahead)):
            far.add(int(good[at]))
            reasons[int(good[at])] = f"the event time {source.time} = {_in_future(int(times[at]), now, source)}"
            known[at] = False
    if ahead:
        known &= ~np.isin(records.offsets[good], np.fromiter(ahead, np.int64, len(ahead)))
        marks = {row: mark for row, mark in marks.items() if int(records.offsets[row]) not in ahead}
    if not known.all():
        table, good, times = table.filter(pa.array(known)), good[known], times[known]
    return list(_split(parts, table, good, records.offsets[good], times, marks, reasons, far))


def _watermarks(records: Records, length: Int64, reasons: dict[int, str]) -> dict[int, int]:
    marks = {}
    for row in records.headers.rows:
        if length[row] < 0:
            for name, value in records.headers[int(row)]:
                if name == WATERMARK:
                    try:
                        marks[int(row)] = int(np.int64(int(value or b"")))
                    except (ValueError, OverflowError):
                        reasons[int(row)] = f"the header {WATERMARK} = {value!r} is no number of milliseconds"
    return marks


def _in_future(at: int, now: int, source: Input) -> str:
    return f"{at} is {at - now:,} ms in the future; at most {source.max_ahead:,} are let through (max_ahead)"


def _table(records: Records, candidates: Int64, schema: Schema, read: Format, reasons: dict[int, str]) -> tuple[pa.Table, Int64]:
    """The schema's columns of the rows that can be read, and their indexes in the records."""
    own = {name: PLACE.get(name, name) for name in schema if name not in (VALUE, KEY, TIMESTAMP)}
    good = candidates
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    if own:
        values = records.values if len(candidates) == len(records) else records.values.take(candidates)
        table, kept, errors = read(values, {field: schema[name] for name, field in own.items()})
        for row, reason in errors:
            reasons[int(candidates[row])] = reason
        good = candidates[kept]
        columns = {name: table.column(field) for name, field in own.items()}
    for name, kind in ((VALUE, pa.string()), (KEY, pa.string()), (TIMESTAMP, pa.int64())):
        if name in schema:
            if name == TIMESTAMP:
                columns[name] = pa.array(records.timestamps[good]).cast(schema[name].arrow)
            else:
                columns[name] = (records.values if name == VALUE else records.keys).take(good).to_arrow(kind)
    return pa.table(columns), good


def _times(records: Records, good: Int64, table: pa.Table, source: Input) -> tuple[Int64, Bool]:
    if source.time == TIMESTAMP:
        return records.timestamps[good], np.ones(len(good), bool)
    column = table.column(source.time)
    if pa.types.is_timestamp(column.type) and column.type.unit != "ms":
        column = column.cast(pa.timestamp("ms", column.type.tz))
    column = column.cast(pa.int64())
    if not column.null_count:
        return column.to_numpy(), np.ones(len(good), bool)
    # not pc.fill_null: it imports pandas, a second of every start
    return pc.call_function("coalesce", [column, pa.scalar(0)]).to_numpy(), pc.is_valid(column).to_numpy()


def _split(
    parts: Sequence[Records],
    table: pa.Table,
    good: Int64,
    offsets: Int64,
    times: Int64,
    marks: dict[int, int],
    reasons: dict[int, str],
    far: set[int],
) -> Iterator[Decoded]:
    """What is of each partition, with its place. Indexes (`good` has the rows') count through the records of all parts."""
    ends = np.cumsum([len(part) for part in parts])
    cuts = np.searchsorted(good, ends)
    partitions = np.repeat(np.array([part.partition for part in parts], np.int32), np.diff(cuts, prepend=0))
    place = {PARTITION: pa.array(partitions), OFFSET: pa.array(offsets), TIME: pa.array(times)}
    table = pa.Table.from_arrays([*table.columns, *place.values()], [*table.column_names, *place])
    begin = at = 0
    for part, end, upto in zip(parts, ends.tolist(), cuts.tolist(), strict=True):
        mine, stamps = slice(at, upto), times[at:upto]
        is_row = np.ones(upto - at, bool)
        if here := {row: mark for row, mark in marks.items() if begin <= row < end}:
            rows = np.concatenate([good[mine], np.fromiter(here, np.int64, len(here))])
            sorting = np.argsort(rows, kind="stable")
            stamps = np.concatenate([stamps, np.fromiter(here.values(), np.int64, len(here))])[sorting]
            is_row = np.concatenate([is_row, np.zeros(len(here), bool)])[sorting]
        refused = tuple(_refused(part, row - begin, reasons[row], row in far) for row in sorted(reasons) if begin <= row < end)
        yield Decoded(table.slice(at, upto - at), offsets[mine], stamps, is_row, refused, part.next_offset)
        begin, at = end, upto


def _refused(records: Records, row: int, reason: str, by_clock: bool) -> Refused:
    return Refused(
        records.topic,
        records.partition,
        int(records.offsets[row]),
        int(records.timestamps[row]),
        records.keys[row],
        records.values[row],
        tuple(records.headers[row]),
        reason,
        by_clock,
    )


def nothing(schema: Schema) -> pa.Table:
    """No rows of a source, with its meta columns."""
    fields = [pa.field(name, kind.arrow) for name, kind in schema.items()]
    meta = [pa.field(PARTITION, pa.int32()), pa.field(OFFSET, pa.int64()), pa.field(TIME, pa.int64())]
    return pa.schema([*fields, *meta]).empty_table()
