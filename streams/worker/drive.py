"""One step under supervision: waits for its turn, drives, and begins anew after a failure. A Faust agent works when a channel tells it to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from connectors.errors import FencedError
from streams.errors import DriftlineError, StateError
from streams.sensors import Sensor
from streams.worker.engine import Worker
from streams.worker.membership import Membership
from streams.worker.recovery import Stopped

log = logging.getLogger(__name__)
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class Drive:
    """`make` builds a fresh worker with a fresh step: after a failure the old one's state is ahead of what is committed."""

    def __init__(self, step: str, make: Callable[[], Worker], membership: Membership, sensor: Sensor) -> None:
        self.step, self._make, self._membership, self._sensor = step, make, membership, sensor
        self._stopping = False
        self._worker: Worker | None = None
        self._reading = ThreadPoolExecutor(1, f"{step}-read")
        self._working = ThreadPoolExecutor(1, f"{step}-work")
        self._failure: asyncio.Future[None] | None = None

    async def run(self, channel: Any) -> None:
        """Until `stop`: wait in a thread for what comes, and tell the channel."""
        loop = asyncio.get_running_loop()
        self._membership.start()
        failures = 0
        while not self._stopping:
            if not self._membership.is_active:
                log.info("%s stands by: another worker drives this step; this one takes over when it ends", self.step)
                self._sensor.on_state(self.step, "standby", "another worker drives this step; this one takes over when it ends")
                while not self._stopping and not await loop.run_in_executor(self._reading, self._membership.wait, 0.5):
                    pass
                if self._stopping:
                    break
                log.info("%s: this worker drives the step from now on", self.step)
            try:
                await self._drive_once(loop, channel)
                failures = 0
            except FencedError as error:
                log.warning("%s: %s", self.step, error)
                self._sensor.on_state(self.step, "standby", error.message)
                await self._pause(PAUSES_S[2])
            except StateError:
                raise  # trying again would meet the same
            except (DriftlineError, OSError, TimeoutError) as error:
                pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
                failures += 1
                log.warning("%s failed and begins anew in %s s: %s", self.step, pause, error)
                self._sensor.on_state(self.step, "failed", f"{error}; begins anew in {pause} s")
                await self._pause(pause)

    async def work(self, worker: Worker) -> None:
        """The agent's part: one message of the channel."""
        if worker is not self._worker or self._failure is None or self._failure.done():
            return  # left over from before a failure; it will be read again
        try:
            await asyncio.get_running_loop().run_in_executor(self._working, worker.work)
        except asyncio.CancelledError:
            # Faust takes its agents back when it loses its own group for a moment (a busy machine); the channel's old reader would
            # stay in the way of a new one, so the process ends and is started again.
            if not self._stopping and not self._failure.done():
                self._failure.set_exception(RuntimeError("the agent was taken back in a rebalance; this process begins anew"))
            raise
        except BaseException as error:
            if not self._failure.done():
                self._failure.set_exception(error)

    async def stop(self) -> None:
        self._stopping = True
        if self._worker is not None:
            self._worker.stop()

    async def _drive_once(self, loop: asyncio.AbstractEventLoop, channel: Any) -> None:
        worker = self._worker = self._make()
        self._failure = loop.create_future()
        try:
            await loop.run_in_executor(self._working, worker.open)
            while not self._stopping and self._membership.is_active:
                due = await loop.run_in_executor(self._reading, worker.wait, worker.patience)
                if self._failure.done():
                    break
                if due:
                    await self._send(channel, worker)
            if self._failure.done():
                self._failure.result()
        except Stopped:
            pass
        finally:
            self._worker = None
            worker.stop()  # with enough to do its work would not end
            if not self._failure.done():
                self._failure.set_result(None)
            # after the work that is under way: it still uses the clients
            await loop.run_in_executor(self._working, worker.close)
            self._sensor.on_state(self.step, "stopped")

    async def _send(self, channel: Any, worker: Worker) -> None:
        """Faust empties its channels when it loses its own group, and ends who waits to send; the worker is told again."""
        try:
            await channel.send(value=worker)
        except asyncio.CancelledError:
            if self._stopping:
                raise

    async def _pause(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            if self._stopping:
                return
            await asyncio.sleep(0.1)

    def close(self) -> None:
        self._membership.stop()
        self._reading.shutdown(wait=True)
        self._working.shutdown(wait=True)
