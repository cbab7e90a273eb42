"""Flink SQL, exactly once: three nested queries, since one SELECT may have one OVER window only. `python flink_sql.py BOOTSTRAP TOPIC OUT JAR CHECKPOINTS PARALLELISM`."""

from __future__ import annotations

import sys

from benchmarks import flink_tables
from benchmarks.pipeline.windows import LATE_MS

bootstrap, topic, out, jar, checkpoints, parallelism = sys.argv[1:7]
tables = flink_tables.environment(jar, checkpoints, parallelism)
columns = "i BIGINT, card STRING, paid_at BIGINT, amount DOUBLE"
tables.execute_sql(
    flink_tables.source(bootstrap, topic, "payments", columns, "paid_at", f"'{LATE_MS // 60000}' MINUTE", f"bench-flink-{out}")
)
names = [f"{a}_{w}" for w in ("1h", "24h", "3d") for a in ("count", "sum", "avg")]
types = ", ".join(f"{n} {'BIGINT' if n.startswith('count') else 'DOUBLE'}" for n in names)
tables.execute_sql(flink_tables.sink(bootstrap, out, f"i BIGINT, card STRING, paid_at BIGINT, {types}", "card"))
query = "payments"
for w, span in (("1h", "'1' HOUR"), ("24h", "'1' DAY"), ("3d", "'3' DAY(2)")):
    over = f"(PARTITION BY card ORDER BY ts RANGE BETWEEN INTERVAL {span} PRECEDING AND CURRENT ROW)"
    query = f"(SELECT *, COUNT(*) OVER {over} AS count_{w}, SUM(amount) OVER {over} AS sum_{w}, AVG(amount) OVER {over} AS avg_{w} FROM {query})"
tables.execute_sql(f"INSERT INTO features SELECT i, card, paid_at, {', '.join(names)} FROM {query}").wait()
