"""`driftline demo --headless`: the whole job without a browser, as fast as it goes, and what it came to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.commands.options import open_project
from streams.demo.folder import END, START, events, lay_out, write
from streams.demo.progress import Progress
from streams.demo.report import report
from streams.errors import DriftlineError
from streams.project import Project
from streams.supervisor.up import Supervisor
from streams.worker.connection import KafkaConnection

LIMIT_S = 3600.0


def run_headless(
    folder: Path, *, start: str = START, end: str = END, settings: tuple[str, ...] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Replay flights through a project in `folder` until everything has gone all its way; a folder that was begun goes on.

    `settings` are KEY=VALUE texts, as `driftline up --set` takes them. Raises DriftlineError: the project cannot be started, or it did not come to rest within an hour.
    """
    lay_out(folder, triggers=("manual", "decay"))
    project = open_project(str(folder), settings)
    if not (project.state_dir / "demo").exists():
        flights = events(start, end)
        write(project, flights)
        say(f"{flights.rows:,} events of {start} to {end} are ready in {project.state_dir / 'demo'}")
    return run(project, settings, say)


def run(project: Project, settings: tuple[str, ...] = (), say: Callable[[str], None] = print) -> dict[str, Any]:
    """Start the project without its dashboard, wait until it is at rest, stop it; what the topics then hold."""
    watch = _Watch(project)
    supervisor = Supervisor(project, settings=settings, with_dashboard=False, say=say)
    supervisor.run(ready=watch.start, until=lambda: watch.ended)
    if watch.result is None:
        raise DriftlineError(
            watch.failure or "The demo was stopped before its end. `driftline up` goes on with it, and so does the same command."
        )
    return watch.result


class _Watch:
    """Looks at the broker beside the supervisor, which looks after the processes."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._thread = threading.Thread(target=self._watch, name="demo", daemon=True)
        self._started = 0.0
        self.ended = False
        self.result: dict[str, Any] | None = None
        self.failure: str | None = None

    def start(self) -> None:
        self._started = time.monotonic()
        self._thread.start()

    def _watch(self) -> None:
        try:
            self._result()
        except Exception as error:  # whatever it is, the supervisor must be told to stop, and the caller why
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self.ended = True

    def _result(self) -> None:
        connection = KafkaConnection(self._project.kafka())
        progress = Progress(self._project, connection)
        try:
            while self._replaying() or not progress.at_rest():
                if time.monotonic() - self._started > LIMIT_S:
                    raise DriftlineError(
                        f"it is not at rest after {LIMIT_S:.0f} s; `driftline status {self._project.root}` says where it stands."
                    )
                time.sleep(0.5)
        finally:
            progress.close()
        seconds = time.monotonic() - self._started
        found = report(self._project, connection)
        self.result = {**found, "seconds": round(seconds, 1), "events_per_second": round(found["events"] / seconds)}

    def _replaying(self) -> bool:
        return any((self._project.state_dir / "replays").glob("*.json"))
