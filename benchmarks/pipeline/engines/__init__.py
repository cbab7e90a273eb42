"""The engines under test: how each is installed, started, and what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.pipeline.windows import LATE_MS
from benchmarks.pipeline.workload import COLUMNS, PAYMENTS
from connectors.kafka.admin import ensure_topics
from streams.project import load_project
from streams.sections import Source
from streams.supervisor.topics import wanted_topics
from streams.types import Type

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
PARALLELISM = 2  # of the engines on Flink


@dataclass(frozen=True)
class Job:
    """One run: where the payments are, where the rows go, a scratch folder, and whether latency matters more than throughput."""

    bootstrap: str
    name: str
    topic: str
    out: str
    folder: Path
    latency: bool


@dataclass(frozen=True)
class Engine:
    """`command(python, job)` is the process to start; `order` says which of the two right answers it gives."""

    name: str
    package: str
    command: Callable[[str, Job], list[str]]
    exactly_once: bool
    order: str = "arrival"
    requirement: str | None = None  # None: the environment this runs in
    python: str | None = None
    environment: Callable[[Job], Mapping[str, str]] = field(default=lambda job: {})

    def interpreter(self, cache: Path) -> str:
        """The Python that has the engine; a virtual environment is made for a peer on first use."""
        if self.python is not None:
            return self.python
        if self.requirement is None:
            return sys.executable
        folder = cache / self.requirement.replace("=", "-")
        python = folder / "bin" / "python"
        if not (folder / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", self.requirement], check=True)
            (folder / "ready").touch()
        return str(python)

    def version(self, python: str) -> str:
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def driftline(processing: str, sources: Sequence[Source], features: str, *extra: str) -> Callable[[str, Job], list[str]]:
    """Our worker on a project of these sources and this SQL."""

    def command(python: str, job: Job) -> list[str]:
        tables = "".join(map(_toml, sources))
        text = PROJECT.format(name=job.name, bootstrap=job.bootstrap, processing=processing, sources=tables)
        (job.folder / "driftline.toml").write_text(text)
        (job.folder / "features.sql").write_text(features)
        project = load_project(job.folder)
        there = {job.out, *(project.topic(name) for name in project.sources)}
        ensure_topics(project.kafka(), {name: wanted for name, wanted in wanted_topics(project).items() if name not in there})
        return [python, "-m", "streams.cli", "run", "features", "--project", str(job.folder), *extra]

    return command


def _toml(source: Source) -> str:
    fields = "".join(f'{name} = "{kind}"\n' for name, kind in source.fields.items())
    head = f'[sources.{source.name}]\nkey = "{source.key}"\ntime = "{source.time}"\npartitions = {source.partitions}\n'
    return f"{head}[sources.{source.name}.fields]\n{fields}"


PROJECT = """\
name = "{name}"
bootstrap_servers = "{bootstrap}"
processing = "{processing}"
{sources}
[model]
features = "features.sql"
"""

FEATURES = "SELECT i, card, paid_at,\n" + ",\n".join(
    f"       count(*) OVER w{w} AS count_{w}, sum(amount) OVER w{w} AS sum_{w}, avg(amount) OVER w{w} AS avg_{w}" for w in ("1h", "24h", "3d")
) + "\nFROM payments\nWINDOW " + ",\n       ".join(
    f"w{w} AS (PARTITION BY card ORDER BY paid_at ROWS_RANGE BETWEEN {w} PRECEDING AND CURRENT ROW)" for w in ("1h", "24h", "3d")
) + "\n"  # fmt: skip


def _script(name: str, *extra: str) -> Callable[[str, Job], list[str]]:
    def command(python: str, job: Job) -> list[str]:
        words = {"folder": str(job.folder), "commit": "0.1" if job.latency else "1"}
        return [python, str(HERE / name), job.bootstrap, job.topic, job.out, *(w.format(**words) for w in extra)]

    return command


def _bytewax(python: str, job: Job) -> list[str]:
    return [python, "-m", "bytewax.run", "bytewax_app:flow"]


def flink_sql(sources: Sequence[Source], select: str, answers: Mapping[str, str], key: str, late: str) -> Callable[[str, Job], list[str]]:
    """Flink SQL on topics of these sources, whose event time is `ts` there. `answers`: the columns of `select` and their types; `late`: how far
    the watermark is behind, as in '10' MINUTE."""

    def command(python: str, job: Job) -> list[str]:
        from connectors.flink.jars import connector_jar

        work = {
            "bootstrap": job.bootstrap, "job": job.name, "out": job.out, "jar": str(connector_jar()), "checkpoints": str(job.folder / "checkpoints"),
            "parallelism": PARALLELISM, "late": late, "select": select, "answers": answers, "key": key,
            "sources": {s.name: {"time": s.time, "fields": {n: _flink_type(kind) for n, kind in s.fields.items()}} for s in sources},
        }  # fmt: skip
        return [python, str(HERE / "flink_sql.py"), json.dumps(work)]

    return command


def _flink_type(kind: Type) -> str:
    return "BIGINT" if kind is Type.TIMESTAMP else str(kind)


def _nested() -> str:
    """Three nested queries, since one SELECT may have one OVER window only."""
    query = "payments"
    for w, span in (("1h", "'1' HOUR"), ("24h", "'1' DAY"), ("3d", "'3' DAY(2)")):
        over = f"(PARTITION BY card ORDER BY ts RANGE BETWEEN INTERVAL {span} PRECEDING AND CURRENT ROW)"
        query = f"(SELECT *, COUNT(*) OVER {over} AS count_{w}, SUM(amount) OVER {over} AS sum_{w}, AVG(amount) OVER {over} AS avg_{w} FROM {query})"
    return f"SELECT {', '.join(ANSWERS)} FROM {query}"


ANSWERS = {"i": "BIGINT", "card": "STRING", "paid_at": "BIGINT"} | {
    name: "BIGINT" if name.startswith("count") else "DOUBLE" for name in COLUMNS
}
ON_FLINK = ("--on", "flink", "--set", f"flink.parallelism={PARALLELISM}", "--set", "flink.checkpoint_every=1s")
FLINK_PYTHON = str(ROOT / ".venv-flink" / "bin" / "python")

ENGINES = {
    engine.name: engine
    for engine in (
        Engine("driftline", "driftline", driftline("exactly_once", [PAYMENTS], FEATURES), True),
        Engine("driftline-at-least-once", "driftline", driftline("at_least_once", [PAYMENTS], FEATURES), False),
        Engine("driftline-flink", "driftline", driftline("exactly_once", [PAYMENTS], FEATURES, *ON_FLINK), True, python=FLINK_PYTHON),
        Engine("faust", "faust-streaming", _script("faust_app.py"), False),
        Engine("quix", "quixstreams", _script("quix_app.py", "{folder}/state", "{commit}", "exactly-once"), True, requirement="quixstreams==3.28.1"),
        Engine("bytewax", "bytewax", _bytewax, False, requirement="bytewax[kafka]==0.21.1",
               environment=lambda job: {"PYTHONPATH": f"{HERE}:{ROOT}", "BENCH_BOOTSTRAP": job.bootstrap, "BENCH_TOPIC": job.topic, "BENCH_OUT": job.out}),
        Engine("pathway", "pathway", _script("pathway_app.py"), False, requirement="pathway==0.33.0", environment=lambda job: {"PATHWAY_THREADS": "1"}),
        Engine("flink-sql", "apache-flink", flink_sql([PAYMENTS], _nested(), ANSWERS, "card", f"'{LATE_MS // 60000}' MINUTE"), True, order="event_time", python=FLINK_PYTHON),
    )
}  # fmt: skip
