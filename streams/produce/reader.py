"""JSONL, CSV and Parquet files (and standard input) as chunks of rows for the log."""

from __future__ import annotations

import gzip
import io
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from connectors.formats import json
from connectors.formats.times import NONE, times_of
from connectors.kafka.columns import Bytes
from streams.errors import DriftlineError
from streams.produce.chunk import Bad, Chunk
from streams.sections import Source
from streams.settings import did_you_mean, duration_text
from streams.types import Int64, Type

BLOCK = 4 << 20  # bytes of text read at a time
ROWS = 50_000
LARGEST = (8 << 20) - (64 << 10)  # bytes of one record that a topic takes
NOTHING = ("", "NULL", "null", "NA", "NaN", "nan")  # cells of a CSV without a value; a text in quotes is what it says
FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class Start:
    """Where to begin: the position in the file (bytes or rows, see Chunk), the newest event time before it."""

    at: int = 0
    newest: int | None = None


def read_file(file: str, source: Source, start: Start = Start()) -> Iterator[Chunk]:
    """The rows of a file from `start` on. `-` is standard input, JSONL.

    Raises DriftlineError: no such file, a format that is not known, columns that do not fit the source.
    """
    if file == "-":
        return _jsonl(sys.stdin.buffer, "stdin", source, start)
    path = Path(file)
    name = path.name.removesuffix(".gz")
    if not path.is_file():
        raise DriftlineError(f"{file}: there is no such file.")
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return _opened(path, lambda stream: _jsonl(stream, file, source, start))
    if name.endswith(".csv"):
        return _opened(path, lambda stream: _csv(stream, file, source, start))
    if name.endswith(".parquet"):
        return _parquet(path, source, start)
    raise DriftlineError(
        f"{file}: {path.suffix or 'a file without an ending'} is not known; there is {', '.join(FORMATS)} (text also as .gz)."
    )


def size_of(file: str) -> int | None:
    """Bytes of the file where its position is in bytes, rows where it is in rows; None where that is not known."""
    path = Path(file)
    if not path.is_file():
        return None
    if file.endswith(".parquet"):
        try:
            return int(pyarrow.parquet.read_metadata(path).num_rows)
        except (pa.ArrowInvalid, OSError):
            return None
    return path.stat().st_size if path.name.endswith((".jsonl", ".ndjson", ".json")) else None


def _opened(path: Path, read: Callable[[Any], Iterator[Chunk]]) -> Iterator[Chunk]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
        try:
            yield from read(stream)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DriftlineError(f"{path} cannot be unpacked to its end: {error}. Pack or copy it anew.") from None


def _jsonl(stream: IO[bytes], name: str, source: Source, start: Start) -> Iterator[Chunk]:
    line = _count_lines(stream, start.at)
    newest, at, rest = start.newest, start.at, b""
    read = getattr(stream, "read1", stream.read)  # what is there, from a pipe
    while True:
        block = read(BLOCK)
        if block and b"\n" not in block:
            rest += block
            continue
        if not block and not rest:
            return
        whole = rest + block
        cut = len(whole) if not block else whole.rfind(b"\n") + 1
        text, rest = whole[:cut], whole[cut:]
        values, after = _lines(text)
        if len(values):
            chunk = _typed(values, after + at, name, line, source, newest)
            yield chunk
            newest = int(chunk.newest[-1]) if len(chunk) else newest
            line += len(values)
        at += cut
        if not block:
            return


def _count_lines(stream: IO[bytes], until: int) -> int:
    """Lines in the first `until` bytes; the stream stands after them."""
    lines = 0
    while until > 0:
        block = stream.read(min(BLOCK, until))
        if not block:
            break
        lines += block.count(b"\n")
        until -= len(block)
    return lines


def _lines(text: bytes) -> tuple[Bytes, Int64]:
    """Each line without its end; an empty line is a row too, so that places are line numbers."""
    buffer = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(buffer == 10)
    if not len(ends) or ends[-1] != len(buffer) - 1:
        ends = np.append(ends, len(buffer))
    starts = np.concatenate([[0], ends[:-1] + 1])
    length = ends - starts
    returned = (length > 0) & (buffer[np.maximum(ends - 1, 0)] == 13)
    return Bytes(buffer, starts.astype(np.int64), (length - returned).astype(np.int64)), np.minimum(ends + 1, len(buffer)).astype(np.int64)


