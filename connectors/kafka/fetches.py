"""Fetching with one trip to the thread of the network in place of two: asking and waiting for the answer are one task there."""

from __future__ import annotations

from typing import Any

import kafka.errors
from kafka.consumer.fetcher import Fetcher
from kafka.future import Future

from connectors.kafka import seams

assert seams  # imported for its check


class Fetches(Fetcher):  # type: ignore[misc,unused-ignore]
    """Takes the place of kafka-python's class of a consumer that exists: `consumer._fetcher.__class__ = Fetches`."""

    def fetch_records(
        self, max_records: int | None = None, update_offsets: bool = True, timeout_ms: float | None = None
    ) -> tuple[dict[Any, Any], bool]:
        """What has come, or comes in `timeout_ms`; and whether nothing was there to wait for. As the method it stands in for."""
        found, partial = self.fetched_records(max_records, update_offsets=update_offsets)
        if found:
            if not partial:
                self.send_fetches()
            return found, False
        if not self._net.run(self._answer, timeout_ms):
            return found, True
        return self.fetched_records(max_records, update_offsets=update_offsets)[0], False

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
