"""Fetching with one trip to the thread of the network in place of two: asking and waiting for the answer are one task there."""

from __future__ import annotations

import time
from typing import Any

import kafka.errors
from kafka.consumer.fetcher import Fetcher
from kafka.future import Future

from connectors.kafka import seams

assert seams  # imported for its check
WAIT_MS = 100  # so long a broker waits for records to answer with; what else it is asked waits behind
IDLE_WAIT_MS = 500  # the same once nothing has come for IDLE_S
IDLE_S = 2.0


class Fetches(Fetcher):  # type: ignore[misc,unused-ignore]
    """Takes the place of kafka-python's class of a consumer that exists: `consumer._fetcher.__class__ = Fetches`."""

    _quiet_since: float | None = None

    def fetch_records(
        self, max_records: int | None = None, update_offsets: bool = True, timeout_ms: float | None = None
    ) -> tuple[dict[Any, Any], bool]:
        """What has come, or comes in `timeout_ms`; and whether nothing was there to wait for. As the method it stands in for."""
        found, partial = self.fetched_records(max_records, update_offsets=update_offsets)
        if found and not partial:
            self.config["fetch_max_wait_ms"] = WAIT_MS
            self.send_fetches()
        if not found:
            self.config["fetch_max_wait_ms"] = self._wait_ms()
            if not self._net.run(self._answer, timeout_ms):
                return found, True
            found = self.fetched_records(max_records, update_offsets=update_offsets)[0]
        if found:
            self._quiet_since = None
        return found, False

    def _wait_ms(self) -> int:
        """Long only where no partition is paused: one that is resumed would wait for the answer that was asked for without it."""
        now = time.monotonic()
        if self._quiet_since is None or self._subscriptions.paused_partitions():
            self._quiet_since = now
        return IDLE_WAIT_MS if now - self._quiet_since > IDLE_S else WAIT_MS

    async def _answer(self, timeout_ms: float | None) -> bool:
        """Ask every broker that is not asked already, and wait for the first answer; False when there is none to come."""
        await self._send_fetches_async()
        coming = [*self._fetch_futures, *([self._reset_task] if self._reset_task is not None and not self._reset_task.is_done else [])]
        if not coming:
            return False
        first = Future()
        for one in coming:
            one.add_both(lambda _: None if first.is_done else first.success(None))
        try:
            await self._manager.wait_for(first, timeout_ms)
        except kafka.errors.KafkaTimeoutError:
            pass
        return True
