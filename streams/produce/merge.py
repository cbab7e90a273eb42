"""Several files in one order: by the newest event time each has come to. Pure: no clock, no Kafka.

Cuts fall between event times, never within one, so that after a cut at T every row still to come has a place after T; whoever reads
the log may be told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from streams.produce.chunk import Chunk


@dataclass(frozen=True)
class Flush:
    """Rows of each source that go together, and the event time (ms) every source has come to; None while nothing came."""

    parts: dict[str, Chunk]
    through: int | None
    last: bool

    @property
    def rows(self) -> int:
        return sum(len(chunk) for chunk in self.parts.values())


class Feed:
    """One source's chunks with a look ahead."""

    def __init__(self, source: str, chunks: Iterable[Chunk]) -> None:
        self.source = source
        self._chunks: Iterator[Chunk] = iter(chunks)
        self.head: Chunk | None = None
        self.at = 0
        self.ended = False

    def fill(self) -> None:
        """Have rows in hand, or know that there are none."""
        while not self.ended and (self.head is None or self.at >= len(self.head)):
            self.head, self.at = next(self._chunks, None), 0
            self.ended = self.head is None

    def extend(self) -> None:
        """Have one chunk more in hand."""
        more = next(self._chunks, None)
        if more is None:
            self.ended = True
        elif self.head is None:
            self.head, self.at = more, 0
        else:
            self.head, self.at = Chunk.concat(self.head.slice(self.at, len(self.head)), more), 0

    @property
    def waiting(self) -> int:
        return 0 if self.head is None else len(self.head) - self.at

    def before(self, bound: int | None) -> int:
        """How many rows in hand have a place before `bound`."""
        if self.head is None:
            return 0
        return self.waiting if bound is None else int(np.searchsorted(self.head.newest[self.at :], bound, "left"))

    def take(self, rows: int) -> Chunk | None:
        if self.head is None or not rows:
            return None
        taken = self.head.slice(self.at, self.at + rows)
        self.at += rows
        return taken


class Merge:
    """Rows of all feeds in order. One feed alone is passed on as it comes."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self.feeds = list(feeds)

    def first_time(self) -> int | None:
        """The event time of the first row to come."""
        for feed in self.feeds:
            feed.fill()
        heads = [int(feed.head.newest[feed.at]) for feed in self.feeds if feed.head is not None and feed.waiting]
        return min(heads) if heads else None

    def take(self, rows: int, until: int | None = None) -> Flush:
        """About `rows` rows (all of the last event time, so more where many share it), none with a place after `until`."""
        bound = self._bound()
        if until is not None:
            bound = until + 1 if bound is None else min(bound, until + 1)
        if sum(feed.before(bound) for feed in self.feeds) > rows:
            waiting = [feed.head.newest[feed.at :] for feed in self.feeds if feed.head is not None]
            place = int(np.partition(np.concatenate(waiting), rows - 1)[rows - 1])
            bound = place + 1 if bound is None else min(bound, place + 1)
        parts = {}
        newest = None if bound is None else bound - 1
        for feed in self.feeds:
            taken = feed.take(feed.before(bound))
            if taken is not None:
                parts[feed.source] = taken
                if bound is None:
                    newest = max(int(taken.newest[-1]), newest if newest is not None else int(taken.newest[-1]))
        if len(self.feeds) == 1 and parts and not self.feeds[0].waiting and not self.feeds[0].ended:
            newest = int(parts[self.feeds[0].source].newest[-1])  # what is not in hand yet may begin before the bound
        for feed in self.feeds:
            if feed.waiting == 0 and len(self.feeds) > 1:
                feed.fill()
        return Flush(parts, newest, all(feed.ended and not feed.waiting for feed in self.feeds))

    def _bound(self) -> int | None:
        """The place at which a feed may still have rows that are not in hand; None: everything in hand may go."""
        for feed in self.feeds:
            feed.fill()
        if len(self.feeds) == 1:
            return None
        while True:
            open_feeds = [feed for feed in self.feeds if not feed.ended and feed.head is not None]
            if not open_feeds:
                return None
            bounds = {id(feed): int(feed.head.newest[-1]) for feed in open_feeds if feed.head is not None}
            bound = min(bounds.values())
            if any(feed.before(bound) for feed in self.feeds):
                return bound
            for feed in open_feeds:
                if bounds[id(feed)] == bound:
                    feed.extend()
