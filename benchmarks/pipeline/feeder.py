"""Records at a steady rate, with little taken for it from the machine that an engine is measured on: all requests are made beforehand.

librdkafka sends the few records of each partition in a request of their own: at 10,000 events a second that is 0.41 to 0.45 of a core with
the broker's part in it, and 0.21 to 0.27 this way.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import defaultdict

from kafka.protocol.producer.produce import ProduceRequest, ProduceResponse
from kafka.record.memory_records import MemoryRecordsBuilder

from benchmarks.pipeline.topics import Feed

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
        self._answered = 0

    def run(self, rate: int) -> list[float]:
        """Send `rate` records a second; the wall-clock time of each (seconds). RuntimeError where the broker refused some."""
        sent: list[float] = []
        began = time.time()
        for place, request in enumerate(self._requests):
            if (wait := began + place * STEP / rate - time.time()) > 0:
                time.sleep(wait)
            sent += [time.time()] * min(STEP, self._rows - len(sent))
            self._socket.sendall(request)
            if select.select([self._socket], [], [], 0)[0]:  # never waited for: what is to be sent is sent in its time
                self._hear()
        while self._answered < len(self._requests):
            self._hear()
        return sent

    def close(self) -> None:
        self._socket.close()

    def _hear(self) -> None:
        came = self._socket.recv(1 << 20)
        if not came:
            raise RuntimeError("the broker has closed the connection")
        self._came += came
        while len(self._came) >= 4 and len(self._came) >= (size := 4 + struct.unpack_from(">i", self._came)[0]):
            answer = ProduceResponse.decode(bytes(self._came[:size]), version=VERSION, header=True, framed=True)
            del self._came[:size]
            self._answered += 1
            if refused := [part.error_code for topic in answer.responses for part in topic.partition_responses if part.error_code]:
                raise RuntimeError(f"the broker refused records with the errors {refused}")


def _request(topic: str, feed: Feed) -> bytes:
    builders: defaultdict[int, MemoryRecordsBuilder] = defaultdict(lambda: MemoryRecordsBuilder(2, 0, 1 << 20))
    for key, value, partition in feed.records():
        builders[partition].append(None, key.encode(), value)
    parts = []
    for partition, builder in builders.items():
        builder.close()
        parts.append(ProduceRequest.TopicProduceData.PartitionProduceData(index=partition, records=bytes(builder.buffer())))
    data = [ProduceRequest.TopicProduceData(name=topic, partition_data=parts)]
    request = ProduceRequest(transactional_id=None, acks=-1, timeout_ms=30_000, topic_data=data)
    request.with_header(correlation_id=1, client_id="feeder")
    return bytes(request.encode(version=VERSION, header=True, framed=True))
