"""Getting the state back: from the newest good snapshot and the log behind it, or from the log alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from connectors.kafka.columns import Records
from streams.errors import StateError
from streams.sensors import Sensor
from streams.step import Step
from streams.types import OffsetRange
from streams.worker.commits import BEGINNING, Commit, Standing, standing, still_ahead
from streams.worker.connection import Consumer, Part
from streams.worker.merge import Merge
from streams.worker.replay import Reader, replay
from streams.worker.snapshots import Snapshot, Snapshots

log = logging.getLogger(__name__)
CLOCK_SKEW_MS = 600_000  # commits are looked for so long before their own time
REPLAYED_PER_S = 400_000  # until the first figures are there


class Stopped(Exception):
    """A worker was asked to stop while it was getting its state back."""


def stoppable(consumer: Consumer, stopping: Callable[[], bool]) -> Consumer:
    """The same consumer, whose `poll` raises Stopped once `stopping()` is true."""

    class Stoppable:
        def poll(self, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]:
            if stopping():
                raise Stopped
            return consumer.poll(timeout_ms, max_records)

        def __getattr__(self, name: str) -> Any:
            return getattr(consumer, name)

    return cast(Consumer, Stoppable())


@dataclass(frozen=True)
class Recovered:
    merge: Merge
    standing: Standing


def recover(
    step: Step,
    consumer: Consumer,
    reading: Consumer,
    readers: Mapping[str, Reader],
    group: str,
    commits_topic: str,
    snapshots: Snapshots | None,
    sensor: Sensor,
    end: int,
    signature: str = "",
) -> Recovered:
    """Bring `step` and its merge to the last commit. StateError where the log of commits is cut; what else the log no longer has is missing
    in the state, with a warning.

    `consumer` reads the commits while `reading` reads what they took. `end`: of the commits, those of open transactions included. The
    step's own have all ended when its producer was opened; what another step has open hides all behind it, so it is waited for.
    """
    parts = [(reader.input.topic, partition) for reader in readers.values() for partition in consumer.partitions(reader.input.topic)]
    committed = _standing(consumer, commits_topic, step.name, *standing(consumer.committed(group, parts)), end, sensor)
    if not committed.number:
        refuse_doubling(consumer, commits_topic, step.name, f"the group {group} has no positions")
        merge = Merge([reader.input for reader in sorted(readers.values(), key=lambda reader: reader.rank)])
        return Recovered(_opened(merge, readers, consumer, parts, committed), committed)
    snapshot = None
    if snapshots is not None:
        snapshot = snapshots.newest(committed.number, signature, lambda one: _has(consumer, commits_topic, step.name, one))
    if snapshot is not None:
        step.restore(snapshot.state)
    start = BEGINNING if snapshot is None else snapshot.standing
    commits = commits_of(consumer, commits_topic, step.name, committed.number, snapshot)
    since = "its beginning" if snapshot is None else datetime.fromtimestamp(snapshot.at / 1000, UTC).strftime("%H:%M:%S")
    merge, ahead = _replayed(step, reading, readers, start, commits, committed, since, sensor)
    committed = replace(committed, ahead=still_ahead(ahead, committed.progress))
    return Recovered(_opened(merge, readers, consumer, parts, committed), committed)


def _standing(consumer: Consumer, topic: str, step: str, told: Standing, at: int, end: int, sensor: Sensor) -> Standing:
    """Where a step stands: what its group was told at this time (ms), and the commits since."""
    if not told.number:
        return told
    part = (topic, 0)
    if consumer.end_offsets([part])[part] < end:
        sensor.on_state(step, "starting", f"waits for an open transaction of another step in {topic} to end")
    found = told
    for commit in _commits_after(consumer, topic, step, told.number, at, end):
        if commit.number == found.number + 1 and commit.progress:
            found = found.after(commit)
    return found


def refuse_doubling(consumer: Consumer, topic: str, step: str, lacking: str) -> None:
    """For a start from the beginning, which is `lacking` something to go on from: StateError where rows of the step stand in the log already."""
    part = (topic, 0)
    for commit in read_commits(consumer, topic, consumer.beginning_offsets([part])[part], step):
        if commit.number > 1:  # at least once, the first may be without its positions
            raise StateError(
                f"{topic} has commits of {step}, but {lacking}: going on would write the rows a second time. Go on with the engine that wrote"
                " them (`driftline run features`, with or without --on flink; `driftline flink restore`), or begin anew under"
                " a prefix of its own (prefix = ... in driftline.toml)."
            )


def _opened(merge: Merge, readers: Mapping[str, Reader], consumer: Consumer, parts: list[Part], committed: Standing) -> Merge:
    """Partitions that no commit has met begin where their group stands, or at their beginning."""
    new = [part for part in parts if not merge.knows(readers[part[0]].rank, part[1])]
    for part, start in consumer.beginning_offsets(new).items():
        at = committed.progress.get(part)
        merge.open(readers[part[0]].rank, part[1], offset=start if at is None else at.low)
    return merge


def _replayed(
    step: Step,
    consumer: Consumer,
    readers: Mapping[str, Reader],
    start: Standing,
    commits: Iterator[Commit],
    committed: Standing,
    since: str,
    sensor: Sensor,
) -> tuple[Merge, list[tuple[str, int, int]]]:
    def gone(lost: OffsetRange) -> None:
        upto = min(lost.end, committed.progress[lost.topic, lost.partition].read)
        log.warning(
            "%s: its state is made again without %s, which the log no longer has and no snapshot covers: what reaches back to these events"
            " lacks them",
            step.name,
            replace(lost, end=upto),
        )

    has = consumer.beginning_offsets(list(committed.progress))
    begun_at = {part: max(has[part], start.progress[part].read if part in start.progress else 0) for part in committed.progress}
    total = sum(max(one.read - begun_at[part], 0) for part, one in committed.progress.items())
    merge = Merge([reader.input for reader in sorted(readers.values(), key=lambda reader: reader.rank)], start.frontier)
    sensor.on_state(step.name, "replaying", f"replaying {_count(total)} events since {since}, about {total / REPLAYED_PER_S:.0f} s")
    begun = time.monotonic()
    told = getattr(step, "frontier", None)
    ahead = [*start.ahead]
    for one in replay(
        consumer,
        readers,
        start,
        commits,
        lambda done: sensor.on_replay(step.name, done, total, time.monotonic() - begun),
        merge,
        marks=told is not None,
        gone=gone,
    ):
        ahead += (place for commit in one.commits for place in commit.ahead)
        if one.taken is not None:
            step.process(one.taken.batch)
        if told is not None and (mark := one.commits[-1].mark) is not None:
            told(mark)
    return merge, ahead


def commits_of(consumer: Consumer, topic: str, step: str, last: int, snapshot: Snapshot | None = None) -> Iterator[Commit]:
    """The commits of a step after a snapshot (or from the first) up to `last`, in order. StateError where one is missing."""
    first = 1 if snapshot is None else snapshot.standing.number + 1
    if first > last:
        return
    wanted = first
    if snapshot is not None:
        commits = _commits_after(consumer, topic, step, snapshot.standing.number, snapshot.at)
    else:
        commits = read_commits(consumer, topic, consumer.beginning_offsets([(topic, 0)])[topic, 0], step)
    for commit in commits:
        if commit.number > wanted:
            break
        yield commit
        if commit.number == last:
            return
        wanted += 1
    raise StateError(f"{topic} has no commit {wanted} of {step}, though commit {last} is the last; the log of commits is cut off.")


def _has(consumer: Consumer, topic: str, step: str, snapshot: Snapshot) -> bool:
    """Whether the log has the very commit that a snapshot was taken behind."""
    number = snapshot.standing.number
    for start in _starts(consumer, topic, snapshot.at):
        for commit in read_commits(consumer, topic, start, step):
            if commit.number >= number:
                if (commit.number, commit.at) == (number, snapshot.at):
                    return True
                break
    return False


def _starts(consumer: Consumer, topic: str, at: int) -> Iterator[int]:
    """Offsets from which a commit of this time is found: its record has the commit's time, but where the broker stamps records by its own clock."""
    for back in (0, CLOCK_SKEW_MS):
        yield consumer.offsets_at({(topic, 0): at - back})[topic, 0]


