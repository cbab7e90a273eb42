"""Flink SQL's tables on Kafka, set as in our own job on Flink: its JVM, its sink, objects used again."""

from __future__ import annotations

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

from connectors.flink.gateway import gateway


def environment(jar: str, checkpoints: str, parallelism: str) -> TableEnvironment:
    """Streaming, a checkpoint a second."""
    gateway()
    config = Configuration()
    for name, value in {
        "pipeline.jars": f"file://{jar}", "parallelism.default": parallelism, "execution.checkpointing.interval": "1s",
        "pipeline.object-reuse": "true", "execution.checkpointing.storage": "filesystem", "execution.checkpointing.dir": f"file://{checkpoints}",
    }.items():  # fmt: skip
        config.set_string(name, value)
    return TableEnvironment.create(EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(config).build())


def source(bootstrap: str, topic: str, name: str, columns: str, time: str, late: str, group: str) -> str:
    """CREATE TABLE of a topic of JSON with `time`, integer milliseconds, as `ts` beside it and the watermark `late` behind, as in '10' MINUTE."""
    return f"""
        CREATE TABLE {name} ({columns}, ts AS TO_TIMESTAMP_LTZ({time}, 3), WATERMARK FOR ts AS ts - INTERVAL {late})
        WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = '{bootstrap}', 'value.format' = 'json', 'topic' = '{topic}',
              'properties.group.id' = '{group}', 'scan.startup.mode' = 'earliest-offset', 'scan.watermark.emit.strategy' = 'on-event')"""


def sink(bootstrap: str, topic: str, columns: str, key: str) -> str:
    """CREATE TABLE features: JSON into a topic, exactly once."""
    return f"""
        CREATE TABLE features ({columns})
        WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = '{bootstrap}', 'value.format' = 'json', 'topic' = '{topic}',
              'key.format' = 'raw', 'key.fields' = '{key}', 'sink.delivery-guarantee' = 'exactly-once',
              'sink.transactional-id-prefix' = 'bench-{topic}', 'properties.transaction.timeout.ms' = '600000',
              'properties.linger.ms' = '100', 'properties.batch.size' = '524288')"""
