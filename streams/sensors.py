"""What the drivers tell while they run. Give a worker a sensor of your own, or several; none of them may wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Sensor:
    """Says nothing; override what you want to hear. Called from the worker's threads."""

    def on_state(self, step: str, state: str, message: str = "") -> None:
        """`state`: starting, replaying, running, standby, stopped, failed."""

    def on_replay(self, step: str, done: int, total: int, seconds: float) -> None:
        """Events replayed to get the state back, of how many, after how long."""

    def on_batch(self, step: str, rows: int, newest_time: int, seconds: float) -> None:
        """The step has answered a batch; `newest_time` is its latest event time (ms)."""

    def on_refused(self, step: str, rows: int) -> None:
        """Records went to the dead letters."""

    def on_late(self, step: str, rows: int) -> None:
        """Rows came after their place in the order had gone by."""

    def on_commit(self, step: str, number: int, rows: int, newest_timestamp: int, seconds: float) -> None:
        """A commit is visible; `newest_timestamp` is the record time (ms) of the newest record in it, -1 where unknown."""

    def on_snapshot(self, step: str, number: int, nbytes: int, seconds: float) -> None:
        """A snapshot is written."""

    def on_lag(self, step: str, records: int, waiting_for: Sequence[str]) -> None:
        """Records on the broker that are not read, and the partitions that others wait for."""


class Sensors(Sensor):
    """Tells several."""

    def __init__(self, *sensors: Sensor) -> None:
        self._sensors = sensors

    def on_state(self, step: str, state: str, message: str = "") -> None:
        for one in self._sensors:
            one.on_state(step, state, message)

    def on_replay(self, step: str, done: int, total: int, seconds: float) -> None:
        for one in self._sensors:
            one.on_replay(step, done, total, seconds)

    def on_batch(self, step: str, rows: int, newest_time: int, seconds: float) -> None:
        for one in self._sensors:
            one.on_batch(step, rows, newest_time, seconds)

    def on_refused(self, step: str, rows: int) -> None:
        for one in self._sensors:
            one.on_refused(step, rows)

    def on_late(self, step: str, rows: int) -> None:
        for one in self._sensors:
            one.on_late(step, rows)

    def on_commit(self, step: str, number: int, rows: int, newest_timestamp: int, seconds: float) -> None:
        for one in self._sensors:
            one.on_commit(step, number, rows, newest_timestamp, seconds)

    def on_snapshot(self, step: str, number: int, nbytes: int, seconds: float) -> None:
        for one in self._sensors:
            one.on_snapshot(step, number, nbytes, seconds)

    def on_lag(self, step: str, records: int, waiting_for: Sequence[str]) -> None:
        for one in self._sensors:
            one.on_lag(step, records, waiting_for)


WINDOW_S = 10.0  # rates are over the last seconds


@dataclass
class _Figures:
    state: str = "starting"
    message: str = ""
    rows: int = 0
    commits: int = 0
    dead_letters: int = 0
    late: int = 0
    lag: int = 0
    waiting_for: list[str] = field(default_factory=list)
    last_event_time: int | None = None
    freshness_ms: int | None = None
    commit_ms: float | None = None
    busy_s: float = 0.0
    snapshot: int | None = None
    recent: deque[tuple[float, int]] = field(default_factory=deque)


class Meter(Sensor):
    """Keeps the figures of each step for the status files and the /status page."""

    def __init__(self) -> None:
        self._steps: dict[str, _Figures] = {}
        self._lock = threading.Lock()

    def figures(self, step: str) -> dict[str, Any]:
        """Plain figures: rows and rates since the start of this process; times in milliseconds."""
        with self._lock:
            mine = self._of(step)
            now = time.monotonic()
            while mine.recent and now - mine.recent[0][0] > WINDOW_S:
                mine.recent.popleft()
            span = max(now - mine.recent[0][0], 1.0) if mine.recent else WINDOW_S
            rate = sum(rows for _, rows in mine.recent) / span
            found = {key: value for key, value in mine.__dict__.items() if key != "recent"}
            return {"step": step, **found, "waiting_for": list(mine.waiting_for), "rows_per_second": round(rate, 1)}

    def steps(self) -> list[str]:
        return list(self._steps)

    def _of(self, step: str) -> _Figures:
        return self._steps.setdefault(step, _Figures())

    def on_state(self, step: str, state: str, message: str = "") -> None:
        with self._lock:
            mine = self._of(step)
            mine.state, mine.message = state, message

    def on_replay(self, step: str, done: int, total: int, seconds: float) -> None:
        with self._lock:
            left = (total - done) / (done / seconds) if done and seconds else 0.0
            self._of(step).message = f"replayed {done:,} of {total:,} events, about {left:.0f} s left"

    def on_batch(self, step: str, rows: int, newest_time: int, seconds: float) -> None:
        with self._lock:
            mine = self._of(step)
            mine.last_event_time = max(mine.last_event_time or newest_time, newest_time)
            mine.busy_s += seconds

    def on_refused(self, step: str, rows: int) -> None:
        with self._lock:
            self._of(step).dead_letters += rows

    def on_late(self, step: str, rows: int) -> None:
        with self._lock:
            self._of(step).late += rows

    def on_commit(self, step: str, number: int, rows: int, newest_timestamp: int, seconds: float) -> None:
        with self._lock:
            mine = self._of(step)
            mine.rows += rows
            mine.commits = number
            mine.commit_ms = round(seconds * 1000, 2)
            mine.recent.append((time.monotonic(), rows))
            if newest_timestamp >= 0:
                mine.freshness_ms = max(int(time.time() * 1000) - newest_timestamp, 0)

    def on_snapshot(self, step: str, number: int, nbytes: int, seconds: float) -> None:
        with self._lock:
            self._of(step).snapshot = number

    def on_lag(self, step: str, records: int, waiting_for: Sequence[str]) -> None:
        with self._lock:
            mine = self._of(step)
            mine.lag, mine.waiting_for = records, list(waiting_for)