def _commits_after(consumer: Consumer, topic: str, step: str, number: int, at: int, end: int | None = None) -> Iterator[Commit]:
    """The commits of a step behind its commit `number`, whose time is `at` (ms)."""
    met = False
    for last, start in enumerate(_starts(consumer, topic, at)):
        for commit in read_commits(consumer, topic, start, step, end):
            if commit.number <= number:
                met = True
            elif met or last:
                yield commit
            else:
                break  # begun too late
        if met:
            return


def read_commits(consumer: Consumer, topic: str, start: int, step: str | None = None, end: int | None = None) -> Iterator[Commit]:
    """All commits from an offset of the commits topic to `end` (waiting for it), or to what is committed as of now.

    Raises StateError where one is missing or stands behind its next.
    """
    part = (topic, 0)
    end = consumer.end_offsets([part])[part] if end is None else end
    consumer.assign([part], {part: start})
    key = step.encode() if step is not None else None
    # at least once, a commit may be written whose positions were then lost: the one of the same number after it counts
    waiting: dict[str, Commit] = {}
    while consumer.position(part) < end:
        for records in consumer.poll(200):
            for commit in commits_in(records, key):
                before = waiting.get(commit.step)
                if before is not None and before.number < commit.number:
                    yield before
                if before is not None and commit.number - before.number not in (0, 1):
                    raise StateError(
                        f"{topic} has commit {commit.number} of {commit.step} behind its commit {before.number}: the log of commits is cut, or"
                        " two runs wrote it. Rows cannot be traced through it; a prefix of its own (prefix = ... in driftline.toml) begins anew."
                    )
                waiting[commit.step] = commit
    consumer.assign([])
    yield from waiting.values()


def commits_in(records: Records, key: bytes | None) -> Iterator[Commit]:
    """The commits of one step, or of all."""
    for row in range(len(records)):
        if (value := records.values[row]) is not None and key in (None, records.keys[row]):
            yield Commit.from_json(value)


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1_000_000 else f"{number:,}"


__all__ = ["BEGINNING", "Recovered", "Stopped", "commits_in", "commits_of", "read_commits", "recover", "refuse_doubling", "stoppable"]
