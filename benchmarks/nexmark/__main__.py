"""`python -m benchmarks.nexmark [--json]`: two queries of Nexmark by Driftline and by Flink SQL, on the same records, each row checked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from benchmarks.nexmark.queries import QUERIES, Query
from benchmarks.pipeline.engines import FLINK_PYTHON, Engine, driftline, flink_sql
from benchmarks.pipeline.measure import Setting, backlog, machine, opened


def engines(query: Query) -> list[Engine]:
    peer = flink_sql(query.sources, query.flink, {"i": "BIGINT", **query.answers}, next(iter(query.answers)), "'1' SECOND")
    return [
        Engine("driftline", "driftline", driftline("exactly_once", query.sources, query.features), True),
        Engine("flink-sql", "apache-flink", peer, True, order="event_time", python=FLINK_PYTHON),
    ]


def measured(query: Query, engine: Engine, setting: Setting, events: int) -> Mapping[str, object]:
    feeds = query.feeds(events)
    found = backlog(engine, setting, feeds, len(feeds[-1]))
    row = {"query": query.name, "engine": engine.name, "version": engine.version(engine.interpreter(setting.cache))}
    if found.error is not None:
        return {**row, "error": found.error}
    return {
        **row, "records": sum(map(len, feeds)), "rows": len(found.rows.values),
        "rows_per_second": found.events_per_second, "cores": found.cores, "peak_mb": found.peak_mb,
        "results_equal": found.rows.table(list(query.answers)).sort_by("i").equals(query.expected(feeds)),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nexmark", description=__doc__)
    parser.add_argument("--queries", default=",".join(QUERIES))
    parser.add_argument("--events", type=int, default=2_000_000, help="of Nexmark's events; of bids q5 gets 46 of 50, q8 of the others 4")
    parser.add_argument("--limit", type=float, default=300, help="seconds after which one run is given up")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with opened(options.limit) as setting:
        for query in (QUERIES[name] for name in options.queries.split(",")):
            for engine in engines(query):
                print(f"{query.name}: {engine.name}", file=sys.stderr, flush=True)
                rows.append(measured(query, engine, setting, options.events * query.share))
    if options.json:
        print(json.dumps({"machine": machine(), "rows": rows}))
    else:
        _table(rows)
    return 1 if any("error" in row for row in rows) else 0


def _table(rows: list[Mapping[str, object]]) -> None:
    print(f"{'query':<7}{'engine':<12}{'version':<9}{'records':>11}{'rows':>11}{'rows/s':>10}{'ratio':>8}{'MB':>7}{'cores':>7}  equal")
    for query in QUERIES:
        mine = [row for row in rows if row["query"] == query]
        for r in mine:
            if "error" in r:
                print(f"{query:<7}{r['engine']:<12}{r['version']:<9}  failed: {str(r['error']).strip().splitlines()[-1]}")
                continue
            ratio = f"{float(str(mine[0]['rows_per_second'])) / float(str(r['rows_per_second'])):.1f}x" if "error" not in mine[0] else "-"
            print(f"{query:<7}{r['engine']:<12}{r['version']:<9}{r['records']:>11,}{r['rows']:>11,}{r['rows_per_second']:>10,}{ratio:>8}"
                  f"{r['peak_mb']:>7}{r['cores']:>7}  {'yes' if r['results_equal'] else 'NO'}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
