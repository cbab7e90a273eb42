"""One engine, two runs: a backlog for throughput, a steady rate for latency."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.pipeline import topics
from benchmarks.pipeline.engines import ROOT, Engine, Job
from benchmarks.pipeline.feeder import Feeder
from benchmarks.pipeline.windows import LATE_MS
from benchmarks.pipeline.workload import COLUMNS, equal, expected, fed, payments
from connectors.broker import EmbeddedBroker


class Usage(threading.Thread):
    """Samples memory and processor time of a process and its children."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.samples, self.done = psutil.Process(pid), 0, [], threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.1):
            try:
                family = [self.process, *self.process.children(recursive=True)]
                memory = [p.memory_info().rss for p in family]
                used = [p.cpu_times() for p in family]
            except psutil.Error:
                continue
            self.peak = max(self.peak, sum(memory))
            self.samples.append((time.time(), sum(u.user + u.system for u in used)))

    def cores(self, begin: float, end: float) -> float:
        inside = [s for s in self.samples if begin <= s[0] <= end]
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0]) if len(inside) > 1 else float("nan")


@dataclass(frozen=True)
class Setting:
    bootstrap: str
    cache: Path
    limit: float  # seconds for one run


@contextmanager
def opened(limit: float) -> Iterator[Setting]:
    """A broker of its own, ended at the end."""
    cache = ROOT / ".driftline" / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="driftline-bench-broker-") as folder, EmbeddedBroker(Path(folder)) as broker:
        yield Setting(broker.bootstrap, cache, limit)


def machine() -> Mapping[str, object]:
    return {"cores": psutil.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def end(process: subprocess.Popen[bytes]) -> None:
    """End the engine and its children by their pids."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
    for child in family:
        if child.is_running():
            child.kill()


def start(engine: Engine, setting: Setting, job: Job) -> subprocess.Popen[bytes]:
    python = engine.interpreter(setting.cache)
    log = (job.folder / "log").open("wb")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **engine.environment(job)}
    os.sync()  # what the runs before left to be written to disk is not this engine's
    return subprocess.Popen(engine.command(python, job), stdout=log, stderr=log, env=environment, cwd=job.folder)


@dataclass(frozen=True)
class Backlog:
    """What an engine made of a backlog: its rows, and what it took. `error`: the last words of one that gave no row."""

    rows: topics.Rows
    events_per_second: int
    peak_mb: int
    cores: float
    error: str | None = None


def backlog(engine: Engine, setting: Setting, feeds: Sequence[topics.Feed], count: int) -> Backlog:
    """Records that wait on the broker, `count` rows to come; rows per second between the first rows and the last, by the broker's stamps."""
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        name = f"bench{time.time_ns()}"
        names = [f"{name}.{feed.source.name}" for feed in feeds]
        job = Job(setting.bootstrap, name, names[-1], f"{name}.features", Path(folder), latency=False)
        topics.create(setting.bootstrap, *names, job.out)
        for topic, feed in zip(names, feeds, strict=True):
            topics.produce(setting.bootstrap, topic, feed)
        if engine.order == "event_time":  # what a watermark waits for; these rows themselves never come out
            for place, feed in enumerate(feeds):  # each source's at another time, or they would be joined to each other
                topics.produce(setting.bootstrap, names[place], feed.closing(3 * LATE_MS * (place + 1)))
        process, rows = start(engine, setting, job), topics.Rows([], [], [])
        usage = Usage(process.pid)
        usage.start()
        try:
            deadline = time.time() + setting.limit

            def over() -> bool:
                return time.time() > deadline or process.poll() is not None

            topics.await_quiet(setting.bootstrap, job.out, count, over)
            for found in topics.follow(setting.bootstrap, job.out, rows):
                if found >= count or over():
                    break
        finally:
            usage.done.set()
            end(process)
        if not rows.stamps:
            return Backlog(rows, 0, 0, 0.0, (job.folder / "log").read_text()[-2000:])
    stamps = np.sort(np.array(rows.stamps))
    after, seconds = int((stamps > stamps[0]).sum()), (stamps[-1] - stamps[0]) / 1000
    cores = usage.cores(stamps[0] / 1000, stamps[-1] / 1000)
    return Backlog(rows, round(after / max(seconds, 1e-3)), round(usage.peak / 1e6), round(cores, 2))


def throughput(engine: Engine, setting: Setting, events: int) -> Mapping[str, object]:
    """A backlog of `events` payments; every value checked."""
    table = payments(events)
    found = backlog(engine, setting, [fed(table)], events)
    if found.error is not None:
        return {"error": found.error}
    count = len(found.rows.stamps)
    same, different = equal(found.rows.table(COLUMNS), expected(table, engine.order)) if count == events else (False, events - count)
    return {
        "events_per_second": found.events_per_second, "peak_mb": found.peak_mb, "cores": found.cores,
        "rows": count, "results_equal": same, "different": different,
    }  # fmt: skip


def latency(engine: Engine, setting: Setting, rate: int, seconds: int) -> Mapping[str, object]:
    """Milliseconds from produce to visible under read_committed, at a steady rate; the first third is warm-up and left out."""
    feed = fed(payments(rate * seconds))
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        name = f"bench{time.time_ns()}"
        job = Job(setting.bootstrap, name, f"{name}.payments", f"{name}.features", Path(folder), latency=True)
        topics.create(setting.bootstrap, job.topic, job.out)
        topics.produce(setting.bootstrap, job.topic, feed.slice(0, 1000))
        load = Feeder(setting.bootstrap, job.topic, feed.slice(1000))
        process, rows, sent = start(engine, setting, job), topics.Rows([], [], []), []
        deadline = time.time() + setting.limit
        feeder: threading.Thread | None = None
        try:
            for count in topics.follow(setting.bootstrap, job.out, rows):
                if feeder is None and count >= 900:  # the engine is up (an engine with patience keeps the newest back)
                    feeder = threading.Thread(target=lambda: sent.extend(load.run(rate)), daemon=True)
                    feeder.start()
                if count >= len(feed) or time.time() > deadline or process.poll() is not None:
                    break
        finally:
            end(process)
            if feeder is not None:
                feeder.join()
            load.close()
    if not sent:
        return {"p50_ms": None, "p99_ms": None}
    ids = _ids(rows.values)
    began = 1000 + (len(feed) - 1000) // 3
    took = [(seen - sent[i - 1000]) * 1000 for i, seen in zip(ids, rows.seen, strict=True) if i >= began and i - 1000 < len(sent)]
    complete = len(took) == len(feed) - began
    return {
        "p50_ms": round(float(np.percentile(took, 50)), 1),
        "p99_ms": round(float(np.percentile(took, 99)), 1),
        "latency_complete": complete,
    }


def _ids(values: list[bytes]) -> list[int]:
    import orjson

    return [orjson.loads(value)["i"] for value in values]


def result(engine: Engine, setting: Setting, events: int, rate: int, seconds: int) -> Mapping[str, object]:
    """The engine's row of the table."""
    python = engine.interpreter(setting.cache)
    row: dict[str, object] = {"engine": engine.name, "version": engine.version(python), "exactly_once": engine.exactly_once}
    row |= throughput(engine, setting, events)
    row |= latency(engine, setting, rate, seconds) if rate and "error" not in row else {"p50_ms": None, "p99_ms": None}
    return row
