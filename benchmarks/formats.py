"""JSON records into columns and columns into JSON records: ours, orjson and pyarrow on the same records, one thread each.

    python -m benchmarks.formats [--rows 50000] [--json]

In: the payments of the pipeline's benchmark, about 126 bytes each. Out: its feature rows, ten numbers each. What each of them reads, and
what reads back from what each of them writes, is compared value by value. As many rows as the worker has in a batch; CPU seconds, the
best of 15 runs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.json as pj

from benchmarks.kernel import best
from benchmarks.pipeline.workload import PAYMENTS, expected, payments
from connectors.formats.json import decode, encode
from connectors.kafka import Bytes
from streams.types import Type

SCHEMA = {**PAYMENTS.fields, "paid_at": Type.BIGINT}
TYPES = pa.schema([(name, kind.arrow) for name, kind in SCHEMA.items()])
RUNS = 15


def spent(work: Callable[[], Any]) -> float:
    """CPU seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def read_pyarrow(lines: bytes) -> pa.Table:
    return pj.read_json(BytesIO(lines), pj.ReadOptions(use_threads=False), pj.ParseOptions(explicit_schema=TYPES))


def run(rows: int) -> dict[str, Any]:
    events = payments(rows)
    texts = [orjson.dumps(row) for row in events.to_pylist()]
    records, lines = Bytes.of(texts), b"\n".join(texts)
    features = expected(events, "arrival")
    readers: dict[str, Callable[[], pa.Table]] = {
        "driftline": lambda: decode(records, SCHEMA).table,
        "orjson, then columns": lambda: pa.Table.from_pylist([orjson.loads(text) for text in texts], TYPES),
        "pyarrow, of lines": lambda: read_pyarrow(lines),
    }
    writers: dict[str, Callable[[], Any]] = {
        "driftline": lambda: encode(features),
        "orjson, of rows": lambda: [orjson.dumps(row) for row in features.to_pylist()],
    }
    found = []
    for what, ways in (("in", readers), ("out", writers)):
        ours = 0.0
        for name, work in ways.items():
            made = work()
            seconds = best(RUNS, lambda work=work: spent(work))
            ours = ours or seconds
            if what == "in":
                equal = made.equals(events.cast(TYPES))
            else:
                equal = pa.Table.from_pylist([orjson.loads(made[i]) for i in range(rows)], features.schema).equals(features)
            found.append(
                {
                    "what": what,
                    "by": name,
                    "nanoseconds_a_row": round(seconds / rows * 1e9),
                    "driftline_is": round(seconds / ours, 1),
                    "results_equal": equal,
                }
            )
    versions = {name: importlib.metadata.version(name) for name in ("orjson", "pyarrow", "numba", "numpy")}
    return {"rows": found, "versions": versions | {"python": platform.python_version()}, "cores": os.cpu_count()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = options.parse_args()
    result = run(chosen.rows)
    if chosen.json:
        print(json.dumps(result, indent=2))
        return
    for one in result["rows"]:
        equal = "equal" if one["results_equal"] else "DIFFERENT"
        print(f"{one['what']:4}{one['by']:22}{one['nanoseconds_a_row']:>7,} ns a row  driftline is {one['driftline_is']:>5} times  {equal}")
    print(", ".join(f"{name} {version}" for name, version in result["versions"].items()))


if __name__ == "__main__":
    main()
