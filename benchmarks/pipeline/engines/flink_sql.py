"""Flink SQL over topics of JSON, exactly once; JVM, sink and objects are set as in our own job on Flink. `python flink_sql.py JSON`, as `flink_sql` writes it."""

from __future__ import annotations

import json
import sys

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

from connectors.flink.gateway import gateway

gateway()
work = json.loads(sys.argv[1])
out = work["out"]
config = Configuration()
for name, value in {
    "pipeline.jars": f"file://{work['jar']}", "parallelism.default": str(work["parallelism"]), "execution.checkpointing.interval": "1s",
    "pipeline.object-reuse": "true", "execution.checkpointing.storage": "filesystem", "execution.checkpointing.dir": f"file://{work['checkpoints']}",
}.items():  # fmt: skip
    config.set_string(name, value)
tables = TableEnvironment.create(EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(config).build())
kafka = f"'connector' = 'kafka', 'properties.bootstrap.servers' = '{work['bootstrap']}', 'value.format' = 'json'"


def columns(kinds: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in kinds.items())


for name, source in work["sources"].items():
    tables.execute_sql(f"""
        CREATE TABLE {name} ({columns(source["fields"])}, ts AS TO_TIMESTAMP_LTZ({source["time"]}, 3), WATERMARK FOR ts AS ts - INTERVAL {work["late"]})
        WITH ({kafka}, 'topic' = '{work["job"]}.{name}', 'properties.group.id' = 'bench-flink-{out}', 'scan.startup.mode' = 'earliest-offset',
              'scan.watermark.emit.strategy' = 'on-event')""")
tables.execute_sql(f"""
    CREATE TABLE features ({columns(work["answers"])})
    WITH ({kafka}, 'topic' = '{out}', 'key.format' = 'raw', 'key.fields' = '{work["key"]}', 'sink.delivery-guarantee' = 'exactly-once',
          'sink.transactional-id-prefix' = 'bench-{out}', 'properties.transaction.timeout.ms' = '600000',
          'properties.linger.ms' = '100', 'properties.batch.size' = '524288')""")
tables.execute_sql(f"INSERT INTO features {work['select']}").wait()
