"""Call a user's trainer in a process of its own, with a time limit; what it prints is the run's log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from streams.errors import RunError
from streams.predictions.model import words_of
from streams.retraining.dataset import Dataset
from streams.types import TIME, Schema

TAIL = 30  # lines of the log that travel with a run's records
POLL_S = 0.1


class Cancelled(RunError):
    """Somebody asked for the run to end."""


@dataclass(frozen=True)
class Trainer:
    """`function` is FILE.py:NAME in the project's folder; `schema` are the feature columns that it is given."""

    root: Path
    function: str
    schema: Schema
    threshold: float
    timeout_s: float


def train(
    trainer: Trainer, datasets: Sequence[Dataset], folder: Path, log: Path, cancelled: Callable[[], bool] = lambda: False
) -> list[Path]:
    """Fit on each data set, one after the other in one process; returns the models' folders.

    RunError with the reason when the trainer raises, ends, returns nothing, or takes too long for all of them together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(trainer.schema)
    jobs = []
    for number, dataset in enumerate(datasets):
        rows = dataset.rows.select(columns)
        table = rows.append_column(TIME, pa.array(dataset.times)).append_column("_label", pa.array(dataset.labels))
        path = folder / f"data-{number}.parquet"
        pq.write_table(table, path, compression="none")
        jobs.append({"data": str(path), "model": str(folder / f"model-{number}"), "categories": words_of(rows, trainer.schema)})
    file, _, name = trainer.function.partition(":")
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    spec = {
        "file": str(trainer.root / file),
        "function": name or "train",
        "jobs": jobs,
        "columns": columns,
        "threshold": trainer.threshold,
        "result": str(result),
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    try:
        ended = _run(trainer, folder, log, cancelled)
    finally:
        for job in jobs:
            Path(str(job["data"])).unlink(missing_ok=True)
    if not result.exists():
        how = f"was ended by signal {signal.Signals(-ended).name}" if ended < 0 else f"ended with code {ended}"
        hint = " That is often memory: train on a shorter window ([retraining] window)." if ended == -signal.SIGKILL else ""
        raise RunError(f"The trainer {how} before it returned.{hint}")
    found: Mapping[str, object] = json.loads(result.read_text())
    if not found["ok"]:
        where = f" The log's last lines say where in {file}." if found.get("raised") else ""
        raise RunError(f"{found['error']}{where}")
    return [Path(str(job["model"])) for job in jobs]


def _run(trainer: Trainer, folder: Path, log: Path, cancelled: Callable[[], bool]) -> int:
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "streams.retraining.trainer", str(folder / "spec.json"), str(os.getpid())]
    with log.open("ab") as out:
        # A session of its own, so that what the trainer started ends with it.
        process = subprocess.Popen(
            command, cwd=trainer.root, env=environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + trainer.timeout_s
        try:
            while process.poll() is None:
                if cancelled():
                    raise Cancelled("cancelled while training")
                if time.monotonic() > deadline:
                    raise RunError(
                        f"{trainer.function} did not return within {trainer.timeout_s:g} s ([retraining] timeout). "
                        "Try fewer rows ([retraining] window), fewer rounds, or a longer timeout."
                    )
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return int(process.returncode)


def tail(log: Path, lines: int = TAIL) -> tuple[str, ...]:
    """The last lines of a log, each at most 500 characters; empty where there is none."""
    try:
        size = log.stat().st_size
        with log.open("rb") as file:
            file.seek(max(size - 64_000, 0))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ()
    return tuple(line[:500] for line in text.splitlines()[-lines:])
