"""`python -m benchmarks.flink [--json]`: the features job on Flink beside Flink SQL's own OVER aggregation, same payments, same parallelism."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.pipeline.engines import ENGINES, FEATURES, FLINK_PYTHON, PARALLELISM
from benchmarks.pipeline.kernel import by_kernel
from benchmarks.pipeline.measure import Setting, backlog, opened
from benchmarks.pipeline.workload import COLUMNS, equal, expected, fed, payments
from connectors.flink.jars import CONNECTOR


def same_bits(table: pa.Table, reference: pa.Table) -> int:
    """How many rows are equal in every bit of every value."""
    got = table.sort_by("i")
    if not np.array_equal(got["i"].to_numpy(), reference["i"].to_numpy()):
        return 0
    alike = np.ones(len(reference), bool)
    for name in COLUMNS:
        have, want = got[name].to_numpy().astype(np.float64), reference[name].to_numpy().astype(np.float64)
        alike &= have.view(np.int64) == want.view(np.int64)
    return int(alike.sum())


def measured(setting: Setting, events: int, peer_events: int) -> Mapping[str, object]:
    table = payments(events)
    ours = backlog(ENGINES["driftline-flink"], setting, [fed(table)], events)
    if ours.error is not None:
        return {"error": ours.error}
    found: dict[str, object] = {
        "events": events, "rows": len(ours.rows.values), "equal": same_bits(ours.rows.table(COLUMNS), by_kernel(FEATURES, [fed(table)])),
        "events_per_second": ours.events_per_second, "cores": ours.cores, "peak_mb": ours.peak_mb,
    }  # fmt: skip
    if not peer_events:
        return found
    table = payments(peer_events)
    peer = backlog(ENGINES["flink-sql"], setting, [fed(table)], peer_events)
    if peer.error is not None:
        return {**found, "error": peer.error}
    right = len(peer.rows.values) == peer_events and equal(peer.rows.table(COLUMNS), expected(table, "event_time"))[0]
    return found | {
        "ratio_flink_sql": round(ours.events_per_second / max(peer.events_per_second, 1), 2),
        "flink_sql": {
            "events": peer_events, "rows": len(peer.rows.values), "equal": right,
            "events_per_second": peer.events_per_second, "cores": peer.cores, "peak_mb": peer.peak_mb,
        },
    }  # fmt: skip


def versions() -> Mapping[str, object]:
    code = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in ('driftline', 'apache-flink', 'numpy', 'pyarrow')}))"
    found = json.loads(subprocess.run([FLINK_PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout)
    return {**found, "connector": CONNECTOR, "python": platform.python_version(), "cores": psutil.cpu_count()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flink", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="payments of the backlog")
    parser.add_argument("--peer-events", type=int, help="of Flink SQL's; the same when not given, 0 leaves it out")
    parser.add_argument("--limit", type=float, default=300, help="seconds after which one run is given up")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peer_events = options.events if options.peer_events is None else options.peer_events
    with opened(options.limit) as setting:
        found = {"parallelism": PARALLELISM, **measured(setting, options.events, peer_events), "versions": versions()}
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<20}{value}")
    return 1 if "error" in found else 0


if __name__ == "__main__":
    sys.exit(main())
