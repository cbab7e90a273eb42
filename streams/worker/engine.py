"""The engine that drives a step: poll, decode, merge, process, write, commit. Every record exactly once, in the order of the log.

Four threads overlap: reading ahead (fetch.py), the step's work (this one), writing behind in two (write.py). In between stand bounded
buffers, so that memory is bounded and a slow part slows the others down. With much to do a batch grows to `batch_rows`. With little it is
what has come meanwhile, transactions go back to back, this thread writes by itself, and only the reading of the next batch overlaps
with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from connectors.kafka.columns import Records
from streams.events import late
from streams.events.decode import Decoded, Refused
from streams.sensors import Sensor
from streams.step import Step
from streams.types import TIME, OffsetRange, Output
from streams.worker.commits import Commit, Standing, still_ahead
from streams.worker.connection import Connection, Consumer, Part
from streams.worker.fetch import Fetch, Fetched
from streams.worker.merge import Merge, Progress, Slot, Taken
from streams.worker.recovery import Stopped, recover, stoppable
from streams.worker.reorder import ALWAYS
from streams.worker.replay import Reader
from streams.worker.snapshots import Snapshot, Snapshots, now_ms
from streams.worker.write import Topics, Work, Write

log = logging.getLogger(__name__)
IDLE_COMMIT_S = 1.0  # positions without rows (watermarks, passed over records) are committed at most so often
LAG_S = 1.0
LOST_S = 0.1  # after so long without work, who was told to begin did not hear it
SOON_S, LATER_S = 0.02, 0.2  # between two looks at rows that wait for a quiet partition: twice as long each time, up to the latter
PIPELINED_ROWS = 5_000  # from so many rows on, work goes on while the commit before is on its way


@dataclass(frozen=True)
class Settings:
    """How a step is driven. `group` is also the transactional id, so that a second worker fences the first."""

    group: str
    topics: Topics
    exactly_once: bool = True
    batch_rows: int = 100_000
    limit_rows: int = 200_000  # a partition with so many rows waiting is paused
    limit_bytes: int = 128 << 20
    snapshot_every_s: float = 30.0
    snapshots: Snapshots | None = None
    signature: str = ""  # of the state: a snapshot of another one is not used
    reach: Mapping[str, late.Reach] = field(default_factory=dict)  # by input, for the late ledger
    sources: frozenset[str] = frozenset()  # inputs whose refused and late rows this step records


class Worker:
    """Drives one step. `readers` by topic, see `readers` in pipeline.py."""

    def __init__(
        self, step: Step, connection: Connection, readers: Mapping[str, Reader], settings: Settings, sensor: Sensor | None = None
    ) -> None:
        self.step, self.settings, self.sensor = step, settings, sensor or Sensor()
        self._connection, self._readers = connection, readers
        self._topics = {reader.input.name: topic for topic, reader in readers.items()}
        self._stopping = threading.Event()
        self._lookup: Consumer
        self._fetch: Fetch
        self._write: Write
        self._merge: Merge
        self._standing: Standing
        self._refused: list[Refused] = []
        self._ahead: list[tuple[str, int, int]] = []
        self._newest_timestamp = -1
        self._committed_at = self._snapshot_at = self._lag_at = 0.0
        self._waiting_for: list[Slot] = []
        self._pause = SOON_S
        self._resting = threading.Event()  # nobody works and nobody was told to
        self._resting.set()
        self._working = False
        self._snapshot_done = threading.Event()
        self._snapshot_done.set()
        self._met = False  # a driving row was taken by this worker
        self._opened: list[Callable[[], None]] = []
        self._marked = 0
        self._marking: set[int] = set()  # ranks of the inputs whose event time counts
        self._marked_parts: list[Part] = []

    def stop(self) -> None:
        """Ask a running worker to end; what it has begun is committed."""
        self._stopping.set()

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Recover and drive the step until `stop` is called or `until()` is true and all that was begun is committed.

        Raises what made it fail; FencedError where another worker took over.
        """
        try:
            self.open()
            while not self._stopping.is_set():
                self.wait(self.patience)
                if not self.work() and until():
                    break
            self._write.drain()
        except Stopped:
            self.sensor.on_state(self.step.name, "stopped")
        except BaseException as error:
            self.sensor.on_state(self.step.name, "failed", str(error))
            raise
        else:
            self.sensor.on_state(self.step.name, "stopped")
        finally:
            self.close()

    def open(self) -> None:
        """Take over from whoever drove the step before, get the state back, and begin to read ahead.

        Raises Stopped where `stop` is called meanwhile.
        """
        name, settings = self.step.name, self.settings
        self.sensor.on_state(name, "starting")
        producer = self._connection.producer(settings.group if settings.exactly_once else None)
        self._write = Write(
            self._connection,
            producer,
            settings.topics,
            settings.group,
            settings.exactly_once,
            self.sensor,
            lambda: self._fetch.want(),
        )
        self._opened.append(self._write.stop)
        self._lookup = self._connection.consumer()
        self._opened.append(self._lookup.close)
        self._recover()
        consumer = self._connection.consumer()
        self._opened.append(consumer.close)
        self._fetch = Fetch(consumer, self._decode, self._waiting, settings.limit_rows, settings.limit_bytes)
        self._opened.append(self._fetch.stop)
        self._write.start(f"{name}-write")
        self._fetch.start({part: one.read for part, one in self._parts().items()}, f"{name}-fetch")
        self.sensor.on_state(name, "running")

    def close(self) -> None:
        """End the threads and close the clients; what was not committed is as if it had never been read."""
        while self._opened:
            self._opened.pop()()

    @property
    def patience(self) -> float:
        """Seconds to wait for more before looking again at what waits for a quiet partition."""
        return self._pause if self._merge.rows else LATER_S

    def wait(self, timeout: float) -> bool:
        """Wait until there is something for `work`, or it is time to look; False when `work` is at it and looks for itself."""
        if not self._resting.wait(LOST_S) and self._working:
            return False
        self._fetch.wait(timeout)
        self._resting.clear()
        return True

    def work(self) -> bool:
        """Answer all that may be answered now; False when there was nothing. Not to be called by two threads at once."""
        self._working = True
        try:
            return self._work()
        finally:
            self._working = False
            self._resting.set()

    def _work(self) -> bool:
        done = False
        while not self._stopping.is_set():
            if self._merge.rows < PIPELINED_ROWS:
                # a small batch would only wait behind the commit before it: better to let it grow meanwhile
                self._write.wait(0.05)
            came = self._fetch.get()
            for one in came:
                self._add(one)
            turned = self._turn()
            self._pause = SOON_S if came or turned else min(2 * self._pause, LATER_S)
            done = done or turned
            self._tell_lag()
            if not turned:
                self._fetch.want()
                self._write.settle()
                if not done or not self._fetch.wait(self.patience):
                    break
        return done

    def caught_up(self) -> bool:
        """All that the broker has is read, taken and committed; asks the broker."""
        if self._merge.rows or self._refused or not self._write.is_idle:
            return False
        return all(self._fetch.at_end(part, end) for part, end in self._lookup.end_offsets(list(self._parts())).items())

    def _recover(self) -> None:
        commits = (self.settings.topics.commits, 0)
        with closing(self._connection.consumer("read_uncommitted")) as all_of_it:
            end = all_of_it.end_offsets([commits])[commits]
        with closing(self._connection.consumer()) as reading:
            found = recover(
                self.step,
                stoppable(self._lookup, self._stopping.is_set),
                stoppable(reading, self._stopping.is_set),
                self._readers,
                self.settings.group,
                self.settings.topics.commits,
                self.settings.snapshots,
                self.sensor,
                end,
                self.settings.signature,
            )
        self._marking = {reader.rank for reader in self._readers.values() if reader.input.idle_after > 0}
        marked: Sequence[str] = getattr(self.step, "marked", ())
        self._marked_parts = [(topic, partition) for topic in marked for partition in self._lookup.partitions(topic)]
        self._merge, self._standing = found.merge, replace(found.standing, progress=self._parts(found.merge))
        self._snapshot_at = time.monotonic()

    def _add(self, one: Fetched) -> None:
        reader = self._readers[one.part[0]]
        self._merge.add(reader.read(one.decoded, one.part[1]))
        if one.decoded.refused:
            recorded = reader.input.name in self.settings.sources
            self._ahead += [(each.topic, each.partition, each.offset) for each in one.decoded.refused if each.by_clock]
            self._refused += one.decoded.refused if recorded else ()
        self._newest_timestamp = max(self._newest_timestamp, one.newest_timestamp)

    def _turn(self) -> bool:
        """Take, process and hand over one batch; False when there was nothing to do."""
        taken, idle = self._take()
        progress = self._parts()
        moved = progress != self._standing.progress and time.monotonic() - self._committed_at >= IDLE_COMMIT_S
        if taken is None and not self._refused and not moved and self._mark() is None:
            return False
        mark = self._mark() if taken is None else None
        before, self._standing = self._standing.progress, self._next(progress)
        changed = {part: one for part, one in progress.items() if one != before[part]}
        # a partition must carry the newest frontier, or a restart would go back behind it
        carried = changed or dict(list(progress.items())[:1])
        few = taken is not None and max(taken.batch.rows, self._merge.rows) < PIPELINED_ROWS and self._write.is_idle
        outputs = self._process(taken) if taken is not None else self._come_to(mark)
        refused, self._refused = self._refused, []
        if refused:
            self.sensor.on_refused(self.step.name, len(refused))
        work = self._to_write(taken, outputs, refused, idle, before, carried, mark)
        if few:
            self._write.write(work)
        else:
            self._write.put(work)
        self._committed_at = time.monotonic()
        return taken is not None

    def _next(self, progress: dict[Part, Progress]) -> Standing:
        """Where the step will stand when what was taken is written."""
        ahead = still_ahead((*self._standing.ahead, *self._ahead), progress)
        return Standing(self._standing.number + 1, self._merge.frontier, progress, ahead)

    def _mark(self) -> int | None:
        """The event time that has come, when it moved and the step wants to know it or to pass it on; else None."""
        if not self._marked_parts and not hasattr(self.step, "frontier"):
            return None
        mark = self._merge.mark(self._marking)
        hold = self.step.hold()
        mark = min(mark, hold) if hold is not None else mark
        return mark if self._marked < mark < ALWAYS else None

    def _come_to(self, mark: int | None) -> dict[str, Output]:
        if mark is None:
            return {}
        self._marked = mark
        return dict(self.step.frontier(mark)) if hasattr(self.step, "frontier") else {}

    def _take(self) -> tuple[Taken | None, set[Slot]]:
        if not self._merge.rows:
            return None, set()
        # the first row alone: a step may only know from it what later rows must wait for
        hold, limit = self.step.hold(), self.settings.batch_rows if self._met else 1
        taken, idle = self._merge.take(hold=hold, limit=limit), set[Slot]()
        if taken is None and (idle := self._idle()):
            taken = self._merge.take(idle, hold, limit)
        self._waiting_for = [] if taken is not None else self._merge.holding(idle)
        self._fetch.blocked(taken is None)
        self._fetch.needed([self._part(slot) for slot in self._merge.holding()] if taken is None else [])
        self._met = self._met or (taken is not None and self._merge.inputs[-1].name in taken.batch.tables)
        return taken, idle if taken is not None else set()

    def _idle(self) -> set[Slot]:
        """Partitions that no longer hold the others: caught up for their `idle_after`, and with nothing new on the broker just now."""
        quiet = {part for part, seconds in self._fetch.caught_up().items() if seconds * 1000 >= self._readers[part[0]].input.idle_after}
        if not quiet:
            return set()
        ends, parts = self._lookup.end_offsets(quiet), self._parts()
        found = {part for part in quiet if self._fetch.at_end(part, ends[part]) and parts[part].read >= self._fetch.given(part)}
        return {(self._readers[part[0]].rank, part[1]) for part in found}

    def _process(self, taken: Taken) -> dict[str, Output]:
        begun = time.perf_counter()
        outputs = dict(self.step.process(taken.batch))
        took = time.perf_counter() - begun
        newest = max(int(np.max(table.column(TIME).to_numpy())) for table in taken.batch.tables.values())
        self.sensor.on_batch(self.step.name, taken.batch.rows, newest, took)
        found = [one for one in taken.late if one.input in self.settings.sources]
        if found:
            outputs[self.settings.topics.late] = late.to_output(taken.batch, found, self._topics, self.settings.reach, now_ms())
            self.sensor.on_late(self.step.name, sum(len(one.rows) for one in found))
        return outputs

    def _to_write(
        self,
        taken: Taken | None,
        outputs: dict[str, Output],
        refused: list[Refused],
        idle: set[Slot],
        before: Mapping[Part, Progress],
        carried: dict[Part, Progress],
        mark: int | None,
    ) -> Work:
        commit = Commit(
            self.step.name,
            self._standing.number,
            tuple(OffsetRange(*part, before[part].read, one.read) for part, one in carried.items() if one.read > before[part].read),
            self._standing.frontier,
            taken=taken.batch.counts(self._topics) if taken is not None else {},
            disordered=taken is not None and taken.disordered,
            idle=tuple(sorted(self._part(slot) for slot in idle)),
            ahead=tuple(self._ahead),
            at=now_ms(),
            mark=mark,
            progress=carried if self.settings.exactly_once else {},
        )
        self._ahead = []
        return Work(
            commit, outputs, self._standing, carried, refused, self._newest_timestamp, self._snapshot_due(commit), self._marked_parts
        )

    def _snapshot_due(self, commit: Commit) -> Callable[[], None]:
        """What to do when the commit is visible: write the state of this moment, or nothing."""
        store = self.settings.snapshots
        due = time.monotonic() - self._snapshot_at >= self.settings.snapshot_every_s
        if store is None or not due or not self._snapshot_done.is_set():
            return lambda: None
        self._snapshot_done.clear()
        self._snapshot_at = time.monotonic()
        snapshot = Snapshot(self._standing, self.step.snapshot(), self.settings.signature, commit.at)

        def write() -> None:
            begun = time.perf_counter()
            try:
                nbytes = store.write(snapshot)
                self.sensor.on_snapshot(self.step.name, commit.number, nbytes, time.perf_counter() - begun)
            except Exception:  # a full disk or an S3 that does not answer: the log has everything, the next snapshot may succeed
                log.exception("%s: the snapshot of commit %s could not be written", self.step.name, commit.number)
            finally:
                self._snapshot_done.set()

        return lambda: threading.Thread(target=write, name=f"{self.step.name}-snapshot", daemon=True).start()

    def _tell_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_at < LAG_S:
            return
        self._lag_at = now
        parts = self._parts()
        ends = self._lookup.end_offsets(list(parts))
        # a transaction's end takes an offset too: at the end of the log only what waits here is behind
        behind = {part: 0 if self._fetch.at_end(part, end) else end - parts[part].read for part, end in ends.items()}
        records = sum(max(count, 0) for count in behind.values()) + self._merge.rows
        self.sensor.on_lag(self.step.name, records, [f"{topic}[{partition}]" for topic, partition in map(self._part, self._waiting_for)])

    def _decode(self, parts: Sequence[Records]) -> list[Decoded]:
        return self._readers[parts[0].topic].decode_parts(parts, now_ms())

    def _waiting(self, part: Part) -> int:
        return self._merge.waiting(self._readers[part[0]].rank, part[1])

    def _part(self, slot: Slot) -> Part:
        return self._topics[self._merge.inputs[slot[0]].name], slot[1]

    def _parts(self, merge: Merge | None = None) -> dict[Part, Progress]:
        merge = merge or self._merge
        return {(self._topics[merge.inputs[slot[0]].name], slot[1]): one for slot, one in merge.progress().items()}
