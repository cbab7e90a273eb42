"""`python -m benchmarks.pipeline [--engines driftline,quix] [--json]`: every engine at the same work, one after the other, on one broker."""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.pipeline.engines import ENGINES
from benchmarks.pipeline.measure import machine, opened, result

SLOW = {"faust": 0.1, "quix": 0.3}  # the share of the events a slow engine gets


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--engines", default=",".join(ENGINES), help="which, by name, in order")
    parser.add_argument("--events", type=int, default=2_000_000, help="payments of the backlog (slow engines get a share)")
    parser.add_argument("--rate", type=int, default=10_000, help="payments per second of the latency run; 0 leaves it out")
    parser.add_argument("--seconds", type=int, default=20, help="length of the latency run")
    parser.add_argument("--limit", type=float, default=300, help="seconds after which one run is given up")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with opened(options.limit) as setting:
        for name in options.engines.split(","):
            events = int(options.events * SLOW.get(name, 1))
            print(f"{name}: {events:,} events", file=sys.stderr, flush=True)
            rows.append({**result(ENGINES[name], setting, events, options.rate, options.seconds), "events": events})
    if options.json:
        print(json.dumps({"machine": machine(), "rows": rows}))
    else:
        _table(rows)
    return 0


def _table(rows: list[dict[str, object]]) -> None:
    ours = next((r for r in rows if r["engine"] == "driftline" and "error" not in r), None)
    print(f"{'engine':<24}{'version':<10}{'events/s':>10}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'MB':>7}{'cores':>7}  exactly once  equal")
    for r in rows:
        if "error" in r:
            print(f"{r['engine']:<24}{r['version']:<10}  failed: {str(r['error']).strip().splitlines()[-1]}")
            continue
        ratio = f"{float(str(ours['events_per_second'])) / float(str(r['events_per_second'])):.1f}x" if ours else "-"
        print(f"{r['engine']:<24}{r['version']:<10}{r['events_per_second']:>10,}{ratio:>8}{r['p50_ms'] or '-':>9}{r['p99_ms'] or '-':>9}{r['peak_mb']:>7}{r['cores']:>7}"
              f"  {'yes' if r['exactly_once'] else 'no':<12}  {'yes' if r['results_equal'] else 'NO: ' + str(r['different'])}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
