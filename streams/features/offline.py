"""The offline engine: the same program over files or the log, to a table. What it gives is what was, or would have been, served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.kafka.columns import Headers, Records
from streams.errors import DriftlineError
from streams.events.decode import nothing
from streams.features.plan import Plan
from streams.features.program import Program
from streams.features.step import ROWS, feature_rows, filled, inputs_of, plan_of
from streams.pipeline import readers
from streams.project import Project
from streams.step import Input
from streams.types import Batch
from streams.worker.connection import Connection, Part
from streams.worker.feeds import log_feeds, merged
from streams.worker.merge import Read, Slot, Taken
from streams.worker.replay import Reader

Progress = Callable[[int], None]  # events read so far


@dataclass
class Refusals:
    """Rows of files that cannot be read: how many, and the place and reason of the first. Those of the log are in its dead letters."""

    count: int = 0
    first: str | None = None

    def add(self, place: str, reason: str) -> None:
        self.count += 1
        self.first = self.first or f"{place}: {reason}"


@dataclass(frozen=True)
class Backfilled:
    """What a backfill wrote."""

    rows: int
    events: int
    plan: str
    path: Path
    refusals: Refusals


class Engine:
    """A plan and its program; gives the feature rows (with the columns a served row has) of each batch."""

    def __init__(self, plan: Plan, inputs: Sequence[Input], spill: Path | None = None) -> None:
        self.plan, self.program = plan, Program(plan, spill=spill)
        self._empty = {one.name: nothing(one.schema) for one in inputs}

    def rows(self, batch: Batch) -> pa.Table:
        batch = filled(batch, self._empty)
        answer = self.program.process(batch)
        return feature_rows(answer, batch.tables[str(self.plan.driving)], self.plan)


def from_log(
    project: Project, connection: Connection, ranges: Mapping[Part, tuple[int, int]] | None = None, progress: Progress = lambda events: None
) -> Iterator[pa.Table]:
    """Feature rows of all that the log has (or of ranges of it), in event-time order, batch by batch."""
    plan = plan_of(project)
    inputs = inputs_of(project, plan)
    yield from _tables(project, plan, inputs, merged(inputs, log_feeds(connection, readers(project, inputs), ranges), progress=progress))


def from_files(
    project: Project, files: Mapping[str, Sequence[str]], refusals: Refusals, progress: Progress = lambda events: None
) -> Iterator[pa.Table]:
    """Feature rows of files (JSONL, CSV, Parquet) by source, each source's files in the order of its log. Adds what is refused.

    DriftlineError where the plan reads a source without a file.
    """
    plan = plan_of(project)
    inputs = inputs_of(project, plan)
    check_files(inputs, files)
    by_topic = readers(project, inputs)
    feeds: dict[Slot, Iterator[Read]] = {
        (reader.rank, 0): _file_feed(project, reader, files[reader.input.name], refusals) for reader in by_topic.values()
    }
    yield from _tables(project, plan, inputs, merged(inputs, feeds, progress=progress))


def check_files(inputs: Sequence[Input], files: Mapping[str, Sequence[str]]) -> None:
    """DriftlineError where an input has no file."""
    missing = [one.name for one in inputs if one.name not in files]
    if missing:
        raise DriftlineError(f"features.sql reads {', '.join(missing)}; give a file for each.")


def write(tables: Iterator[pa.Table], path: Path, plan: str = "") -> int:
    """Write batches to one Parquet file, which appears only when it is whole; gives its rows."""
    part = path.with_suffix(path.suffix + ".part")
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(part, table.schema, compression="zstd")
            writer.write_table(table)
            rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise DriftlineError(f"{path}: there is no event, so no row was written.")
    part.replace(path)
    return rows


def backfill(
    project: Project,
    path: Path,
    connection: Connection | None = None,
    files: Mapping[str, Sequence[str]] | None = None,
    progress: Progress = lambda events: None,
) -> Backfilled:
    """All feature rows of the log, or of files, as one Parquet file; memory stays bounded however many there are."""
    events, refusals = 0, Refusals()

    def count(done: int) -> None:
        nonlocal events
        events = done
        progress(done)

    if files is not None:
        tables = from_files(project, files, refusals, count)
    elif connection is not None:
        tables = from_log(project, connection, progress=count)
    else:
        raise DriftlineError("A backfill reads the log or files; neither was given.")
    rows = write(tables, path)
    return Backfilled(rows, events, plan_of(project).hash, path, refusals)


def _tables(project: Project, plan: Plan, inputs: Sequence[Input], order: Iterator[Taken]) -> Iterator[pa.Table]:
    engine = Engine(plan, inputs, project.state_dir / ROWS)
    for taken in order:
        table = engine.rows(taken.batch)
        if table.num_rows:
            yield table


def _file_feed(project: Project, reader: Reader, files: Sequence[str], refusals: Refusals) -> Iterator[Read]:
    from streams.produce.reader import read_file

    offset = 0
    for file in files:
        begin = offset
        for chunk in read_file(file, project.source(reader.input.name)):
            rows = len(chunk)
            offsets = np.arange(offset, offset + rows, dtype=np.int64)
            offset += rows
            records = Records(reader.input.topic, 0, offsets, chunk.times, chunk.keys, chunk.values, Headers.none(rows), offset)
            decoded = reader.decode(records)
            for one in decoded.refused:
                refusals.add(f"{file}, row {one.offset - begin + 1}", one.reason)
            yield reader.read(decoded, 0)
