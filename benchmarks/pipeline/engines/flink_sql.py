"""Flink SQL, exactly once: three nested queries, since one SELECT may have one OVER window only. `python flink_sql.py BOOTSTRAP TOPIC OUT JAR CHECKPOINTS PARALLELISM`.

JVM, sink and objects are set as in our own job on Flink."""

from __future__ import annotations

import sys

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

from benchmarks.pipeline.windows import LATE_MS
from connectors.flink.gateway import gateway

gateway()
bootstrap, topic, out, jar, checkpoints, parallelism = sys.argv[1:7]
config = Configuration()
for name, value in {
    "pipeline.jars": f"file://{jar}", "parallelism.default": parallelism, "execution.checkpointing.interval": "1s",
    "pipeline.object-reuse": "true", "execution.checkpointing.storage": "filesystem", "execution.checkpointing.dir": f"file://{checkpoints}",
}.items():  # fmt: skip
    config.set_string(name, value)
tables = TableEnvironment.create(EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(config).build())
kafka = f"'connector' = 'kafka', 'properties.bootstrap.servers' = '{bootstrap}', 'value.format' = 'json'"
tables.execute_sql(f"""
    CREATE TABLE payments (i BIGINT, card STRING, paid_at BIGINT, amount DOUBLE, ts AS TO_TIMESTAMP_LTZ(paid_at, 3), WATERMARK FOR ts AS ts - INTERVAL '{LATE_MS // 60000}' MINUTE)
    WITH ({kafka}, 'topic' = '{topic}', 'properties.group.id' = 'bench-flink-{out}', 'scan.startup.mode' = 'earliest-offset', 'scan.watermark.emit.strategy' = 'on-event')""")
names = [f"{a}_{w}" for w in ("1h", "24h", "3d") for a in ("count", "sum", "avg")]
types = ", ".join(f"{n} {'BIGINT' if n.startswith('count') else 'DOUBLE'}" for n in names)
tables.execute_sql(f"""
    CREATE TABLE features (i BIGINT, card STRING, paid_at BIGINT, {types})
    WITH ({kafka}, 'topic' = '{out}', 'key.format' = 'raw', 'key.fields' = 'card', 'sink.delivery-guarantee' = 'exactly-once',
          'sink.transactional-id-prefix' = 'bench-{out}', 'properties.transaction.timeout.ms' = '600000',
          'properties.linger.ms' = '100', 'properties.batch.size' = '524288')""")
query = "payments"
for w, span in (("1h", "'1' HOUR"), ("24h", "'1' DAY"), ("3d", "'3' DAY(2)")):
    over = f"(PARTITION BY card ORDER BY ts RANGE BETWEEN INTERVAL {span} PRECEDING AND CURRENT ROW)"
    query = f"(SELECT *, COUNT(*) OVER {over} AS count_{w}, SUM(amount) OVER {over} AS sum_{w}, AVG(amount) OVER {over} AS avg_{w} FROM {query})"
tables.execute_sql(f"INSERT INTO features SELECT i, card, paid_at, {', '.join(names)} FROM {query}").wait()
