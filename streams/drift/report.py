"""A report by Evidently as one HTML file: a window of events against what the champion was trained on. The one file that knows Evidently.

It is made on demand in a process of its own (its import takes seconds), from samples, with columns that it cannot read left out and named.
Its own tests raise false alarms at any size; ours are registered in their place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streams.drift.distance import chi_square, kolmogorov_smirnov
from streams.drift.sketch import as_numbers, bins_of, is_text
from streams.errors import RunError
from streams.features.step import plan_of
from streams.predictions import log
from streams.predictions.step import features_input
from streams.predictions.store import folder_of
from streams.project import Project
from streams.types import TIME, OffsetRange
from streams.worker.connection import Connection, KafkaConnection

SAMPLE = 5000  # rows of each side; Evidently's time grows with rows times columns
TIMEOUT_S = 300
ALPHA = 0.05


@dataclass(frozen=True)
class Checked:
    """Columns that can be compared, and why the others can't."""

    columns: tuple[str, ...]
    left_out: dict[str, str]


def report(project: Project, start: int | None = None, end: int | None = None, connection: Connection | None = None) -> Path:
    """Compare feature rows of event time in [start, end) ms with the champion's training window; returns the HTML file.

    Default: the drift window that ends with the newest row. RunError where a side has no rows, or Evidently fails.
    """
    connection = connection or KafkaConnection(project.kafka())
    version = _serving(connection, project)
    named = json.loads((folder_of(project, version) / "manifest.json").read_text())
    schema = {
        name: kind for name, kind in plan_of(project).schema.items() if project.model.labels is None or name != project.model.labels.on
    }
    source = features_input(project, schema)
    reference = log.table(connection, [OffsetRange(**one) for one in named["features"]], source.schema)
    current = log.table(connection, _since(connection, source.topic, start, project.drift.window_ms), source.schema)
    times = current.column(TIME).to_numpy()
    until = end if end is not None else int(times.max()) + 1 if len(times) else 0
    begin = start if start is not None else until - project.drift.window_ms
    current = current.filter(pa.array((times >= begin) & (times < until)))
    if not reference.num_rows or not current.num_rows:
        raise RunError(
            f"There are {reference.num_rows:,} reference rows and {current.num_rows:,} rows in the window: nothing can be compared."
        )
    folder = project.state_dir / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"drift-{begin}-{until}-version-{version}.html"
    make(_sample(reference.select(list(schema))), _sample(current.select(list(schema))), path)
    return path


def make(reference: pa.Table, current: pa.Table, path: Path, timeout_s: float = TIMEOUT_S) -> Checked:
    """Write the HTML of two samples, in a process of its own. RunError with its last lines when that fails."""
    checked = check_columns(reference, current)
    if not checked.columns:
        raise RunError(f"No column can be compared: {'; '.join(f'{name}: {why}' for name, why in list(checked.left_out.items())[:5])}.")
    with tempfile.TemporaryDirectory(prefix="driftline-report-") as name:
        work = Path(name)
        pq.write_table(reference.select(list(checked.columns)), work / "reference.parquet")
        pq.write_table(current.select(list(checked.columns)), work / "current.parquet")
        environ = {**os.environ, "DO_NOT_TRACK": "1", "MPLBACKEND": "Agg"}
        command = [sys.executable, "-m", "streams.drift.report", str(work), str(path)]
        try:
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise RunError(f"The report was not ready within {timeout_s:g} s. Choose a shorter window.") from error
        if done.returncode:
            raise RunError(f"Evidently failed: {' '.join(done.stderr.strip().splitlines()[-3:])}")
    return checked


def check_columns(reference: pa.Table, current: pa.Table) -> Checked:
    """Evidently refuses a whole report for one column that is empty, all NULL or infinite on either side."""
    good, left_out = [], {}
    for name in reference.column_names:
        reason = next(
            (found for table, side in ((reference, "reference"), (current, "window")) if (found := _unfit(table.column(name), side))), None
        )
        if reason is None:
            good.append(name)
        else:
            left_out[name] = reason
    return Checked(tuple(good), left_out)


