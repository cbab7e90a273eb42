"""Records at a steady rate, with little taken for it from the machine that an engine is measured on: all requests are made beforehand.

librdkafka sends the few records of each partition in a request of their own: at 10,000 events a second that is 0.46 of a core with the
broker's part in it, and 0.16 to 0.3 this way.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
import orjson
import pyarrow as pa
from kafka.protocol.producer.produce import ProduceRequest, ProduceResponse
from kafka.record.memory_records import MemoryRecordsBuilder

from benchmarks.pipeline.topics import PARTITIONS, Feed

STEP = 50  # records of a request
VERSION = 9


class Feeder:
    """The records of a feed for the one broker at `bootstrap`, in their order: one connection, whose requests a broker answers in turn."""

    def __init__(self, bootstrap: str, topic: str, feed: Feed) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = [_request(topic, feed.slice(start, STEP)) for start in range(0, len(feed), STEP)]
        self._rows = len(feed)
        self._came = bytearray()

    def run(self, rate: int) -> list[float]:
        """Send `rate` records a second; the wall-clock time of each (seconds). RuntimeError where the broker refused some."""
        sent: list[float] = []
        began = time.time()
        for place, request in enumerate(self._requests):
            if (wait := began + place * STEP / rate - time.time()) > 0:
                time.sleep(wait)
            sent += [time.time()] * min(STEP, self._rows - len(sent))
            self._socket.sendall(request)
            self._hear(socket.MSG_DONTWAIT)
        self._check()
        return sent

    def close(self) -> None:
        self._socket.close()

    def _hear(self, flags: int = 0) -> None:
        try:
            self._came += self._socket.recv(1 << 20, flags)
        except BlockingIOError:
            pass

    def _answers(self) -> Iterator[bytes]:
        at = 0
        while at + 4 <= len(self._came) and at + 4 + (size := struct.unpack_from(">i", self._came, at)[0]) <= len(self._came):
            yield bytes(self._came[at : at + 4 + size])
            at += 4 + size

    def _check(self) -> None:
        while len(answers := list(self._answers())) < len(self._requests):
            self._hear()
        for answer in answers:
            for topic in ProduceResponse.decode(answer, version=VERSION, header=True, framed=True).responses:
                if refused := [part.error_code for part in topic.partition_responses if part.error_code]:
                    raise RuntimeError(f"the broker refused records with the errors {refused}")


def _request(topic: str, feed: Feed) -> bytes:
    keys = feed.table.column(feed.source.key).cast(pa.string()).to_pylist()
    rows = feed.table.to_pylist()
    parts = []
    for partition in range(PARTITIONS):
        builder = MemoryRecordsBuilder(2, 0, 1 << 20)
        for row in np.flatnonzero(feed.partition == partition):
            builder.append(None, keys[row].encode(), orjson.dumps(rows[row]))
        if builder.next_offset():
            builder.close()
            parts.append(ProduceRequest.TopicProduceData.PartitionProduceData(index=partition, records=bytes(builder.buffer())))
    data = [ProduceRequest.TopicProduceData(name=topic, partition_data=parts)]
    request = ProduceRequest(transactional_id=None, acks=-1, timeout_ms=30_000, topic_data=data)
    request.with_header(correlation_id=1, client_id="feeder")
    return bytes(request.encode(version=VERSION, header=True, framed=True))
