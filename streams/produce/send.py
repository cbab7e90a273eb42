"""Send a replay: transactions that carry rows, positions and watermarks together, so that a kill at any moment neither loses nor doubles a row."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from connectors.kafka.admin import ensure_topics
from connectors.kafka.columns import Bytes
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer
from streams.errors import DriftlineError
from streams.events.decode import WATERMARK
from streams.produce.avro import as_avro
from streams.produce.chunk import FILE_BITS, Bad, Chunk
from streams.produce.merge import Feed, Flush, Merge
from streams.produce.pace import AT_ONCE, TICK, Pace
from streams.produce.reader import Start, read_file, size_of
from streams.produce.replays import STDIN, Replay, begun, finished
from streams.project import Project
from streams.sections import Source
from streams.supervisor.topics import wanted_topics

ON_BAD = ("send", "skip", "stop")


@dataclass(frozen=True)
class Sent:
    """What a replay did: rows of each source, rows sent before by an earlier try, and the rows that do not fit."""

    rows: dict[str, int]
    before: int
    bad: int
    seconds: float
    complete: bool


@dataclass(frozen=True)
class Progress:
    """How far it is: rows, event time (ms), and the share of the files where their size is known."""

    rows: int
    time: int | None
    fraction: float | None


class _Position:
    """How far one source's files have been sent."""

    def __init__(self, project: Project, source: Source, files: tuple[str, ...], committed: str) -> None:
        self._source, self._files = source, files
        self._convert: Callable[[Chunk], Chunk] = as_avro(project, source) if source.format == "avro" else lambda chunk: chunk
        found = json.loads(committed) if committed else {}
        self.at, self.rows, self._newest, self._check = found.get("at", 0), found.get("rows", 0), found.get("newest"), found.get("check")
        self._sizes = [size_of(file) for file in files]

    def chunks(self, on_bad: Callable[[Bad], bool]) -> Iterator[Chunk]:
        """The rows still to be sent. `on_bad` says whether a row that does not fit is sent all the same."""
        first, start = self.at >> FILE_BITS, Start(self.at & ((1 << FILE_BITS) - 1), self._newest)
        if self._check is not None and self._check != _check(self._files[first], int(self._check.split(":")[0])):
            raise DriftlineError(
                f"{self._files[first]} is not the file it was when this replay began. Send it from the beginning with --again."
            )
        for number in range(first, len(self._files)):
            newest = start.newest
            for chunk in read_file(self._files[number], self._source, start):
                newest = int(chunk.newest[-1]) if len(chunk) else newest
                chunk = self._convert(chunk)
                left_out = [one.row for one in chunk.bad if not on_bad(one) and one.row is not None]
                if left_out:
                    keep = np.ones(len(chunk), bool)
                    keep[left_out] = False
                    chunk = chunk.take(keep)
                if len(chunk):
                    yield replace(chunk, after=chunk.after + (number << FILE_BITS))
            start = Start(0, newest)

    def sent(self, chunk: Chunk) -> tuple[int, str]:
        """Move past rows that are being sent; rows so far, and the text to commit."""
        self.at, self.rows = int(chunk.after[-1]), self.rows + len(chunk)
        check = _check(self._files[self.at >> FILE_BITS])
        return self.rows, json.dumps({"at": self.at, "rows": self.rows, "newest": int(chunk.newest[-1]), "check": check})

    @property
    def fraction(self) -> float | None:
        sizes = [size for size in self._sizes if size is not None]
        if len(sizes) < len(self._sizes) or not sum(sizes):
            return None
        return float((sum(sizes[: self.at >> FILE_BITS]) + (self.at & ((1 << FILE_BITS) - 1))) / sum(sizes))


