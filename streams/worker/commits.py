"""What one commit took, as its record in the log and as the metadata of the committed offsets.

With the records any replay follows the very same order, and a restart goes on where the last of them stood. The group's offsets are
told only now and then, in a transaction as the rest: for them the broker does as much as for all the rows of a small commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.types import OffsetRange
from streams.worker.connection import Part
from streams.worker.merge import Frontier, Place, Progress


@dataclass(frozen=True)
class Commit:
    """Commit `number` of a step: the offset ranges it read, the frontier it took all waiting rows up to, and how many of each topic.

    `progress` is where the partitions stand that moved; empty where the group's offsets alone say so, as at least once, where a record
    may be written whose rows are lost. `disordered` says that it must not be replayed together with the one before. `idle` names the partitions it did not wait for,
    `ahead` the records (topic, partition, offset) that were refused because their time was in the future of the wall clock. `mark` is the
    event time that the step was told has come (see Step.frontier), None where it was told nothing.
    """

    step: str
    number: int
    ranges: tuple[OffsetRange, ...]
    frontier: Frontier
    taken: Mapping[str, int] = field(default_factory=dict)
    disordered: bool = False
    idle: tuple[Part, ...] = ()
    ahead: tuple[tuple[str, int, int], ...] = ()
    at: int = 0
    mark: int | None = None
    progress: Mapping[Part, Progress] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self.taken.values())

    def to_json(self) -> str:
        return json.dumps(
            {
                "step": self.step,
                "n": self.number,
                "ranges": [[one.topic, one.partition, one.start, one.end] for one in self.ranges],
                "frontier": [self.frontier.others, self.frontier.driving],
                "taken": self.taken,
                "disordered": self.disordered,
                "idle": self.idle,
                "ahead": self.ahead,
                "at": self.at,
                "mark": self.mark,
                "progress": progress_to_json(self.progress),
            },
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str | bytes) -> Commit:
        found = json.loads(text)
        others, driving = (_place(place) for place in found["frontier"])
        return Commit(
            found["step"],
            found["n"],
            tuple(OffsetRange(*one) for one in found["ranges"]),
            Frontier(others, driving),
            found.get("taken", {}),
            found["disordered"],
            tuple((topic, partition) for topic, partition in found["idle"]),
            tuple((topic, partition, offset) for topic, partition, offset in found["ahead"]),
            found["at"],
            found.get("mark"),
            progress_from_json(found["progress"]),
        )


@dataclass(frozen=True)
class Standing:
    """Where a step stands after commit `number` (0: before its first).

    `ahead` are the records refused for the wall clock's sake (see Commit) that would be read again from `progress`.
    """

    number: int
    frontier: Frontier
    progress: Mapping[Part, Progress]
    ahead: tuple[tuple[str, int, int], ...] = ()

    def after(self, commit: Commit) -> Standing:
        """Where it stands after the commit that follows; `ahead` is not looked at."""
        return Standing(commit.number, commit.frontier, {**self.progress, **commit.progress})


BEGINNING = Standing(0, Frontier(), {})


def still_ahead(ahead: Iterable[tuple[str, int, int]], progress: Mapping[Part, Progress]) -> tuple[tuple[str, int, int], ...]:
    """Those of the refused that would be read again."""
    return tuple(one for one in ahead if one[:2] in progress and one[2] >= progress[one[:2]].low)


def progress_to_json(progress: Mapping[Part, Progress]) -> list[list[Any]]:
    return [[*part, one.low, one.read, one.newest, one.low_newest] for part, one in progress.items()]


def progress_from_json(found: Iterable[list[Any]]) -> dict[Part, Progress]:
    return {(topic, partition): Progress(*rest) for topic, partition, *rest in found}


def positions(standing: Standing, moved: Mapping[Part, Progress], at: int) -> dict[Part, tuple[int, str]]:
    """What to commit for the partitions that moved: the lowest offset not taken, and the metadata a restart needs. `at`: ms, now."""
    return {
        part: (
            one.low,
            json.dumps(
                {
                    "n": standing.number,
                    "at": at,
                    "read": one.read,
                    "newest": one.newest,
                    "before": one.low_newest,
                    "frontier": [standing.frontier.others, standing.frontier.driving],
                },
                separators=(",", ":"),
            ),
        )
        for part, one in moved.items()
    }


def standing(committed: Mapping[Part, tuple[int, str]]) -> tuple[Standing, int]:
    """The inverse of `positions`, from what the broker has, and when (ms) that was. Offsets committed by others, without metadata, are
    plain positions."""
    number, frontier, at = 0, Frontier(), 0
    progress = {}
    for part, (offset, metadata) in committed.items():
        try:
            found = json.loads(metadata)
            others, driving = (_place(place) for place in found["frontier"])
            progress[part] = Progress(offset, found["read"], found["newest"], found["before"])
        except (ValueError, KeyError, TypeError):
            progress[part] = Progress(offset, offset)
            continue
        if found["n"] >= number:
            number, frontier, at = found["n"], Frontier(others, driving), found["at"]
    return Standing(number, frontier, progress), at


def _place(place: list[int]) -> Place:
    key, rank, partition = place
    return key, rank, partition
