"""Outputs are encoded, sent and committed with the positions, one transaction a commit.

Much is written behind, in two threads, one for the encoding and one for the rest, while the step works on the next batch. Little is
written at once, by who hands it over: three threads cost it more than they save. Commits follow each other in order; the first failure
stops all that come after it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from connectors.errors import MessageTooLargeError
from connectors.formats import json
from connectors.kafka.columns import Bytes
from streams.errors import BrokerError
from streams.events import dead_letters
from streams.events.decode import KEY, VALUE, WATERMARK, Refused
from streams.sensors import Sensor
from streams.types import Int64, Output, Outputs
from streams.worker.commits import BEGINNING, Commit, Standing, positions
from streams.worker.connection import Connection, Header, Part, Producer
from streams.worker.merge import Progress

log = logging.getLogger(__name__)
# So often the group is told where the step stands, for whoever wants to know how far behind it is; a restart goes on by the commits'
# own records. Told with each small commit, the broker had a third more to do, and every row waited for it.
POSITIONS_S = 1.0


@dataclass(frozen=True)
class Work:
    """One commit to be written. `done` is called when it is visible."""

    commit: Commit
    outputs: Outputs
    standing: Standing
    changed: Mapping[Part, Progress]
    refused: Sequence[Refused] = ()
    newest_timestamp: int = -1
    done: Callable[[], None] = field(default=lambda: None)
    marked: Sequence[Part] = ()  # partitions that are told the commit's mark


@dataclass(frozen=True)
class Encoded:
    """A commit with its records: each topic's output, and the keys and values made of it."""

    work: Work
    records: Mapping[str, tuple[Output, Bytes | None, Bytes]]


@dataclass(frozen=True)
class Topics:
    commits: str
    dead_letters: str
    late: str


