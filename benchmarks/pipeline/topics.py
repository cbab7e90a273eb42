"""The harness's own way in and out of Kafka: confluent-kafka, so that no engine is measured with its own client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
import pyarrow as pa
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.pipeline.workload import COLUMNS

PARTITIONS = 4


def create(bootstrap: str, *names: str) -> None:
    """Topics stamped by the broker's clock on append: throughput is read off those stamps."""
    settings = {"message.timestamp.type": "LogAppendTime"}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1, config=settings) for name in names]).values():
        future.result()


def produce(bootstrap: str, topic: str, payments: pa.Table, rate: int | None = None) -> list[float]:
    """Write the payments, keyed by card, to the partition of the card; the wall-clock time of each (seconds)."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 1 if rate else 50,
            "compression.type": "lz4",
            "enable.idempotence": True,  # or a batch that is tried again comes after later ones, and the rows are other rows
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    sent: list[float] = []
    began = time.time()
    for start in range(0, len(payments), 100 if rate else 10_000):
        chunk = payments.slice(start, 100 if rate else 10_000).to_pylist()
        if rate and (wait := began + start / rate - time.time()) > 0:
            producer.flush(0)
            time.sleep(wait)
        for payment in chunk:
            sent.append(time.time())
            producer.produce(topic, key=payment["card"], value=orjson.dumps(payment), partition=int(payment["card"][5:10]) % PARTITIONS)
        producer.poll(0)
    producer.flush()
    return sent


@dataclass
class Rows:
    """What an engine wrote: the rows' bytes, append stamps (ms) and the wall-clock time at which each became visible."""

    values: list[bytes]
    stamps: list[int]
    seen: list[float]

    def table(self) -> pa.Table:
        rows = [orjson.loads(value) for value in self.values]
        return pa.table({name: [row[name] for row in rows] for name in ("i", *COLUMNS)})


def await_quiet(bootstrap: str, topic: str, records: int, over: Callable[[], bool]) -> None:
    """Wait until the topic has grown by so many records and rests, without reading it: a reader here would take a core from the engine."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"bench-{time.time_ns()}", "isolation.level": "read_uncommitted"})
    before, since = 0, time.time()
    try:
        while not over():
            now = sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(PARTITIONS))
            if now != before:
                before, since = now, time.time()
            if before and time.time() - since > (2 if before >= records else 15):
                return
            time.sleep(0.25)
    finally:
        consumer.close()


def follow(bootstrap: str, topic: str, rows: Rows) -> Iterator[int]:
    """Collect what is committed; yields how many rows there are after each poll."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"bench-{time.time_ns()}", "auto.offset.reset": "earliest", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "fetch.wait.max.ms": 5, "fetch.queue.backoff.ms": 1})  # fmt: skip
    consumer.subscribe([topic])
    try:
        while True:
            first = consumer.poll(0.02)  # `consume` alone would wait until it has as many as it was asked for
            for message in [] if first is None else [first, *consumer.consume(5000, timeout=0)]:
                if message.error() is not None or message.value() is None or ("pathway_diff", b"-1") in (message.headers() or ()):
                    continue
                for value in message.value().split(b"\n"):  # Pathway writes the rows one commit gave a card as one record
                    rows.values.append(value)
                    rows.stamps.append(message.timestamp()[1])
                    rows.seen.append(time.time())
            yield len(rows.values)
    finally:
        consumer.close()
