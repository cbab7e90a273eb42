"""Records a second in and out of Kafka: our columnar client, kafka-python and confluent-kafka on the same topic of one broker.

    python -m benchmarks.clients [--rows 1000000] [--bootstrap HOST:PORT] [--json]

JSON events of about 200 bytes, four partitions. Every reader counts what it read, and the sum of the amounts of those that parse
must be the same. Broker and client share the machine: read the figures as ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.broker import EmbeddedBroker
from connectors.formats.json import decode, encode
from connectors.kafka import Bytes, ColumnarConsumer, ColumnarProducer, TopicSettings, ensure_topics
from streams.types import Type

SCHEMA = {
    "card": Type.STRING,
    "amount": Type.DOUBLE,
    "time": Type.TIMESTAMP,
    "merchant": Type.STRING,
    "country": Type.STRING,
    "note": Type.STRING,
}
PARTITIONS = 4
BATCH = 50_000


def events(rows: int) -> tuple[Bytes, Bytes, Any]:
    """Values, keys and timestamps."""
    rng = np.random.default_rng(7)
    cards = pa.array([f"c{i:05d}" for i in range(10_000)]).take(pa.array(rng.integers(0, 10_000, rows)))
    times = np.sort(rng.integers(0, 864_000_000, rows)) + 1_700_000_000_000
    table = pa.table(
        {
            "card": cards,
            "amount": np.round(rng.gamma(2, 40, rows), 2),
            "time": times,
            "merchant": pa.array([f"m{i:04d}" for i in range(3_000)]).take(pa.array(rng.integers(0, 3_000, rows))),
            "country": pa.array(["DE", "FR", "NL", "US"]).take(pa.array(rng.integers(0, 4, rows))),
            "note": pa.array(["x" * 90]).take(pa.array(np.zeros(rows, np.int64))),
        }
    )
    return encode(table), Bytes.from_arrow(cards), times


def timed(rows: int, work: Callable[[], Any]) -> dict[str, Any]:
    cpu, at = time.process_time(), time.perf_counter()
    answer = work()
    took, used = time.perf_counter() - at, time.process_time() - cpu
    return {
        "rows_per_second": round(rows / took),
        "rows_per_cpu_second": round(rows / used),
        "cores": round(used / took, 2),
        "answer": answer,
    }


def out_ours(bootstrap: str, topic: str, made: tuple[Bytes, Bytes, Any], codec: str, transactional: bool) -> None:
    values, keys, times = made
    with ColumnarProducer(
        {"bootstrap_servers": bootstrap, "compression_type": codec}, f"bench-{topic}" if transactional else None
    ) as producer:
        for first in range(0, len(values), BATCH):
            if transactional:
                producer.begin()
            for partition in range(PARTITIONS):
                rows = slice(first + partition, first + BATCH, PARTITIONS)
                producer.send(topic, partition, times[rows], keys.take(rows), values.take(rows))
            if transactional:
                producer.send_positions({(topic, 0): (first, "")}, f"bench-{topic}")
                producer.commit()
        producer.flush()


def out_kafka_python(bootstrap: str, topic: str, made: tuple[Bytes, Bytes, Any], codec: str) -> None:
    import kafka

    values, keys, times = made
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        batch_size=1 << 18,
        linger_ms=5,
        max_in_flight_requests_per_connection=5,
    )
    for i in range(len(values)):
        producer.send(topic, values[i], keys[i], partition=i % PARTITIONS, timestamp_ms=int(times[i]))
    producer.flush()
    producer.close()


def out_confluent(bootstrap: str, topic: str, made: tuple[Bytes, Bytes, Any], codec: str) -> None:
    import confluent_kafka

    values, keys, times = made
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": codec,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for i in range(len(values)):
        while True:
            try:
                producer.produce(topic, values[i], keys[i], i % PARTITIONS, timestamp=int(times[i]))
                break
            except BufferError:
                producer.poll(0.01)
        if i % 10_000 == 0:
            producer.poll(0)
    producer.flush()


def in_ours(bootstrap: str, topic: str, parse: bool) -> tuple[int, float | None]:
    count, total = 0, 0.0
    with ColumnarConsumer({"bootstrap_servers": bootstrap}) as consumer:
        parts = [(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(parts)
        ends = consumer.end_offsets()
        while consumer.positions() != ends:
            for records in consumer.poll(1_000, 100_000):
                count += len(records)
                if parse:
                    total += pc.sum(decode(records.values, SCHEMA).table.column("amount")).as_py()
    return count, round(total, 2) if parse else None


def in_kafka_python(bootstrap: str, topic: str, rows: int, parse: bool) -> tuple[int, float | None]:
    import kafka

    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest")
    consumer.assign([kafka.TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    count, total = 0, 0.0
    while count < rows:
        for found in consumer.poll(1_000, 5_000).values():
            count += len(found)
            if parse:
                total += sum(orjson.loads(record.value)["amount"] for record in found)
    consumer.close()
    return count, round(total, 2) if parse else None


def in_confluent(bootstrap: str, topic: str, rows: int, parse: bool) -> tuple[int, float | None]:
    import confluent_kafka

    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "isolation.level": "read_committed"})
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    count, total = 0, 0.0
    while count < rows:
        found = consumer.consume(5_000, 1)
        count += len(found)
        if parse:
            total += sum(orjson.loads(record.value())["amount"] for record in found)
    consumer.close()
    return count, round(total, 2) if parse else None


@contextlib.contextmanager
def broker(bootstrap: str | None) -> Iterator[str]:
    if bootstrap:
        yield bootstrap
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(Path(folder)) as embedded:
        yield embedded.bootstrap


def run(rows: int, bootstrap: str | None) -> dict[str, Any]:
    made = events(rows)
    peers = max(rows // 5, 1)  # the slower ones get a fifth: rates, not totals
    few = (made[0].take(slice(0, peers)), made[1].take(slice(0, peers)), made[2][:peers])
    warm = (made[0].take(slice(0, 1_000)), made[1].take(slice(0, 1_000)), made[2][:1_000])
    found: list[dict[str, Any]] = []
    with broker(bootstrap) as address:

        def topic() -> str:
            name = f"bench-{uuid.uuid4().hex[:8]}"
            ensure_topics({"bootstrap_servers": address}, {name: TopicSettings(PARTITIONS)})
            return name

        def add(client: str, what: str, count: int, work: Callable[[], Any]) -> None:
            found.append({"client": client, "what": what, "rows": count, **timed(count, work)})

        out_ours(address, first := topic(), warm, "none", True)
        in_ours(address, first, True)
        for codec in ("none", "lz4"):
            for transactional in (False, True):
                name = topic()
                what = f"out, {codec}" + (", transactions of 50,000 with positions" if transactional else "")
                add("driftline", what, rows, lambda name=name, codec=codec, tx=transactional: out_ours(address, name, made, codec, tx))
            fewer, slower = topic(), topic()
            add("confluent-kafka", f"out, {codec}", peers, lambda name=fewer, codec=codec: out_confluent(address, name, few, codec))
            add("kafka-python", f"out, {codec}", peers, lambda name=slower, codec=codec: out_kafka_python(address, name, few, codec))
            for parse in (False, True):
                what = f"in, {codec}" + (", JSON parsed" if parse else "")
                add("driftline", what, rows, lambda name=name, parse=parse: in_ours(address, name, parse))
                add("confluent-kafka", what, peers, lambda name=fewer, parse=parse: in_confluent(address, name, peers, parse))
                add("kafka-python", what, peers, lambda name=fewer, parse=parse: in_kafka_python(address, name, peers, parse))
                ours = in_ours(address, fewer, parse)
                assert ours == found[-1]["answer"] == found[-2]["answer"], (ours, found[-2:])
    for one in found:
        one.pop("answer")
    names = ("kafka-python", "confluent-kafka", "numba", "numpy", "pyarrow", "orjson", "crc32c")
    return {
        "rows": found,
        "bytes_per_record": round(made[0].nbytes / rows),
        "versions": {name: importlib.metadata.version(name) for name in names} | {"python": platform.python_version()},
        "cores": os.cpu_count(),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--bootstrap", help="a broker that runs already; otherwise one is started")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = options.parse_args()
    result = run(chosen.rows, chosen.bootstrap)
    if chosen.json:
        print(json.dumps(result, indent=2))
        return
    for one in result["rows"]:
        print(f"{one['client']:16} {one['what']:52} {one['rows_per_second']:>10,}/s  {one['rows_per_cpu_second']:>10,} a CPU second")


if __name__ == "__main__":
    main()
