"""`python -m streams.supervisor.warm`: once after an installation, so that the first start is quick.

Fetches the broker's jars and drives the feature step of the flights project with made-up rows through a real broker, which compiles every
kernel it needs into its cache.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from connectors.broker import EmbeddedBroker
from streams import pipeline
from streams.errors import DriftlineError
from streams.produce.replays import Replay
from streams.produce.send import send
from streams.project import Project, load_project
from streams.sections import Source
from streams.sensors import Meter
from streams.supervisor.init import init
from streams.supervisor.topics import make_topics
from streams.types import Type

ROWS = 500  # of each source
START = 1_357_000_000_000


def main() -> int:
    try:
        with tempfile.TemporaryDirectory() as folder:
            init(Path(folder) / "flights", "flights")
            warm(load_project(Path(folder) / "flights"))
    except (DriftlineError, OSError) as error:
        print(f"The first start will be slower: {error}", file=sys.stderr)
    return 0


def warm(project: Project) -> None:
    """Send made-up rows of every source and wait for their feature rows. The project's broker is started and stopped."""
    draw = random.Random(1)
    files: dict[str, tuple[str, ...]] = {}
    for name, source in project.sources.items():
        file = project.root / f"{name}.jsonl"
        file.write_text("".join(json.dumps(_row(source, number, draw)) + "\n" for number in range(ROWS)))
        files[name] = (str(file),)
    meter = Meter()
    with EmbeddedBroker(project.state_dir):
        make_topics(project)
        send(project, Replay(files))
        worker = pipeline.worker(project, "features", sensor=meter)
        worker.run(until=lambda: meter.figures("features")["rows"] >= ROWS)


def _row(source: Source, number: int, draw: random.Random) -> dict[str, object]:
    row = {name: _value(kind, number, draw) for name, kind in source.fields.items() if draw.random() < 0.95 or name == source.time}
    return {**row, source.time: START + number * 60_000}


def _value(kind: Type, number: int, draw: random.Random) -> object:
    if kind in (Type.FLOAT, Type.DOUBLE):
        return draw.uniform(-100, 100)
    if kind is Type.STRING:
        return f"word {draw.randrange(20)}"
    if kind is Type.BOOL:
        return draw.random() < 0.5
    if kind is Type.TIMESTAMP:
        return START + number * 60_000
    if kind is Type.DATE:
        return "2013-01-01"
    return draw.randrange(100)


if __name__ == "__main__":
    sys.exit(main())
