"""How fast rows go: as fast as they can, so many a second, or so many seconds of event time a second."""

from __future__ import annotations

from dataclasses import dataclass

TICK = 0.2  # seconds between two sends of a paced replay
AT_ONCE = 50_000  # rows of one transaction where nothing paces it


@dataclass(frozen=True)
class Pace:
    """`rate`: rows a second. `speed`: event time over wall time, 3600 plays an hour in a second. Neither: as fast as it goes.

    >>> Pace(speed=3600).until(start_ms=0, elapsed=2.0)
    7200000
    >>> Pace(rate=1000).due(sent=300, elapsed=0.5)
    200
    """

    rate: float | None = None
    speed: float | None = None
    starts: int | None = None  # event time (ms) from which it holds: what is before goes as fast as it goes

    @property
    def paced(self) -> bool:
        return self.rate is not None or self.speed is not None

    def until(self, start_ms: int, elapsed: float) -> int | None:
        """The event time (ms) a replay has come to after `elapsed` seconds; None: there is no limit."""
        return None if self.speed is None else start_ms + int(elapsed * self.speed * 1000)

    def due(self, sent: int, elapsed: float) -> int:
        """Rows that may go now."""
        return AT_ONCE if self.rate is None else min(AT_ONCE, int(elapsed * self.rate) - sent)