def send(
    project: Project,
    replay: Replay,
    *,
    again: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_bad: Callable[[Bad], None] = lambda bad: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Sent:
    """Send what of the replay's files is not in the log yet; with `again` all of it once more.

    Raises DriftlineError: a source or file that is not there, a file that has changed since, a bad row where `on_bad` is 'stop'.
    """
    for source in replay.files:
        project.source(source)
    pace, group = Pace(replay.rate, replay.speed, replay.speed_from), replay.group(project)
    settings = project.kafka()
    topics = wanted_topics(project)
    ensure_topics(settings, {project.topic(source): topics[project.topic(source)] for source in replay.files})
    bad = 0

    def meet(one: Bad) -> bool:
        nonlocal bad
        bad += 1
        on_bad(one)
        if replay.on_bad == "stop":
            raise DriftlineError(f"{one}. Nothing from this row on was sent.")
        return replay.on_bad == "send"

    started = time.monotonic()
    with ColumnarProducer(settings, transactional_id=group) as producer:  # fences an earlier try that still lives
        committed = {} if again or not replay.resumable else _committed(settings, group, project, replay)
        positions = {
            source: _Position(project, project.source(source), files, committed.get(source, "")) for source, files in replay.files.items()
        }
        before = sum(position.rows for position in positions.values())
        if replay.resumable:
            begun(project, replay)
        merge = Merge([Feed(source, position.chunks(meet)) for source, position in positions.items()])
        rows: dict[str, int] = dict.fromkeys(replay.files, 0)
        complete = False
        for flush in _flushes(merge, pace, stopped):
            done = {source: positions[source].sent(chunk) for source, chunk in flush.parts.items()}
            _write(producer, project, replay, flush, done)
            for source, chunk in flush.parts.items():
                rows[source] += len(chunk)
            shares = [share for position in positions.values() if (share := position.fraction) is not None]
            fraction = sum(shares) / len(shares) if len(shares) == len(positions) else None
            on_progress(Progress(before + sum(rows.values()), flush.through, fraction))
            complete = flush.last
    if complete:
        finished(project, replay)
    return Sent(rows, before, bad, time.monotonic() - started, complete)


def _flushes(merge: Merge, pace: Pace, stopped: Callable[[], bool]) -> Iterator[Flush]:
    first, said = merge.first_time(), None
    if pace.starts is not None:
        while not stopped() and first is not None and first < pace.starts:
            flush = merge.take(AT_ONCE, pace.starts - 1)
            first, said = merge.first_time(), flush.through
            yield flush
            if flush.last:
                return
    started, sent = time.monotonic(), 0
    while not stopped():
        elapsed = time.monotonic() - started
        due = pace.due(sent, elapsed)
        if due > 0:
            flush = merge.take(due, None if first is None else pace.until(first, elapsed))
            if flush.rows or flush.last or flush.through != said:
                said = flush.through
                sent += flush.rows
                yield flush
            if flush.last:
                return
        if pace.paced:
            time.sleep(TICK)


def _write(producer: ColumnarProducer, project: Project, replay: Replay, flush: Flush, done: dict[str, tuple[int, str]]) -> None:
    sources = {source: project.source(source) for source in replay.files}
    marked = flush.through is not None and (
        len(sources) > 1 or replay.speed is not None or any(one.partitions > 1 for one in sources.values())
    )
    if not flush.rows and not marked:
        return
    producer.begin()
    for name, chunk in flush.parts.items():
        partitions = sources[name].partitions
        where = _partition(chunk.keys, partitions)
        for partition in range(partitions):
            mine = slice(None) if partitions == 1 else np.flatnonzero(where == partition)
            producer.send(project.topic(name), partition, chunk.times[mine], chunk.keys.take(mine), chunk.values.take(mine))
    if marked and flush.through is not None:
        # several files are cut between event times, so what is still to come is later than `through`
        come = flush.through + 1 if len(replay.files) > 1 or flush.last else flush.through
        stamp = np.array([come], np.int64)
        header: list[tuple[str, bytes | None]] = [(WATERMARK, str(come).encode())]
        for name, source in sources.items():
            for partition in range(source.partitions):
                producer.send(project.topic(name), partition, stamp, None, Bytes.nulls(1), [header])
    if replay.resumable and done:
        producer.send_positions({(project.topic(name), 0): position for name, position in done.items()}, replay.group(project))
    producer.commit()


def _committed(settings: dict[str, object], group: str, project: Project, replay: Replay) -> dict[str, str]:
    with ColumnarConsumer(settings) as consumer:
        found = consumer.committed(group, [(project.topic(source), 0) for source in replay.files])
    return {source: found[(project.topic(source), 0)][1] for source in replay.files if (project.topic(source), 0) in found}


def _partition(keys: Bytes, partitions: int) -> np.ndarray:
    """As Kafka's own producers do: murmur2 of the key; rows without a key in turn."""
    if partitions == 1:
        return np.zeros(len(keys), np.int64)
    from kafka.partitioner.default import murmur2

    known: dict[bytes, int] = {}
    where = np.arange(len(keys)) % partitions
    for row in range(len(keys)):
        key = keys[row]
        if key is not None:
            if key not in known:
                known[key] = (murmur2(key) & 0x7FFFFFFF) % partitions
            where[row] = known[key]
    return where


def _check(file: str, length: int | None = None) -> str:
    """The length and a digest of a file's beginning, which stays when rows are appended."""
    if file == STDIN:
        return ""
    with open(file, "rb") as stream:
        beginning = stream.read(4096 if length is None else length)
    return f"{len(beginning)}:{hashlib.sha256(beginning).hexdigest()[:12]}"
