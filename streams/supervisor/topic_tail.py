"""The newest records of low-rate topics (deployments, drift, runs), read_committed, as plain values."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from connectors.kafka.consumer import ColumnarConsumer
from streams.errors import BrokerError


def tail(consumer: ColumnarConsumer, topic: str, most: int = 500, seconds: float = 5.0) -> list[tuple[str, Mapping[str, Any]]]:
    """Up to `most` offsets' worth of records from the end of partition 0: key and JSON value; records without a value are left out."""
    part = (topic, 0)
    end = consumer.end_offsets([part])[part]
    begin = max(consumer.beginning_offsets([part])[part], end - most)
    consumer.assign([part], {part: begin})
    found: list[tuple[str, Mapping[str, Any]]] = []
    deadline = time.monotonic() + seconds
    while consumer.position(part) < end:
        if time.monotonic() > deadline:
            raise BrokerError(f"{topic} could not be read to its end within {seconds:.0f} s; the broker is busy or stopping")
        for records in consumer.poll(200):
            for row in range(len(records)):
                value = records.values[row]
                if value is not None:
                    found.append(((records.keys[row] or b"").decode(), json.loads(value)))
    return found
