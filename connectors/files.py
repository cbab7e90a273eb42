"""Files as tables: JSONL, CSV and Parquet read piece by piece by a schema, and Parquet written, the same rows always as the same bytes."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from connectors.formats.json import Decoder
from connectors.formats.times import NONE, times_of
from connectors.kafka.columns import Bytes
from streams.errors import EventError
from streams.types import Schema, Type

BLOCK = 8 << 20  # bytes of text read at a time
ROWS = 100_000  # rows of a table that is read
GROUP = 131_072  # rows of a row group that is written, however the tables were cut
Refused = Callable[[int, str], None]  # line (Parquet: row) and reason


def read_tables(path: str | Path, schema: Schema, *, required: Collection[str] = (), refused: Refused | None = None) -> Iterator[pa.Table]:
    """The rows of a .jsonl, .ndjson, .csv (each also .gz) or .parquet file, in tables of the schema's columns, in bounded memory.

    A column that the file does not have is NULL, or an error where it is `required`. ISO 8601 times are read, without a zone as UTC.
    A row that cannot be read raises EventError with its line and column, or is left out and told to `refused`.
    """
    path = Path(path)
    if not path.is_file():
        raise EventError(f"{path}: there is no such file")
    name = path.name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        pieces = _jsonl(path, schema, required)
    elif name.endswith(".csv"):
        pieces = _csv(path, schema, required)
    elif name.endswith(".parquet"):
        pieces = _parquet(path, schema, required)
    else:
        raise EventError(f"{path}: {path.suffix or 'a file without an ending'} is not read; there is .jsonl, .ndjson, .csv and .parquet")
    for table, errors in pieces:
        for line, reason in errors:
            if refused is None:
                raise EventError(f"{path}:{line}: {reason}")
            refused(line, reason)
        if table.num_rows:
            yield table


def write_parquet(path: str | Path, tables: Iterable[pa.Table], schema: pa.Schema | None = None) -> int:
    """Write the rows of the tables to one file; gives their number. The file is there whole or not at all.

    The bytes depend on the rows alone, not on where the tables were cut. `schema` is needed where there may be no table.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    rows, waiting, held = 0, [], 0
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            schema = schema or table.schema
            writer = writer or _writer(part, schema)
            waiting.append(table.select(schema.names).cast(schema).replace_schema_metadata())
            held += table.num_rows
            rows += table.num_rows
            while held >= GROUP:
                whole = pa.concat_tables(waiting)
                writer.write_table(whole.slice(0, GROUP).combine_chunks(), row_group_size=GROUP)
                waiting, held = [whole.slice(GROUP)], held - GROUP
        if schema is None:
            raise ValueError(f"{path}: no table, and no schema to write an empty file with")
        writer = writer or _writer(part, schema)
        if held or not rows:
            writer.write_table(pa.concat_tables(waiting or [schema.empty_table()]).combine_chunks(), row_group_size=GROUP)
        writer.close()
        os.replace(part, path)
    finally:
        if writer is not None:
            writer.close()
        part.unlink(missing_ok=True)
    return rows


def _writer(part: Path, schema: pa.Schema) -> pq.ParquetWriter:
    part.parent.mkdir(parents=True, exist_ok=True)
    return pq.ParquetWriter(part, schema.remove_metadata(), compression="zstd", use_dictionary=True, write_statistics=True)


Piece = tuple[pa.Table, list[tuple[int, str]]]


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def _jsonl(path: Path, schema: Schema, required: Collection[str]) -> Iterator[Piece]:
    decoder = Decoder(schema, required, iso_times=True)
    line, rest = 0, b""
    with _open(path) as stream:
        while block := stream.read(BLOCK):
            whole = rest + block
            cut = whole.rfind(b"\n") + 1
            rest = whole[cut:]
            if cut:
                found, line = _lines(decoder, whole[:cut], line)
                yield found
    if rest:
        yield _lines(decoder, rest, line)[0]


def _lines(decoder: Decoder, text: bytes, before: int) -> tuple[Piece, int]:
    """The records of whole lines; empty ones are passed over."""
    buffer = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(buffer == 10)
    if text[-1:] != b"\n":
        ends = np.append(ends, len(buffer))
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    length = (ends - starts).astype(np.int64)
    length -= (length > 0) & (buffer[np.maximum(ends - 1, 0)] == 13)
    filled = np.flatnonzero(length > 0)
    read = decoder.decode(Bytes(buffer, starts[filled], length[filled]))
    return (read.table, [(before + int(filled[row]) + 1, reason) for row, reason in read.errors]), before + len(ends)


def _csv(path: Path, schema: Schema, required: Collection[str]) -> Iterator[Piece]:
    try:
        with _open(path) as stream:
            names = _header(path)
            _has(path, names, required)
            reader = pyarrow.csv.open_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(block_size=BLOCK, skip_rows=1, column_names=names),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                convert_options=pyarrow.csv.ConvertOptions(
                    # as text: typed here, so that an error can name its line
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    null_values=["", "NA", "NULL", "null"],
                ),
            )
            line = 2
            for batch in reader:
                yield _from_text(batch, schema, required, line)
                line += batch.num_rows + sum(pc.sum(pc.count_substring(column, "\n")).as_py() or 0 for column in batch.columns)
    except pa.ArrowInvalid as error:
        raise EventError(f"{path}: this is no CSV: {error}") from error


