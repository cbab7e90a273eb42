"""Memory for record batches that is used again once the broker has them."""

from __future__ import annotations

import numpy as np

from connectors.kafka.columns import UInt8

SMALL = 64 << 10  # bytes; so little is at hand anyway
STEP = 256 << 10


class Buffers:
    """Memory fresh from the system is cleared page by page at its first use, which costs more than what is written into it."""

    def __init__(self, limit: int) -> None:
        self._free: list[UInt8] = []
        self._limit, self._bytes = limit, 0

    def take(self, size: int) -> UInt8:
        """At least `size` bytes, with whatever they hold."""
        if size <= SMALL:
            return np.empty(size, np.uint8)
        for place, one in enumerate(self._free):
            if len(one) >= size:
                self._bytes -= len(one)
                return self._free.pop(place)
        return np.empty(-(-size // STEP) * STEP, np.uint8)

    def give(self, one: UInt8) -> None:
        """Take back what nobody reads any more; at most `limit` bytes are kept."""
        if len(one) > SMALL and self._bytes + len(one) <= self._limit:
            self._free.append(one)
            self._bytes += len(one)
