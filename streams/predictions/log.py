"""Topics read and written outside a worker: ranges of rows as tables, and low-rate records as JSON values."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from connectors.formats import json as json_format
from connectors.kafka.columns import Bytes, Records
from streams.errors import BrokerError
from streams.events.decode import decode, nothing
from streams.step import Input
from streams.types import OffsetRange, Schema
from streams.worker.connection import Connection, Consumer, Part
from streams.worker.replay import Reader, poll

QUIET_S = 30.0


@dataclass(frozen=True)
class Record:
    """One low-rate record; `value` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None
    value: dict[str, Any] | None


def whole(connection: Connection, topic: str) -> tuple[OffsetRange, ...]:
    """Everything in a topic now, partition by partition."""
    consumer = connection.consumer()
    try:
        parts = [(topic, partition) for partition in consumer.partitions(topic)]
        starts, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        return tuple(OffsetRange(*part, starts[part], ends[part]) for part in parts)
    finally:
        consumer.close()


def chunks(connection: Connection, ranges: Iterable[OffsetRange]) -> Generator[Records, None, None]:
    """The records of these ranges as they come: each partition in order. BrokerError when the log gives nothing for 30 s."""
    wanted: dict[Part, OffsetRange] = {(one.topic, one.partition): one for one in ranges if one.end > one.start}
    if not wanted:
        return
    consumer = connection.consumer()
    try:
        consumer.assign(list(wanted), {part: one.start for part, one in wanted.items()})
        heard = time.monotonic()
        while wanted:
            for records in poll(consumer, 200):
                part = (records.topic, records.partition)
                if part in wanted:
                    yield records.take(records.offsets < wanted[part].end)
                    heard = time.monotonic()  # what the reader did with them meanwhile is not the log's silence
            done = [part for part, one in wanted.items() if consumer.position(part) >= one.end]
            for part in done:
                del wanted[part]
            if done:
                consumer.pause(done)
            if time.monotonic() - heard > QUIET_S:
                raise BrokerError(f"the log gives nothing more of {', '.join(str(one) for one in wanted.values())}.")
    finally:
        consumer.close()


def rows(connection: Connection, ranges: Iterable[OffsetRange], reader: Reader) -> pa.Table:
    """The rows of ranges of one source, read as the streams read it: what they refused is not there."""
    found = [reader.decode(part).table for one in sorted(ranges, key=lambda one: one.partition) for part in chunks(connection, [one])]
    return pa.concat_tables(found) if found else nothing(reader.input.schema)


def table(connection: Connection, ranges: Iterable[OffsetRange], schema: Schema, time: str = "_timestamp") -> pa.Table:
    """The rows of these ranges, all of one topic, ordered by partition and offset, with the meta columns; what cannot be read is left out."""
    found: list[pa.Table] = []
    chosen = sorted(ranges, key=lambda one: one.partition)
    for one in chosen:
        source = Input(one.topic, one.topic, schema, time)
        found += [decode(records, source, json_format.decode, strict=False).table for records in chunks(connection, [one])]
    return pa.concat_tables(found) if found else nothing(schema)


def records(connection: Connection, topic: str) -> list[Record]:
    """Everything in a low-rate topic now, in order within each partition."""
    return [record for part in chunks(connection, whole(connection, topic)) for record in _records(part)]


def _records(part: Records) -> Iterator[Record]:
    for row in range(len(part.offsets)):
        key, value = part.keys[row], part.values[row]
        if value is None and any(name == "driftline-watermark" for name, _ in part.headers[row] or ()):
            continue
        text = key.decode("utf-8", "replace") if key is not None else None
        yield Record(
            part.topic, part.partition, int(part.offsets[row]), int(part.timestamps[row]), text, orjson.loads(value) if value else None
        )


def append(
    connection: Connection, topic: str, values: Sequence[tuple[str, Mapping[str, Any] | None, int]], transactional_id: str | None = None
) -> None:
    """Write (key, value, timestamp in ms) to partition 0 and wait until it is there; with a transactional id, all or nothing."""
    producer = connection.producer(transactional_id)
    try:
        if transactional_id is not None:
            producer.begin()
        keys = Bytes.of([key.encode() for key, _, _ in values])
        texts = Bytes.of([orjson.dumps(value) if value is not None else None for _, value, _ in values])
        producer.send(topic, 0, np.array([at for _, _, at in values], np.int64), keys, texts)
        if transactional_id is not None:
            producer.commit()
        else:
            producer.flush()
    finally:
        producer.close()


class Follower:
    """Low-rate topics from their beginning, and on as they grow."""

    def __init__(self, connection: Connection, topics: Sequence[str]) -> None:
        self._consumer: Consumer = connection.consumer()
        parts = [(topic, partition) for topic in topics for partition in self._consumer.partitions(topic)]
        if not parts:
            self._consumer.close()
            raise BrokerError(f"there are no topics {', '.join(topics)}; start the project with: driftline up")
        self._consumer.assign(parts)
        self._ends = self._consumer.end_offsets(parts)

    def poll(self, timeout_ms: int = 200) -> list[Record]:
        return [record for part in self._consumer.poll(timeout_ms) for record in _records(part)]

    @property
    def caught_up(self) -> bool:
        """Everything that was there when following began has been given."""
        return all(self._consumer.position(part) >= end for part, end in self._ends.items())

    def close(self) -> None:
        self._consumer.close()