def _header(path: Path) -> list[str]:
    with _open(path) as stream:
        names = next(csv.reader([stream.readline().decode("utf-8-sig")]), [])
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EventError(f"{path}:1: column {twice[0]} stands twice")
    if not names:
        raise EventError(f"{path}:1: no header; wished one line of column names")
    return names


def _from_text(batch: pa.RecordBatch, schema: Schema, required: Collection[str], first: int) -> Piece:
    wrong: dict[int, str] = {}
    columns = {}
    for name, kind in schema.items():
        text = batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
        columns[name] = _typed(text.cast(pa.string()), name, kind, wrong)
        if name in required:
            for row in np.flatnonzero(text.is_null().to_numpy(zero_copy_only=False)).tolist():
                wrong.setdefault(row, f"column {name}: {kind} wanted, it is empty")
    table = pa.table(columns)
    if not wrong:
        return table, []
    breaks = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        breaks += pc.fill_null(pc.count_substring(column, "\n"), 0).to_numpy()
    lines = first + np.arange(batch.num_rows) + np.cumsum(breaks) - breaks
    good = np.ones(batch.num_rows, bool)
    good[list(wrong)] = False
    return table.filter(pa.array(good)), [(int(lines[row]), wrong[row]) for row in sorted(wrong)]


def _typed(text: pa.Array, name: str, kind: Type, wrong: dict[int, str]) -> pa.Array:
    """Texts as a type; rows that are none are told in `wrong` and NULL."""
    if kind is Type.STRING:
        return text
    if kind is Type.TIMESTAMP:
        return _times(text, name, wrong)
    if kind is Type.BOOL:
        text = pc.utf8_lower(text)
    try:
        return text.cast(kind.arrow)
    except pa.ArrowInvalid:
        cells = []
        for row, cell in enumerate(text):
            try:
                cells.append(cell.cast(kind.arrow))
            except pa.ArrowInvalid:
                wrong.setdefault(row, f'column {name}: {kind} wanted, met text "{cell.as_py()[:60]}"')
                cells.append(pa.scalar(None, kind.arrow))
        return pa.array([cell.as_py() for cell in cells], kind.arrow)


def _times(text: pa.Array, name: str, wrong: dict[int, str]) -> pa.Array:
    """ISO times, or milliseconds since the epoch."""
    found = Bytes.from_arrow(text)
    out = np.zeros(len(text), np.int64)
    times_of(found.buffer, found.start, found.length, out)
    for row in np.flatnonzero((out == NONE) & ~found.null).tolist():
        cell = (found[row] or b"").decode()
        try:
            out[row] = int(cell)
        except (ValueError, OverflowError):
            out[row] = 0
            wrong.setdefault(row, f'column {name}: TIMESTAMP as ISO 8601 or milliseconds wanted, met text "{cell[:60]}"')
    return pa.array(out, mask=found.null).cast(pa.timestamp("ms"))


def _parquet(path: Path, schema: Schema, required: Collection[str]) -> Iterator[Piece]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise EventError(f"{path}: this is no Parquet file: {error}") from error
    with file:
        names = file.schema_arrow.names
        _has(path, names, required)
        row = 1
        for batch in file.iter_batches(batch_size=ROWS, columns=[name for name in schema if name in names]):
            wrong: dict[int, str] = {}
            columns = {}
            for name, kind in schema.items():
                column = batch.column(name) if name in names else pa.nulls(batch.num_rows, kind.arrow)
                columns[name] = _fitted(path, column, name, kind, wrong)
                if name in required:
                    for place in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist():
                        wrong.setdefault(place, f"column {name}: {kind} wanted, met NULL")
            table = pa.table(columns)
            if wrong:
                keep = np.ones(batch.num_rows, bool)
                keep[list(wrong)] = False
                table = table.filter(pa.array(keep))
            yield table, [(row + place, wrong[place]) for place in sorted(wrong)]
            row += batch.num_rows


def _fitted(path: Path, column: pa.Array, name: str, kind: Type, wrong: dict[int, str]) -> pa.Array:
    met = column.type
    if pa.types.is_dictionary(met):
        column, met = column.dictionary_decode(), met.value_type
    if pa.types.is_large_string(met):
        column = column.cast(pa.string())
    if kind is not Type.STRING and (pa.types.is_string(met) or pa.types.is_large_string(met)):
        return _typed(column, name, kind, wrong)
    try:
        if kind is Type.TIMESTAMP and pa.types.is_timestamp(met):
            return pc.floor_temporal(column, unit="millisecond").cast(pa.timestamp("ms", met.tz)).cast(pa.timestamp("ms"))
        if kind is Type.TIMESTAMP and pa.types.is_integer(met):
            return column.cast(pa.int64()).cast(kind.arrow)
        if kind is Type.STRING and not pa.types.is_string(column.type):
            raise pa.ArrowInvalid("a number is no text")
        return column.cast(kind.arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise EventError(f"{path}: column {name}: {kind} wanted, the file has {met}: {error}") from error


def _has(path: Path, names: Collection[str], required: Collection[str]) -> None:
    if missing := [name for name in required if name not in names]:
        raise EventError(f"{path}: column {missing[0]} is wanted, the file has {', '.join(names)}")
