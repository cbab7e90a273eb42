"""Kafka topics as tables of raw records, in batches made by the JVM; a row at a time into Python would be forty times slower."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pyflink.common import Row, Types
from pyflink.datastream import DataStream
from pyflink.table import DataTypes, Schema, StreamTableEnvironment, TableResult

from connectors.kafka.columns import Bytes
from streams.types import Int64

BATCH_MS = 200


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}' = '{value}'" for name, value in options.items())


def source(
    tables: StreamTableEnvironment, name: str, topic: str, kafka: Mapping[str, str], group: str, batch_ms: int = BATCH_MS
) -> DataStream:
    """A topic as rows (partition, places, keys, values, marks): a fifth of a second's records in the order of their partition, see `records`."""
    options = {
        "connector": "kafka",
        "topic": topic,
        **{f"properties.{key}": value for key, value in kafka.items()},
        "properties.group.id": group,
        "properties.isolation.level": "read_committed",
        "scan.startup.mode": "earliest-offset",
        "key.format": "raw",
        "key.fields": "k",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
    }
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE {name} (
            k BYTES, v BYTES,
            part INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL,
            ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL,
            arrived AS PROCTIME()
        ) WITH ({_options(options)})""")
    batches = tables.sql_query(f"""
        SELECT part, ARRAY_JOIN(ARRAY_AGG(place), '|') AS places, ARRAY_AGG(k) AS ks, ARRAY_AGG(v) AS vs, ARRAY_AGG(m) AS ms
        FROM TABLE(TUMBLE(
            (SELECT part, arrived, CAST(o AS STRING) || '|' || CAST(ts AS STRING) AS place, k, v, h['driftline-watermark'] AS m FROM {name}),
            DESCRIPTOR(arrived), INTERVAL '{batch_ms / 1000:.3f}' SECOND))
        GROUP BY part, window_start, window_end""")
    return tables.to_data_stream(batches)


def records(row: Row) -> tuple[Int64, Int64, Bytes, Bytes, list[bytes | None]]:
    """The records of one batch: offsets, times (ms), keys, values, and watermark headers where there are any."""
    _, places, keys, values, marks = row
    parts = places.split("|")
    offsets, times = np.array(parts[0::2], np.int64), np.array(parts[1::2], "datetime64[ms]").astype(np.int64)
    return offsets, times, Bytes.of(keys), Bytes.of(values), list(marks) if any(mark is not None for mark in marks) else []


BATCH = Types.ROW_NAMED(["topic", "lines"], [Types.STRING(), Types.STRING()])
_ESCAPED = str.maketrans({"\n": "\ue00a", "\x1f": "\ue01f"})


def batch(topic: str, keys: list[bytes | None], values: list[bytes | None], times: list[int]) -> Row:
    """Records of one topic as one element for `sink`: UTF-8 texts, the values on one line each. A key may be None."""
    lines = [
        f"{time}\x1f{'-' if key is None else '+' + key.decode().translate(_ESCAPED)}\x1f{(value or b'').decode()}"
        for key, value, time in zip(keys, values, times, strict=True)
    ]
    return Row(topic=topic, lines="\n".join(lines))


def sink(tables: StreamTableEnvironment, stream: DataStream, topics: list[str], kafka: Mapping[str, str], prefix: str) -> TableResult:
    """Submit the job that writes batches (see `batch`) to their topics, committed with Flink's checkpoints."""
    schema = Schema.new_builder().column("topic", DataTypes.STRING()).column("lines", DataTypes.STRING()).build()
    tables.create_temporary_view("answered", tables.from_data_stream(stream, schema))
    options = {
        "connector": "kafka",
        "topic": ";".join(topics),
        **{f"properties.{key}": value for key, value in kafka.items()},
        "properties.transaction.timeout.ms": "600000",
        "key.format": "raw",
        "key.fields": "k",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": prefix,
    }
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE written (
            k BYTES, v BYTES, topic STRING NOT NULL METADATA, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
        ) WITH ({_options(options)})""")
    key = "REPLACE(REPLACE(SUBSTRING(SPLIT_INDEX(line, U&'\\001F', 1), 2), U&'\\E00A', U&'\\000A'), U&'\\E01F', U&'\\001F')"
    return tables.execute_sql(f"""
        INSERT INTO written
        SELECT CASE WHEN SPLIT_INDEX(line, U&'\\001F', 1) = '-' THEN CAST(NULL AS BYTES) ELSE CAST({key} AS BYTES) END,
               CAST(SPLIT_INDEX(line, U&'\\001F', 2) AS BYTES), topic, TO_TIMESTAMP_LTZ(CAST(SPLIT_INDEX(line, U&'\\001F', 0) AS BIGINT), 3)
        FROM answered CROSS JOIN UNNEST(SPLIT(lines, U&'\\000A')) AS r (line)""")