class Write:
    """Without `exactly_once` outputs are flushed, then the positions are committed. `written` is told when the outputs of a commit are on
    the broker and only its end is missing."""

    def __init__(
        self,
        connection: Connection,
        producer: Producer,
        topics: Topics,
        group: str,
        exactly_once: bool,
        sensor: Sensor,
        written: Callable[[], None],
    ) -> None:
        self._connection, self._producer, self._topics, self._group = connection, producer, topics, group
        self._exactly_once, self._sensor, self._written = exactly_once, sensor, written
        self._untold: dict[Part, Progress] = {}  # what moved since the group was told its positions
        self._standing, self._at = BEGINNING, 0  # of the last commit
        self._told_at = float("-inf")
        self._queue: queue.Queue[Work | None] = queue.Queue(maxsize=1)
        self._encoded: queue.Queue[Encoded | BaseException | None] = queue.Queue(maxsize=1)
        self._failure: BaseException | None = None
        self._begun = 0  # commits handed over that are not visible yet
        self._change = threading.Condition()
        self._threads: list[threading.Thread] = []

    def start(self, name: str = "write") -> None:
        for target, part in ((self._encode, "encode"), (self._run, "commit")):
            self._threads.append(threading.Thread(target=target, name=f"{name}-{part}", daemon=True))
            self._threads[-1].start()

    def put(self, work: Work) -> None:
        """Hand over a commit; waits while another one waits. Raises what made an earlier one fail."""
        self.check()
        with self._change:
            self._begun += 1
        self._queue.put(work)

    def write(self, work: Work) -> None:
        """Write a commit in this thread. Only when idle."""
        self.check()
        try:
            self._commit(self._records(work))
        except BaseException as error:
            self._failure = error
            raise

    def settle(self) -> None:
        """Tell the group its positions where the commits since have not, when it is time. Does nothing while a commit is written."""
        if self._untold and self.is_idle and self._is_time:
            self._tell()

    @property
    def is_idle(self) -> bool:
        self.check()
        return not self._begun

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def wait(self, timeout: float) -> None:
        """Wait until everything handed over is visible, at most `timeout` seconds."""
        with self._change:
            self._change.wait_for(lambda: not self._begun or self._failure is not None, timeout)
        self.check()

    def drain(self, timeout: float = 60.0) -> None:
        """Wait until everything handed over is visible."""
        self.wait(timeout)
        if self._begun:
            raise TimeoutError(f"a commit has not ended in {timeout:.0f} s")

    def stop(self) -> None:
        """End the threads once everything handed over is visible, and tell the group; after a failure all of it is dropped."""
        self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=60)
        try:
            if self._untold and self._failure is None and not self._begun:
                self._tell()
        except BrokerError as error:
            log.warning("%s was not told its last positions, its next commit tells it: %s", self._group, error)
        finally:
            self._producer.close()

    def _encode(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                self._encoded.put(self._records(work))
            except BaseException as error:
                self._encoded.put(error)  # in its place: the commits before it are written
        self._encoded.put(None)

    def _run(self) -> None:
        while (one := self._encoded.get()) is not None:
            if self._failure is not None:
                continue  # what comes after a failure is dropped
            failure = None
            try:
                if isinstance(one, BaseException):
                    raise one
                self._commit(one)
            except BaseException as error:  # raised again where the next commit is handed over
                failure = error
            with self._change:
                self._failure, self._begun = failure, self._begun - 1
                self._change.notify_all()

    def _records(self, work: Work) -> Encoded:
        outputs = dict(work.outputs)
        if work.refused:
            outputs[self._topics.dead_letters] = dead_letters.to_output(work.refused, work.commit.at)
        return Encoded(work, {topic: (output, *encode(output)) for topic, output in outputs.items()})

    def _commit(self, one: Encoded) -> None:
        work = one.work
        begun = time.perf_counter()
        if self._exactly_once:
            self._producer.begin()
        for topic, (output, keys, values) in one.records.items():
            try:
                send(self._producer, topic, output, keys, values)
            except MessageTooLargeError:
                if topic != self._topics.dead_letters:
                    raise
                shorter = dead_letters.to_output(work.refused, work.commit.at, keep=False)
                send(self._producer, topic, shorter, *encode(shorter))
        if work.commit.mark is not None:
            header: list[list[Header] | None] = [[(WATERMARK, str(work.commit.mark).encode())]]
            for topic, partition in work.marked:
                self._producer.send(topic, partition, np.array([work.commit.mark], np.int64), None, Bytes.nulls(1), header)
        record = Bytes.of([work.commit.to_json().encode()])
        self._producer.send(self._topics.commits, 0, np.array([work.commit.at], np.int64), Bytes.of([work.commit.step.encode()]), record)
        self._producer.flush()
        self._written()
        if self._exactly_once:
            self._untold |= work.changed
            self._standing, self._at = work.standing, work.commit.at
            self._end(self._is_time)
        else:
            self._connection.commit(positions(work.standing, work.changed, work.commit.at), self._group)
        self._sensor.on_commit(work.commit.step, work.commit.number, work.commit.rows, work.newest_timestamp, time.perf_counter() - begun)
        work.done()

    @property
    def _is_time(self) -> bool:
        return time.monotonic() - self._told_at >= POSITIONS_S

    def _tell(self) -> None:
        self._producer.begin()
        self._end(tell=True)

    def _end(self, tell: bool) -> None:
        """End the transaction, with the group's positions in it or without."""
        if tell:
            self._producer.send_positions(positions(self._standing, self._untold, self._at), self._group)
        self._producer.commit()
        if tell:
            self._untold, self._told_at = {}, time.monotonic()


def encode(output: Output) -> tuple[Bytes | None, Bytes]:
    """Keys and values of an output's records. A column `_value` is the record's text as it stands, `_key` is in no value."""
    table = output.table
    if VALUE in table.column_names:
        values = Bytes.from_arrow(table.column(VALUE))
    else:
        values = json.encode(table.drop_columns([KEY]) if KEY in table.column_names else table)
    if output.tombstones is not None and output.tombstones.any():
        values = Bytes(values.buffer, values.start, np.where(output.tombstones, -1, values.length))
    if output.key is None:
        return None, values
    keys = table.column(output.key)
    return Bytes.from_arrow(keys if pa.types.is_string(keys.type) else keys.cast(pa.string())), values


def send(producer: Producer, topic: str, output: Output, keys: Bytes | None, values: Bytes) -> None:
    """Hand the records to the producer partition by partition, each in the order of the rows."""
    if not len(values):
        return
    first = int(output.partition[0])
    if (output.partition == first).all():
        producer.send(topic, first, output.time, keys, values)
        return
    for partition in np.unique(output.partition):
        rows: Int64 = np.flatnonzero(output.partition == partition)
        producer.send(topic, int(partition), output.time[rows], None if keys is None else keys.take(rows), values.take(rows))
