"""`python -m benchmarks.soak [--minutes 10] [--rate 17000] [--json]`: one worker at a steady rate, its memory printed, every row verified at the end.

The work is that of `benchmarks.pipeline`: 10,000 cards, windows of an hour, a day and three days. 100,000 events are a day of event time, so
that the windows hold as many rows at the end as after the first three million events.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.pipeline import topics
from benchmarks.pipeline.engines import ENGINES, Job
from benchmarks.pipeline.measure import Setting, end, start
from benchmarks.pipeline.windows import LATE_MS
from benchmarks.pipeline.workload import CARDS, SHUFFLED, START
from connectors.broker import EmbeddedBroker
from connectors.formats import json as columns
from connectors.kafka.admin import lag
from connectors.kafka.columns import Bytes
from connectors.kafka.producer import ColumnarProducer
from streams import pipeline
from streams.features.verify import verify
from streams.project import Project, load_project
from streams.sensors import Sensor
from streams.worker.connection import KafkaConnection

STEP_MS = 86_400_000 // 100_000
SAMPLE_S = 30.0


@dataclass(frozen=True)
class Sample:
    """Memory in MB; `behind`: events without a committed row."""

    second: int
    events: int
    behind: int
    worker_mb: int
    broker_mb: int


def events(first: int, count: int, draw: np.random.Generator) -> pa.Table:
    """Payments number `first` and on, a few percent of them out of order."""
    numbers = np.arange(first, first + count)
    at = START + numbers * STEP_MS - np.where(draw.random(count) < SHUFFLED, draw.integers(0, LATE_MS, count), 0)
    cards = draw.integers(0, CARDS, count)
    return pa.table(
        {
            "i": numbers,
            "card": pa.array([f"card-{card:05d}" for card in cards]),
            "paid_at": at,
            "amount": np.round(draw.lognormal(3.0, 1.0, count), 2),
            "merchant": pa.array([f"merchant-{number:04d}" for number in draw.integers(0, 5000, count)]),
            "partition": cards % topics.PARTITIONS,
        }
    )


def feed(kafka: dict[str, str], topic: str, rate: int, seconds: float) -> Iterator[int]:
    """Write so many events a second, in tenths of a second and as columns (row by row it would take a core); how many there are after each."""
    draw, sent, begun = np.random.default_rng(7), 0, time.monotonic()
    with ColumnarProducer(kafka) as producer:
        while (now := time.monotonic() - begun) < seconds:
            if sent > now * rate:
                time.sleep(sent / rate - now)
            table = events(sent, rate // 10, draw)
            for partition in range(topics.PARTITIONS):
                rows = table.filter(pa.array(table["partition"].to_numpy() == partition)).drop_columns("partition")
                producer.send(topic, partition, rows["paid_at"].to_numpy(), Bytes.from_arrow(rows["card"]), columns.encode(rows))
            sent += len(table)
            yield sent
        producer.flush()


def soak(broker: EmbeddedBroker, rate: int, seconds: float, folder: Path) -> list[Sample]:
    """Run the worker beside the feed; its project stays in `folder`."""
    bootstrap = broker.start()
    kafka = {"bootstrap_servers": bootstrap, "compression_type": "lz4"}
    job = Job(bootstrap, "soak", "soak.payments", "soak.features", folder, latency=True)
    topics.create(bootstrap, job.topic, job.out)
    process = start(ENGINES["driftline"], Setting(bootstrap, folder, seconds), job)
    state = broker.running()
    assert state is not None
    family = psutil.Process(process.pid), psutil.Process(state.pid)
    samples: list[Sample] = []
    begun = time.monotonic()

    def sample(sent: int) -> Sample:
        behind = sum(one.records for one in lag(kafka, "soak.features", [job.topic]).values())
        samples.append(Sample(round(time.monotonic() - begun), sent, behind, *(one.memory_info().rss // 1_000_000 for one in family)))
        print("  ".join(f"{name} {value:,}" for name, value in asdict(samples[-1]).items()), file=sys.stderr, flush=True)
        return samples[-1]

    try:
        sent = 0
        for sent in feed(kafka, job.topic, rate, seconds):
            if time.monotonic() - begun >= SAMPLE_S * (len(samples) + 1):
                sample(sent)
        deadline = time.monotonic() + 120
        while sample(sent).behind and time.monotonic() < deadline:
            time.sleep(1)
    finally:
        end(process)
    return samples


class Replayed(Sensor):
    """How fast a worker got its state back."""

    events, seconds = 0, 0.0

    def on_replay(self, step: str, done: int, total: int, seconds: float) -> None:
        self.events, self.seconds = done, seconds


def replayed(project: Project) -> Replayed:
    """Get the state back from the log alone, as a worker does whose snapshots are lost."""
    shutil.rmtree(project.state_dir / "state")
    found = Replayed()
    worker = pipeline.worker(project, "features", KafkaConnection(project.kafka()), found)
    try:
        worker.open()
    finally:
        worker.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=17_000, help="events per second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftline-soak-") as folder:
        project = Path(folder) / "project"
        project.mkdir()
        broker = EmbeddedBroker(Path(folder) / "broker")
        try:
            samples = soak(broker, options.rate, options.minutes * 60, project)
            again = replayed(load_project(project))
            parity = verify(load_project(project))
        finally:
            broker.stop()
    speed = round(again.events / max(again.seconds, 1e-3))
    found = {
        "rate": options.rate,
        "rows": parity.rows,
        "equal": parity.equal,
        "replayed": again.events,
        "replayed_per_second": speed,
        "samples": [asdict(one) for one in samples],
    }
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{parity.equal:,} of {parity.rows:,} rows are what the log gives; the worker had {samples[len(samples) // 3].worker_mb:,} MB after a third"
              f" of the time and {samples[-1].worker_mb:,} MB at the end. From the log alone its state is back at {speed:,} events/s.")  # fmt: skip
    return 0 if parity.rows == parity.equal == samples[-1].events else 1


if __name__ == "__main__":
    sys.exit(main())
