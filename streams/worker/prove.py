"""The proof of exactly-once that a user can run: workers and broker of a real pipeline are killed (-9) at random moments, and what
read_committed readers see afterwards is compared row by row with an undisturbed run over the same log.

Events are drawn at random by the project's own schemas (or those of a small project of this module), a few of them bad and a few late.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import kafka.errors
import numpy as np

from connectors.broker import EmbeddedBroker
from connectors.kafka.columns import Bytes
from connectors.kafka.producer import ColumnarProducer
from streams import pipeline
from streams.errors import DriftlineError
from streams.events.decode import WATERMARK
from streams.events.redrive import records_of
from streams.features.program import Program
from streams.features.step import Features, plan_of, width
from streams.project import Project, load_project
from streams.sections import Source
from streams.supervisor.topics import make_topics
from streams.types import Type
from streams.worker.connection import KafkaConnection
from streams.worker.engine import Worker
from streams.worker.write import Topics

Say = Callable[[str], None]
PER_S = 2_000  # events sent a second
CHUNK = 200
FIRST = 1_600_000_000_000  # event time (ms) of the first event
LAST = FIRST + 365 * 86_400_000  # past all that can be sent
PATIENCE_S = 600.0
COMPARED = ("features", "dead-letters", "late")
_PROJECT = """
name = "proof"
[state]
every = "2s"
[sources.payments]
key = "card"
time = "at"
partitions = 2
idle_after = "1h"
[sources.payments.fields]
card = "STRING"
at = "TIMESTAMP"
amount = "DOUBLE"
[sources.rates]
time = "at"
idle_after = "1h"
[sources.rates.fields]
card = "STRING"
at = "TIMESTAMP"
rate = "DOUBLE"
[model]
"""
_SQL = """
SELECT payments.card, amount, count(*) OVER hour AS times, sum(amount) OVER hour AS spent, avg(amount) OVER day AS usual, rates.rate
FROM payments
LAST JOIN rates ORDER BY rates.at ON payments.card = rates.card
WINDOW hour AS (PARTITION BY payments.card ORDER BY payments.at ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW),
       day AS (PARTITION BY payments.card ORDER BY payments.at ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)
"""


@dataclass(frozen=True)
class Proof:
    """`rows` compared; of them missing, written more than once, and different from the undisturbed run."""

    kills: int
    workers_killed: int
    broker_killed: int
    rows: int
    missing: int
    doubled: int
    different: int
    topics: Mapping[str, Mapping[str, int]]
    seconds: float
    seed: int

    @property
    def holds(self) -> bool:
        return not (self.missing or self.doubled or self.different)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def prove_exactly_once(kills: int = 20, like: Project | None = None, seed: int | None = None, say: Say = lambda line: None) -> Proof:
    """Run the proof in a folder of its own, which is removed afterwards. `like` gives schemas and feature SQL; nothing of it is touched."""
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="driftline-proof-") as folder:
        project = _lay_out(Path(folder), like)
        broker = EmbeddedBroker(project.state_dir)
        say(f"a broker and a project of its own, seed {seed}")
        broker.start()
        try:
            make_topics(project)
            killed = _torn(project, broker, kills, random.Random(seed), say)
            say("all kills done; the undisturbed run over the same log")
            _whole(project)
            topics = {name: _compare(project, name) for name in COMPARED}
        finally:
            broker.stop()
    total = {key: sum(topic[key] for topic in topics.values()) for key in ("rows", "missing", "doubled", "different")}
    return Proof(kills, killed["worker"], killed["broker"], **total, topics=topics, seconds=round(time.monotonic() - begun, 1), seed=seed)


def _lay_out(folder: Path, like: Project | None) -> Project:
    if like is None:
        (folder / "driftline.toml").write_text(_PROJECT)
        (folder / "features.sql").write_text(_SQL)
        return load_project(folder)
    for path in like.root.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    overrides: dict[str, object] = {"state.every": "2s"}
    overrides |= {f"sources.{name}.idle_after": "1h" for name in like.sources}
    project = load_project(folder, overrides)
    if not project.embedded:
        raise DriftlineError(
            f"{like.name} names bootstrap_servers; the proof kills its broker, so it wants an embedded one. Leave the key out."
        )
    return project


@contextmanager
def _worker(project: Project) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Gives a function that starts the features process (again); the last one is ended at the end."""
    running: list[subprocess.Popen[bytes]] = []
    settings = [text for name in project.sources for text in ("--set", f"sources.{name}.idle_after=1h")] + ["--set", "state.every=2s"]

    def start() -> subprocess.Popen[bytes]:
        with open(project.root / "worker.log", "ab") as log:
            command = [sys.executable, "-m", "streams.cli", "run", "features", "--project", str(project.root), *settings]
            running[:] = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)]
        return running[0]

    try:
        yield start
    finally:
        for process in running:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _torn(project: Project, broker: EmbeddedBroker, kills: int, dice: random.Random, say: Say) -> Counter[str]:
    killed: Counter[str] = Counter()
    stop = threading.Event()
    sending = threading.Thread(target=_send, args=(project, stop, dice.randrange(1 << 31)), daemon=True)
    sending.start()
    with ExitStack() as stack:
        stack.callback(stop.set)
        start = stack.enter_context(_worker(project))
        process = start()
        for number in range(kills):
            process = _progress(project, process, start)
            time.sleep(dice.random() * 1.5)
            victim = "broker" if dice.random() < 0.3 else "worker"
            killed[victim] += 1
            say(f"kill {number + 1} of {kills}: {victim}")
            if victim == "worker":
                process.kill()
                process.wait()
                process = start()
            else:
                running = broker.running()
                if running is not None:
                    os.kill(running.pid, signal.SIGKILL)
                _again(broker)
        stop.set()
        sending.join(PATIENCE_S)
        _end(project)
        say("waiting until everything sent is committed")
        _caught_up(project, process, start)
    return killed


