"""What of a job is SQL: what wakes its readers, and the sink, where batches become Kafka records in the JVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pyflink.common import Row, Types
from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment, TableResult

from connectors.kafka.columns import Bytes
from streams.types import Int64


def listed(options: Mapping[str, str]) -> str:
    return ", ".join(f"{_text(name)} = {_text(value)}" for name, value in options.items())


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def ticks(tables: StreamTableEnvironment, keys: Sequence[int]) -> DataStream:
    """For ever about one element a second for each key, drawn at random: what wakes readers. Rows of one number, the key's place."""
    options = {
        "connector": "datagen",
        "rows-per-second": str(len(keys)),
        "fields.place.kind": "random",
        "fields.place.min": "0",
        "fields.place.max": str(len(keys) - 1),
    }
    tables.execute_sql(f"CREATE TEMPORARY TABLE ticks (place INT) WITH ({listed(options)})")
    return tables.to_data_stream(tables.from_path("ticks"))


_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
# key, whether there is one, value, time; tuples, for to make a Row of each record took most of the time of `batch`
_RECORD = Types.TUPLE([_BYTES, Types.BOOLEAN(), _BYTES, Types.LONG()])
BATCH = Types.ROW_NAMED(["topic", "records"], [Types.STRING(), Types.OBJECT_ARRAY(_RECORD)])


def batch(topic: str, keys: Bytes, values: Bytes, times: Int64) -> Row:
    """Records of one topic as one element for `sink`. Keys may be null, values not; times in ms, those before 1970, which Kafka's Java
    client refuses, as 0."""
    stamps = np.maximum(times, 0).tolist()
    return Row(topic, list(zip([key or b"" for key in keys.to_list()], (~keys.null).tolist(), values.to_list(), stamps, strict=True)))


def sink(tables: StreamTableEnvironment, stream: DataStream, topics: list[str], kafka: Mapping[str, str], prefix: str) -> TableResult:
    """Submit the job that writes batches (see `batch`) to their topics, committed with Flink's checkpoints."""
    tables.create_temporary_view("answered", tables.from_data_stream(stream))
    options = {
        "connector": "kafka",
        "topic": ";".join(topics),
        **{f"properties.{key}": value for key, value in kafka.items()},
        "properties.transaction.timeout.ms": "600000",
        "properties.max.request.size": str(16 << 20),  # a topic says what it takes; the client's own limit is 1 MB
        # nothing is seen before the checkpoint, which sends what still waits: few large batches
        "properties.linger.ms": "100",
        "properties.batch.size": str(512 << 10),
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
        ) WITH ({listed(options)})""")
    return tables.execute_sql("""
        INSERT INTO written
        SELECT CASE WHEN keyed THEN k END, v, topic, TO_TIMESTAMP_LTZ(ms, 3)
        FROM answered CROSS JOIN UNNEST(records) AS r (k, keyed, v, ms)""")
