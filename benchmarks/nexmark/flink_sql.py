"""A query of Nexmark by Flink SQL, exactly once. `python flink_sql.py QUERY BOOTSTRAP JOB OUT JAR CHECKPOINTS PARALLELISM`."""

from __future__ import annotations

import json
import sys
import tomllib

from benchmarks import flink_tables

query, bootstrap, job, out, jar, checkpoints, parallelism = sys.argv[1:8]
found = json.loads(query)
tables = flink_tables.environment(jar, checkpoints, parallelism)
for name, source in tomllib.loads(found["sources"])["sources"].items():
    columns = ", ".join(f"{field} {'BIGINT' if kind == 'TIMESTAMP' else kind}" for field, kind in source["fields"].items())
    group = f"bench-flink-{out}"
    tables.execute_sql(flink_tables.source(bootstrap, f"{job}.{name}", name, columns, source["time"], "'1' SECOND", group))
tables.execute_sql(flink_tables.sink(bootstrap, out, f"i BIGINT, {found['columns']}", found["key"]))
tables.execute_sql(f"INSERT INTO features {found['flink']}").wait()