def _again(broker: EmbeddedBroker) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            broker.start()
            return
        except DriftlineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


Start = Callable[[], "subprocess.Popen[bytes]"]


def _progress(project: Project, process: subprocess.Popen[bytes], start: Start) -> subprocess.Popen[bytes]:
    """Wait until the worker has committed again; one that ended is started, as a supervisor would."""
    before: int | None = None
    deadline = time.monotonic() + PATIENCE_S
    while True:
        now = _commits(project)
        if now is not None and before is not None and now > before:
            return process
        before = now if before is None else before
        process = _alive(project, process, start, deadline)
        time.sleep(0.1)


def _caught_up(project: Project, process: subprocess.Popen[bytes], start: Start) -> None:
    deadline = time.monotonic() + PATIENCE_S
    group = f"{project.prefix or project.name}.features"
    consumer = KafkaConnection(project.kafka()).consumer()
    try:
        topics = [one.topic for one in pipeline.build(project, "features").inputs]
        parts = [(topic, partition) for topic in topics for partition in consumer.partitions(topic)]
        ends = consumer.end_offsets(parts)
        while any(consumer.committed(group, [part]).get(part, (0, ""))[0] < end for part, end in ends.items()):
            process = _alive(project, process, start, deadline)
            time.sleep(0.2)
    finally:
        consumer.close()


def _alive(project: Project, process: subprocess.Popen[bytes], start: Start, deadline: float) -> subprocess.Popen[bytes]:
    if time.monotonic() > deadline:
        raise DriftlineError(f"The worker has committed nothing in {PATIENCE_S:.0f} s. Its last words:\n{_last_words(project)}")
    if process.poll() is not None:
        time.sleep(0.5)
        return start()
    return process


def _last_words(project: Project) -> str:
    return "\n".join((project.root / "worker.log").read_text(errors="replace").splitlines()[-15:])


def _commits(project: Project) -> int | None:
    """The end of the commits topic; None while the broker does not answer."""
    consumer = None
    try:
        consumer = KafkaConnection(project.kafka()).consumer()
        part = (project.topic("commits"), 0)
        return consumer.end_offsets([part])[part]
    except DriftlineError:
        return None
    finally:
        if consumer is not None:
            consumer.close()


def _send(project: Project, stop: threading.Event, seed: int) -> None:
    """Send until told to stop; what the broker's death makes double in the log is double for both runs."""
    dice = np.random.default_rng(seed)
    at, sources = FIRST, list(project.sources.values())
    while not stop.is_set():
        begun = time.monotonic()

        def round_of(producer: ColumnarProducer, at: int = at) -> None:
            for source in sources:
                for partition in range(source.partitions):
                    _chunk(producer, project, source, partition, at, dice)
            producer.flush()
            _mark(producer, project, sources, at + CHUNK * 1000)

        _sent(project, round_of, stop)
        at += CHUNK * 1000
        time.sleep(max(CHUNK * len(sources) / PER_S - (time.monotonic() - begun), 0))


