"""A loop in a thread beside a Faust app: one at a time over all processes, begun anew after a failure."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import faust

from streams.errors import DriftlineError
from streams.sensors import Sensor

_log = logging.getLogger(__name__)
PAUSE_S = 2.0
STOP_S = 10.0


class Loop(Protocol):
    def run(self, stop: threading.Event) -> None: ...
    def close(self) -> None: ...


@contextmanager
def alone(lock: Path, stop: threading.Event) -> Iterator[bool]:
    """Wait for a file lock until `stop`; says whether it is held. It falls with the process, however that ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        while not stop.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(PAUSE_S / 4)
                continue
            yield True
            return
        yield False


def keep_running(make: Callable[[], Loop], stop: threading.Event, name: str, lock: Path, sensor: Sensor) -> None:
    """Until `stop`, in one process at a time; what fails is logged and begun anew."""
    sensor.on_state(name, "standby", "waits while another process runs this step")
    with alone(lock, stop):
        while not stop.is_set():
            loop = None
            try:
                loop = make()
                sensor.on_state(name, "running")
                loop.run(stop)
            except Exception as error:  # a thread that ended for it would be missed by nobody
                expected = isinstance(error, (DriftlineError, OSError))
                reason = str(error) if expected else f"{type(error).__name__}: {error}"
                _log.warning("%s failed and begins anew: %s", name, reason, exc_info=not expected)
                sensor.on_state(name, "failed", f"{reason}; begins anew in {PAUSE_S} s")
                stop.wait(PAUSE_S)
            finally:
                if loop is not None:
                    loop.close()
    sensor.on_state(name, "stopped")


def serve(app: Any, name: str, make: Callable[[], Loop], lock: Path, sensor: Sensor) -> None:
    """Register a service on a Faust app that keeps the loop running in a thread while the app runs."""
    stop = threading.Event()
    thread = threading.Thread(target=keep_running, args=(make, stop, name, lock, sensor), name=name, daemon=True)

    @app.service
    class Serve(faust.Service):  # type: ignore[misc,unused-ignore]
        label = name

        async def on_start(self) -> None:
            thread.start()

        async def on_stop(self) -> None:
            stop.set()
            await asyncio.to_thread(thread.join, STOP_S)