def _typed(values: Bytes, after: Int64, name: str, rows_before: int, source: Source, newest: int | None) -> Chunk:
    blank = values.length == 0
    read = json.decode(values, source.fields)
    reasons = {row: reason for row, reason in read.errors if not blank[row]}
    return _chunk(values, read.table, read.good, reasons, after, name, rows_before + 1, source, newest, drop=blank)


def _chunk(
    values: Bytes,
    table: pa.Table,
    good: Int64,
    reasons: dict[int, str],
    after: Int64,
    name: str,
    first_line: int,
    source: Source,
    newest: int | None,
    drop: Any = None,
) -> Chunk:
    rows = len(values)
    now = time.time_ns() // 1_000_000
    column = table.column(source.time)
    known = pc.is_valid(column).to_numpy()
    at = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    far = known & (at > now + source.max_ahead_ms)
    for row in good[~known]:
        reasons[int(row)] = f"the event time {source.time} is missing"
    for row, ms in zip(good[far], at[far], strict=True):
        ahead = duration_text((int(ms) - now) // 60_000 * 60_000)
        reasons[int(row)] = (
            f"the event time {source.time} = {int(ms)} is {ahead} ahead; at most {duration_text(source.max_ahead_ms)} are let through (max_ahead)"
        )
    keys = _keys(table, good, rows, source)
    size = values.length + np.maximum(keys.length, 0)
    for row in np.flatnonzero(size > LARGEST):
        reasons[int(row)] = f"{int(size[row]):,} bytes with its key; a record has at most {LARGEST:,}, so it is not sent"
    times = np.full(rows, -1, np.int64)
    usable = known & ~far
    times[good[usable]] = at[usable]
    floor = newest if newest is not None else -1
    running = np.maximum(np.maximum.accumulate(times), floor)
    running = np.where(running < 0, now if not usable.any() and newest is None else running, running)
    if usable.any() and newest is None:
        running = np.where(running < 0, int(at[usable][0]), running)  # bad rows before the first good one go with it
    times = np.where(times < 0, running, times)
    keep = size <= LARGEST
    if drop is not None:
        keep &= ~drop
    place = np.cumsum(keep) - 1
    bad = [Bad(f"{name}:{first_line + row}", reasons[row], int(place[row]) if keep[row] else None) for row in sorted(reasons)]
    return replace(
        Chunk(values, keys, times, running, after).take(keep) if not keep.all() else Chunk(values, keys, times, running, after), bad=bad
    )


def _keys(table: pa.Table, good: Int64, rows: int, source: Source) -> Bytes:
    if source.key is None:
        return Bytes.nulls(rows)
    column = table.column(source.key)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    text = Bytes.from_arrow(column.cast(pa.string()))
    start, length = np.zeros(rows, np.int64), np.full(rows, -1, np.int64)
    start[good], length[good] = text.start, text.length
    return Bytes(text.buffer, start, length)


def _csv(stream: Any, name: str, source: Source, start: Start) -> Iterator[Chunk]:
    try:
        header = stream.readline()
        names = pyarrow.csv.read_csv(io.BytesIO(header + b"\n")).column_names
        _fit(names, source, name)
        while (ahead := stream.peek(1)[:1]) in (b"\r", b"\n"):
            stream.read(1)
        if not ahead:  # a header alone, which Arrow calls no CSV
            return
        reader = pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=BLOCK),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={column: pa.string() for column in names}, include_columns=[c for c in names if c in source.fields],
                strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=NOTHING,
            ),
        )  # fmt: skip
        row, newest = 0, start.newest
        for batch in reader:
            table = pa.Table.from_batches([batch])
            skip = min(max(start.at - row, 0), table.num_rows)
            row += skip
            table = table.slice(skip)
            if table.num_rows:
                chunk = _from_text(table, name, row, source, newest)
                yield chunk
                newest = int(chunk.newest[-1]) if len(chunk) else newest
                row += table.num_rows
    except pa.ArrowInvalid as error:
        raise DriftlineError(f"{name}: this CSV cannot be read: {error}") from None


def _from_text(table: pa.Table, name: str, row: int, source: Source, newest: int | None) -> Chunk:
    reasons: dict[int, str] = {}
    columns = {}
    for field, kind in source.fields.items():
        text = table.column(field).combine_chunks() if field in table.column_names else pa.nulls(table.num_rows, pa.string())
        columns[field] = _parse(text, field, kind, reasons)
    typed = pa.table(columns)
    values = json.encode(typed)
    if reasons:  # what cannot be read goes as its text, for the dead letters
        values = Bytes.concat([values, json.encode(table.take(pa.array(sorted(reasons))))])
        order = np.arange(table.num_rows)
        order[sorted(reasons)] = table.num_rows + np.arange(len(reasons))
        values = values.take(order)
    good = np.array([i for i in range(table.num_rows) if i not in reasons], np.int64) if reasons else np.arange(table.num_rows)
    after = np.arange(row + 1, row + table.num_rows + 1)
    return _chunk(values, typed.take(pa.array(good)) if reasons else typed, good, reasons, after, name, row + 2, source, newest)


