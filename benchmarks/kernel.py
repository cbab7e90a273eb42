"""The window kernel against DuckDB's window operator on the same rows, one thread each, every value compared.

    python -m benchmarks.kernel [--json] [--events 2000000] [--keys 10000]

Times are CPU seconds of this process, so that a busy machine disturbs ratios less; both engines use one thread.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numba
import numpy as np
import pyarrow as pa

from streams.features.kernel.column import Column
from streams.features.kernel.windows import WindowKernel
from streams.features.plan import compile_features
from streams.features.spec import Aggregate, Frame, Store, Window
from streams.types import Int64, Type

HOUR = 3_600_000
FUNCTIONS = ("count", "sum", "avg", "min", "max", "stddev_samp")
BATCH = 100_000
FIRST_BATCH = """
import time; begin = time.perf_counter(), time.process_time()
import numpy as np
from streams.features.kernel.column import Column
from streams.features.kernel.windows import WindowKernel
from streams.features.spec import Aggregate, Frame, Store, Window
from streams.types import Type
aggregates = tuple(Aggregate(f, (0,)) for f in ('sum', 'avg', 'min', 'max', 'stddev_samp'))
kernel, n = WindowKernel(Store((Type.DOUBLE,), (Window(Frame(False, 1000), aggregates),), 0)), np.arange(500)
kernel.process(n % 50, n, n >= 0, n >= 0, [Column(n * 0.5)])
print(time.perf_counter() - begin[0], time.process_time() - begin[1])
"""


@dataclass(frozen=True)
class Events:
    keys: Int64
    times: Int64
    values: np.ndarray[Any, np.dtype[np.float64]]

    @classmethod
    def drawn(cls, count: int, keys: int, days: int) -> Events:
        """Evenly spread over `days`, no two at the same time (DuckDB's RANGE sees later peers), two decimals like money."""
        draw = np.random.default_rng(7)
        step = max(days * 24 * HOUR // count, 1)
        times = np.cumsum(draw.integers(1, 2 * step, count))
        return cls(draw.integers(0, keys, count), times, np.round(draw.lognormal(3, 1, count), 2))

    @classmethod
    def bursts(cls, count: int, keys: int, days: int) -> Events:
        """Ten events of a key within an hour, then nothing for days: so that a window of an hour has rows in it as one of 90 days has."""
        draw = np.random.default_rng(8)
        starts, owners = draw.integers(0, days * 24 * HOUR, count // 10), draw.integers(0, keys, count // 10)
        times = np.repeat(starts, 10) + draw.integers(0, HOUR, count // 10 * 10)
        order = np.argsort(times, kind="stable")
        return cls(np.repeat(owners, 10)[order], times[order], np.round(draw.lognormal(3, 1, len(times)), 2))


def store(*ranges: int) -> Store:
    aggregates = tuple(Aggregate(f, (0,), (), Type.BIGINT if f == "count" else Type.DOUBLE) for f in FUNCTIONS)
    return Store((Type.DOUBLE,), tuple(Window(Frame(False, r), aggregates) for r in ranges), history=0)


def run_kernel(kernel: WindowKernel, events: Events, batch: int, keep: bool = False) -> tuple[float, list[list[Column]]]:
    """CPU seconds and, where `keep`, the answers: the columns of each batch."""
    parts: list[list[Column]] = []
    yes = np.ones(batch, np.bool_)
    begin = time.process_time()
    for start in range(0, len(events.keys), batch):
        cut = slice(start, start + batch)
        n = len(events.keys[cut])
        windows = kernel.process(events.keys[cut], events.times[cut], yes[:n], yes[:n], [Column(events.values[cut])])
        if keep:
            parts.append([column for window in windows for column in window])
    return time.process_time() - begin, parts


def run_duckdb(events: Events, ranges: list[int]) -> tuple[float, pa.Table]:
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET preserve_insertion_order = true")
    table = pa.table({"i": np.arange(len(events.keys)), "k": events.keys, "t": events.times, "v": events.values})
    connection.register("given", table)
    connection.execute("CREATE TABLE events AS SELECT * FROM given")
    columns = [f"{f}(v) OVER w{w} AS a{w}_{f}" for w in range(len(ranges)) for f in FUNCTIONS]
    windows = [f"w{w} AS (PARTITION BY k ORDER BY t RANGE BETWEEN {r} PRECEDING AND CURRENT ROW)" for w, r in enumerate(ranges)]
    begin = time.process_time()
    connection.execute(f"CREATE TABLE answers AS SELECT i, {', '.join(columns)} FROM events WINDOW {', '.join(windows)}")
    seconds = time.process_time() - begin
    return seconds, connection.sql("SELECT * FROM answers ORDER BY i").to_arrow_table()


def differing(parts: list[list[Column]], answers: pa.Table) -> int:
    """Values that are not DuckDB's: counts, least and greatest exactly, sums to 1e-12, deviations to 1e-9 (ours are exact)."""
    wrong = 0
    for c, name in enumerate(answers.column_names[1:]):
        theirs = answers.column(name).combine_chunks()
        known = theirs.is_valid().to_numpy(zero_copy_only=False)
        wanted = theirs.fill_null(0).to_numpy(zero_copy_only=False)
        values = np.concatenate([part[c].values for part in parts])
        valid = np.concatenate([np.ones(len(p[c]), np.bool_) if p[c].valid is None else p[c].valid for p in parts])
        if name.endswith(("count", "min", "max")):
            equal = values == wanted
        else:
            tolerance = 1e-9 if name.endswith("stddev_samp") else 1e-12
            equal = np.abs(values - wanted) <= tolerance * np.maximum(np.abs(wanted), 1)
        wrong += int((known != valid).sum() + (known & valid & ~equal).sum())
    return wrong


def best(repeat: int, run: Callable[[], float]) -> float:
    return min(run() for _ in range(repeat))


def compile_500() -> float:
    """Seconds to compile a SELECT of 500 features: ten windows over ten columns."""
    fields = {f"x{i}": Type.DOUBLE for i in range(10)} | {"k": Type.STRING, "t": Type.TIMESTAMP}
    columns = [f"{f}(x{c}) OVER w{w} AS f{w}_{c}_{f}" for w in range(10) for c in range(10) for f in ("count", "sum", "avg", "min", "max")]
    windows = [f"w{w} AS (PARTITION BY k ORDER BY t ROWS_RANGE BETWEEN {w + 1}h PRECEDING AND CURRENT ROW)" for w in range(10)]
    begin = time.perf_counter()
    compile_features(f"SELECT {', '.join(columns)} FROM events WINDOW {', '.join(windows)}", {"events": fields})
    return time.perf_counter() - begin


def measure(count: int, keys: int) -> dict[str, Any]:
    ranges = [HOUR, 24 * HOUR, 72 * HOUR]
    events = Events.drawn(count, keys, 14)
    run_kernel(WindowKernel(store(*ranges)), Events.drawn(1000, 10, 1), 100)  # compiled, or loaded, before the clock runs

    seconds, parts = run_kernel(WindowKernel(store(*ranges)), events, BATCH, keep=True)
    duck_seconds, answers = run_duckdb(events, ranges)
    wrong = differing(parts, answers)
    del parts, answers
    kernel = WindowKernel(store(*ranges))
    seconds = min(seconds, run_kernel(kernel, events, BATCH)[0])
    memory = kernel.memory()
    begin = time.process_time()
    state = kernel.snapshot()
    snapshot_seconds = time.process_time() - begin
    small = {
        f"events_per_second_batches_of_{batch}": round(
            count / 4 / run_kernel(WindowKernel(store(*ranges)), _first(events, count // 4), batch)[0]
        )
        for batch in (500, 5000)
    }

    year = Events.bursts(count, keys, 365)
    short, long = (best(3, lambda r=r: run_kernel(WindowKernel(store(r)), year, BATCH)[0]) for r in (HOUR, 90 * 24 * HOUR))  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        spilled = run_kernel(WindowKernel(store(90 * 24 * HOUR), spill=Path(folder)), year, BATCH)[0]

    first = subprocess.run([sys.executable, "-c", FIRST_BATCH], capture_output=True, text=True, check=True)
    return {
        "events": count,
        "keys": keys,
        "windows": ["1h", "24h", "3d"],
        "aggregates": list(FUNCTIONS),
        "events_per_second": round(count / seconds),
        "duckdb_events_per_second": round(count / duck_seconds),
        "ratio_duckdb": round(duck_seconds / seconds, 2),
        "values_checked": count * len(ranges) * len(FUNCTIONS),
        "values_wrong": wrong,
        **small,
        "ratio_90d_1h": round(long / short, 3),
        "ratio_90d_1h_spilled": round(spilled / short, 3),
        "bytes_per_key": round(memory.bytes_per_key),
        "bytes_per_row": round(memory.bytes_per_row, 1),
        "rows_in_windows": memory.rows,
        "snapshot_bytes": len(state),
        "snapshot_seconds": round(snapshot_seconds, 3),
        "first_batch_seconds": round(float(first.stdout.split()[0]), 2),
        "first_batch_cpu_seconds": round(float(first.stdout.split()[1]), 2),
        "compile_500_seconds": round(compile_500(), 3),
        "versions": {
            "python": platform.python_version(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "duckdb": duckdb.__version__,
        },
    }


def _first(events: Events, count: int) -> Events:
    return Events(events.keys[:count], events.times[:count], events.values[:count])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--keys", type=int, default=10_000)
    arguments = parser.parse_args()
    result = measure(arguments.events, arguments.keys)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:40} {value}")
    if result["values_wrong"]:
        sys.exit(f"{result['values_wrong']} values differ from DuckDB's")


if __name__ == "__main__":
    main()