def _unfit(column: pa.ChunkedArray, side: str) -> str | None:
    if column.null_count == len(column):
        return f"no value in the {side}"
    if is_text(column):
        return None
    values = as_numbers(column)
    if np.isinf(values).any():
        return f"infinite values in the {side}"
    return f"no number in the {side}" if np.isnan(values).all() else None


def _since(connection: Connection, topic: str, start: int | None, window: int) -> list[OffsetRange]:
    consumer = connection.consumer()
    try:
        parts = [(topic, partition) for partition in consumer.partitions(topic)]
        ends = consumer.end_offsets(parts)
    finally:
        consumer.close()
    if start is None:
        tails = [OffsetRange(*part, max(ends[part] - 200, 0), ends[part]) for part in parts]
        newest = [int(records.timestamps.max()) for records in log.chunks(connection, tails) if len(records)]
        start = max(newest, default=0) - window
    consumer = connection.consumer()
    try:
        starts = consumer.offsets_at(dict.fromkeys(parts, start))
    finally:
        consumer.close()
    return [OffsetRange(*part, starts[part], ends[part]) for part in parts]


def _serving(connection: Connection, project: Project) -> int:
    found = [record.value for record in log.records(connection, project.topic("deployments")) if record.value is not None]
    versions = [value["version"] for value in found if value.get("role") == "live" and value.get("version") is not None]
    if not versions:
        raise RunError("No version serves yet: there is no reference to compare with.")
    return int(versions[-1])


def _sample(rows: pa.Table) -> pa.Table:
    """The same sample for the same rows."""
    if rows.num_rows <= SAMPLE:
        return rows
    chosen = np.sort(np.random.default_rng(0).choice(rows.num_rows, SAMPLE, replace=False))
    return rows.take(pa.array(chosen))


def _counts(column: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[Any, Any]:
    bins = bins_of("x", column)
    zeros = [np.zeros(len(one), np.int64) for one in (column, other)]
    first, second = (bins.compared(bins.counts(one, zero, 1)[0]) for one, zero in zip((column, other), zeros, strict=True))
    return first, second


def is_object(column: Any) -> bool:
    return bool(column.dtype == object)


def _main(work: Path, path: Path) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    reference, current = (pq.read_table(work / f"{side}.parquet").to_pandas() for side in ("reference", "current"))
    for side in (reference, current):
        for name in side.columns:
            if side[name].dtype == bool or is_object(side[name]):
                side[name] = side[name].map(str, na_action="ignore")
            elif side[name].dtype.kind == "M":
                side[name] = side[name].astype("int64")
    words = [name for name in reference.columns if is_object(reference[name])]
    numbers = [name for name in reference.columns if name not in words]

    def ours(test: Any, cast: Any) -> Any:
        def run(first: Any, second: Any, feature_type: Any, threshold: float) -> tuple[float, bool]:
            _, p = test(*_counts(*(pa.chunked_array([pa.array(side.dropna().astype(cast))]) for side in (first, second))))
            return p, p < threshold

        return run

    for name, title, kind, test, cast in (
        ("driftline_ks", "Kolmogorov-Smirnov, two samples", ColumnType.Numerical, kolmogorov_smirnov, float),
        ("driftline_chi2", "chi-square, two samples, rare words pooled", ColumnType.Categorical, chi_square, str),
    ):
        register_stattest(StatTest(name, title, [kind], ALPHA), ours(test, cast))
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    preset = DataDriftPreset(num_method="driftline_ks", cat_method="driftline_chi2", num_threshold=ALPHA, cat_threshold=ALPHA)
    sides = [Dataset.from_pandas(side, data_definition=definition) for side in (current, reference)]
    snapshot = Report([preset, DataSummaryPreset()]).run(*sides)
    waiting = path.with_suffix(f".{os.getpid()}.tmp")
    snapshot.save_html(str(waiting))
    waiting.replace(path)


if __name__ == "__main__":
    begun = time.monotonic()
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{time.monotonic() - begun:.1f} s")