def _parse(text: pa.Array, field: str, kind: Type, reasons: dict[int, str]) -> pa.Array:
    if kind is not Type.STRING:  # there is a program that puts every cell in quotes
        text = pc.if_else(pc.is_in(text, value_set=pa.array(NOTHING)), pa.scalar(None, pa.string()), text)
    try:
        return _cast(text, kind)
    except pa.ArrowInvalid:
        parsed = []
        for row in range(len(text)):
            try:
                parsed.append(_cast(text.slice(row, 1), kind))
            except pa.ArrowInvalid:
                reasons.setdefault(row, f"{field}: {kind} was wished, {text[row].as_py()!r} was met")
                parsed.append(pa.nulls(1, kind.arrow))
        return pa.concat_arrays(parsed)


def _cast(text: pa.Array, kind: Type) -> pa.Array:
    """Texts as a type. Whole numbers may be written 5 or 5.0, as in JSON."""
    if kind in (Type.SMALLINT, Type.INT, Type.BIGINT, Type.TIMESTAMP):
        text = pc.replace_substring_regex(text, r"^(-?\d+)\.0+$", r"\1")
    if kind is Type.TIMESTAMP:
        return _times(text)
    if kind is Type.BOOL:
        return pc.utf8_lower(text).cast(pa.bool_())
    return text.cast(kind.arrow)


def _times(text: pa.Array) -> pa.Array:
    """Milliseconds since the epoch, or ISO 8601: without a zone it is UTC, digits after the milliseconds are dropped."""
    found = Bytes.from_arrow(text)
    at = np.zeros(len(text), np.int64)
    times_of(found.buffer, found.start, found.length, at)
    numbers = (at == NONE) & ~found.null
    if numbers.any():
        at[numbers] = text.filter(pa.array(numbers)).cast(pa.int64()).to_numpy()
    return pa.array(at, mask=found.null).cast(Type.TIMESTAMP.arrow)


def _parquet(path: Path, source: Source, start: Start) -> Iterator[Chunk]:
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DriftlineError(f"{path}: this is no Parquet file: {error}") from None
    with file:
        _fit(file.schema_arrow.names, source, str(path))
        wanted = [name for name in file.schema_arrow.names if name in source.fields]
        row, newest = 0, start.newest
        for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
            skip = min(max(start.at - row, 0), batch.num_rows)
            row += skip
            batch = batch.slice(skip)
            if not batch.num_rows:
                continue
            columns = {name: _fitted(batch, name, kind, path) for name, kind in source.fields.items()}
            table = pa.table(columns)
            after = np.arange(row + 1, row + batch.num_rows + 1)
            chunk = _chunk(json.encode(table), table, np.arange(batch.num_rows), {}, after, str(path), row + 1, source, newest)
            yield chunk
            newest = int(chunk.newest[-1]) if len(chunk) else newest
            row += batch.num_rows


def _fitted(batch: pa.RecordBatch, name: str, kind: Type, path: Path) -> pa.Array:
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, kind.arrow)
    column = batch.column(name)
    try:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms", column.type.tz), safe=False)
            column = column.cast(pa.timestamp("ms"))
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_large_string(column.type):
            column = column.cast(pa.string())
        return _cast(column, kind) if pa.types.is_string(column.type) else column.cast(kind.arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DriftlineError(f"{path}: {name} is {batch.schema.field(name).type}, {kind} was wished: {error}") from None


def _fit(columns: Sequence[str], source: Source, name: str) -> None:
    if source.time not in columns:
        raise DriftlineError(
            f"{name}: there is no column {source.time!r}, the event time of {source.name}.{did_you_mean(source.time, columns)}"
        )
    twice = [column for column in source.fields if columns.count(column) > 1]
    if twice:
        raise DriftlineError(f"{name}: the column {twice[0]!r} stands twice; which one is meant?")
    unknown = [column for column in columns if column not in source.fields]
    if unknown:
        print(f"{os.path.basename(name)}: left out, as {source.name} has no such field: {', '.join(unknown)}", file=sys.stderr)
