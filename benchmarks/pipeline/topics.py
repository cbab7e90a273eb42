"""The harness's own way in and out of Kafka: confluent-kafka, so that no engine is measured with its own client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.sections import Source
from streams.types import Int64, Type

PARTITIONS = 4


@dataclass(frozen=True)
class Feed:
    """Records for the topic of a source: the table's rows as JSON, and the partition of each."""

    source: Source
    table: pa.Table
    partition: Int64

    def __len__(self) -> int:
        return len(self.table)

    def slice(self, start: int, rows: int | None = None) -> Feed:
        end = None if rows is None else start + rows
        return Feed(self.source, self.table.slice(start, rows), self.partition[start:end])

    def records(self) -> Iterator[tuple[str, bytes, int]]:
        """Key, value and partition of each."""
        keys = self.table.column(self.source.key).cast(pa.string()).to_pylist()
        for key, row, partition in zip(keys, self.table.to_pylist(), self.partition.tolist(), strict=True):
            yield key, orjson.dumps(row), partition

    def closing(self, after_ms: int) -> Feed:
        """One record for each partition, so late in event time that all of this feed is behind the watermark."""
        last, key, time = self.table.slice(len(self.table) - 1).to_pylist()[0], str(self.source.key), self.source.time
        text = self.source.fields[key] is Type.STRING
        rows = [{**last, "i": -1 - p, key: f"closing-{p}" if text else -1 - p, time: last[time] + after_ms} for p in range(PARTITIONS)]
        return Feed(self.source, pa.Table.from_pylist(rows, self.table.schema), np.arange(PARTITIONS))


def create(bootstrap: str, *names: str) -> None:
    """Topics stamped by the broker's clock on append: throughput is read off those stamps."""
    settings = {"message.timestamp.type": "LogAppendTime"}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1, config=settings) for name in names]).values():
        future.result()


def produce(bootstrap: str, topic: str, feed: Feed) -> None:
    """Write the records, as fast as it goes."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "compression.type": "lz4",
            "enable.idempotence": True,  # or a batch that is tried again comes after later ones, and the rows are other rows
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    for start in range(0, len(feed), 10_000):
        for key, value, partition in feed.slice(start, 10_000).records():
            producer.produce(topic, key=key, value=value, partition=partition)
        producer.poll(0)
    producer.flush()


@dataclass
class Rows:
    """What an engine wrote: the rows' bytes, append stamps (ms) and the wall-clock time at which each became visible."""

    values: list[bytes]
    stamps: list[int]
    seen: list[float]

    def table(self, columns: Sequence[str]) -> pa.Table:
        rows = [orjson.loads(value) for value in self.values]
        return pa.table({name: [row[name] for row in rows] for name in ("i", *columns)})


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
                         "enable.auto.commit": False, "fetch.wait.max.ms": 100, "fetch.queue.backoff.ms": 1})  # fmt: skip
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
