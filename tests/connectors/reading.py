"""Read topics to their ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from connectors.kafka import Records


def read_all(consumer: Any, max_records: int = 100_000, timeout_s: float = 30) -> Iterator[Records]:
    """Everything up to the ends as they are now."""
    ends = consumer.end_offsets()
    deadline = time.monotonic() + timeout_s
    while any(consumer.position(part) < end for part, end in ends.items()):
        yield from consumer.poll(100, max_records)
        assert time.monotonic() < deadline, f"stands at {consumer.positions()}, wished {ends}"
