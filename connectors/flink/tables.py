"""What of a job is SQL: what wakes its readers, and the sink, where batches become Kafka records in the JVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyflink.common import Row, Types
from pyflink.datastream import DataStream
from pyflink.table import DataTypes, Schema, StreamTableEnvironment, TableResult

from connectors.kafka.columns import Bytes
from streams.types import Int64


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}' = '{value}'" for name, value in options.items())


def ticks(tables: StreamTableEnvironment, keys: Sequence[int]) -> DataStream:
    """For ever about one element a second for each key, drawn at random: what wakes readers. Rows of one number, the key's place."""
    options = {
        "connector": "datagen",
        "rows-per-second": str(len(keys)),
        "fields.place.kind": "random",
        "fields.place.min": "0",
        "fields.place.max": str(len(keys) - 1),
    }
    tables.execute_sql(f"CREATE TEMPORARY TABLE ticks (place INT) WITH ({_options(options)})")
    return tables.to_data_stream(tables.from_path("ticks"))


BATCH = Types.ROW_NAMED(["topic", "lines"], [Types.STRING(), Types.STRING()])
LINE, PART = "\n", "\x1f"
_ESCAPED = ((LINE, "\ue00a"), (PART, "\ue01f"))  # in keys


def batch(topic: str, keys: Bytes, values: Bytes, times: Int64) -> Row:
    """Records of one topic as one element for `sink`: UTF-8 texts, each with its time and key on one line. Keys may be null."""
    key = keys.to_arrow(pa.string())
    for character, instead in _ESCAPED:
        key = pc.replace_substring(key, character, instead)
    key = pc.binary_join_element_wise("+", key, "").fill_null("-")
    lines = pc.binary_join_element_wise(pa.array(times).cast(pa.string()), key, values.to_arrow(pa.string()).fill_null(""), PART)
    return Row(topic=topic, lines=pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), LINE)[0].as_py())


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