def _end(project: Project) -> None:
    """The last watermark: nothing that was sent waits for more."""
    _sent(project, lambda producer: _mark(producer, project, list(project.sources.values()), LAST), threading.Event())


def _sent(project: Project, send: Callable[[ColumnarProducer], None], stop: threading.Event) -> None:
    """Send with a producer of its own until the broker has it; the broker may die meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with ColumnarProducer({**project.kafka(), "delivery_timeout_ms": 5_000, "request_timeout_ms": 3_000}) as producer:
                send(producer)
                producer.flush()
            return
        except (DriftlineError, kafka.errors.KafkaError):
            if stop.is_set() or time.monotonic() > deadline:
                return
            time.sleep(0.5)


def _chunk(producer: ColumnarProducer, project: Project, source: Source, partition: int, at: int, dice: np.random.Generator) -> None:
    values = [_event(source, at + row * 1000, dice) for row in range(CHUNK)]
    producer.send(project.topic(source.name), partition, np.full(CHUNK, at), None, Bytes.of(values))


def _mark(producer: ColumnarProducer, project: Project, sources: list[Source], time_ms: int) -> None:
    header: list[tuple[str, bytes | None]] = [(WATERMARK, str(time_ms).encode())]
    for source in sources:
        for partition in range(source.partitions):
            producer.send(project.topic(source.name), partition, np.array([time_ms]), None, Bytes.nulls(1), [header])


def _event(source: Source, at: int, dice: np.random.Generator) -> bytes:
    if dice.random() < 0.01:
        return b'{"broken'
    late = int(dice.integers(1, 3_600_000)) if dice.random() < 0.02 else 0
    row = {name: at - late if name == source.time else _VALUES[kind](dice, at) for name, kind in source.fields.items()}
    return json.dumps(row).encode()


_VALUES: dict[Type, Callable[[np.random.Generator, int], Any]] = {
    Type.BOOL: lambda dice, at: bool(dice.integers(2)),
    Type.SMALLINT: lambda dice, at: int(dice.integers(100)),
    Type.INT: lambda dice, at: int(dice.integers(1000)),
    Type.BIGINT: lambda dice, at: int(dice.integers(1_000_000)),
    Type.FLOAT: lambda dice, at: float(np.float32(dice.normal())),
    Type.DOUBLE: lambda dice, at: float(dice.normal() * 100),
    Type.STRING: lambda dice, at: f"k{dice.integers(50)}",
    Type.TIMESTAMP: lambda dice, at: at,
    Type.DATE: lambda dice, at: "2023-11-14",
}


def _whole(project: Project) -> None:
    """The undisturbed run: the same sources, other topics for what is written, one worker in this process."""
    other = replace(project, prefix=f"{project.prefix or project.name}-whole")
    make_topics(other)
    plan = plan_of(project)
    inputs = pipeline.build(project, "features").inputs
    step = Features(Program(plan), plan, inputs, other.topic("features"), width(project))
    settings = replace(
        pipeline.settings(project, step),
        group=f"{other.prefix}.features",
        topics=Topics(*(other.topic(name) for name in ("commits", "dead-letters", "late"))),
        snapshots=None,
    )
    worker = Worker(step, KafkaConnection(project.kafka()), pipeline.readers(project, inputs), settings)
    worker.run(until=worker.caught_up)


def _compare(project: Project, name: str) -> dict[str, int]:
    other = replace(project, prefix=f"{project.prefix or project.name}-whole")
    torn, whole = _rows(project, name), _rows(other, name)
    return {
        "rows": len(whole),
        "missing": sum(1 for place in whole if place not in torn),
        "doubled": sum(len(found) - 1 for found in torn.values()) + sum(1 for place in torn if place not in whole),
        "different": sum(1 for place, found in whole.items() if place in torn and torn[place][0] != found[0]),
    }


def _rows(project: Project, name: str) -> dict[str, list[str]]:
    """What each record says of its event, by the event's place; the moment it was written is not compared."""
    found: dict[str, list[str]] = {}
    consumer = KafkaConnection(project.kafka()).consumer()
    try:
        for records in records_of(consumer, project.topic(name)):
            for row in range(len(records)):
                if (value := records.values[row]) is None:
                    continue
                content = json.loads(value)
                content.pop("at", None)
                place = content.get("source") or content.get("place") or f"[{content['_partition']}]@{content['_offset']}"
                found.setdefault(place, []).append(json.dumps(content, sort_keys=True))
    finally:
        consumer.close()
    return found
