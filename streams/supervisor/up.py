"""Keep a project up: broker, topics, streams, dashboard; until a signal, and again after any kill."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import psutil

from connectors.broker import EmbeddedBroker
from streams.errors import DriftlineError
from streams.project import Project
from streams.supervisor.check import check_project
from streams.supervisor.child import Child, end
from streams.supervisor.state import UpState, only_one, read_state, write_state
from streams.supervisor.topics import make_topics

STOP_SECONDS = 20.0
Say = Callable[[str], None]

# What runs, in the order of the way of an event; each is `driftline run NAMES`. The loop is what runs at a low rate.
WORKERS: Mapping[str, str] = {"features": "features", "predictions": "predictions", "loop": "labels,drift,retraining,promotion"}


class Supervisor:
    """The processes of one project. `with_dashboard` and `settings` (KEY=VALUE texts) are passed on to them."""

    def __init__(self, project: Project, *, settings: tuple[str, ...] = (), with_dashboard: bool = True, say: Say = print) -> None:
        self.project = project
        self.url: str | None = None
        self._say = say
        self._stopping = False
        self._broker = EmbeddedBroker(project.state_dir) if project.embedded else None
        self._broker_restarts = 0
        self._broker_error: str | None = None
        self._bootstrap = ""
        self._port = 0
        self._started = time.time()
        self._settings = settings
        self._with_dashboard = with_dashboard
        self._children: list[Child] = []

    def run(self, ready: Callable[[], None] = lambda: None, until: Callable[[], bool] = lambda: False) -> None:
        """Start everything, call `ready` once the dashboard answers, and look after it until a signal, `stop` or `until()`.

        Raises what refuses the project, BrokerError, DriftlineError (it runs already) before anything was started; afterwards problems are
        said, and tried again.
        """
        with only_one(self.project):
            former = signal.signal(signal.SIGTERM, self._on_signal), signal.signal(signal.SIGINT, self._on_signal)
            try:
                check_project(self.project)
                self._end_leftovers()
                self._start()
                self._look_after(ready, until)
            finally:
                self._stop_all()
                signal.signal(signal.SIGTERM, former[0])
                signal.signal(signal.SIGINT, former[1])

    def stop(self) -> None:
        self._stopping = True

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._stopping and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self._stopping = True

    def _end_leftovers(self) -> None:
        """Processes that a killed supervisor left; they hold transactional ids and ports."""
        state = read_state(self.project)
        for child in state.children if state else ():
            if end(child.pid, child.created, 10):
                self._say(f"ended {child.name}, left by a supervisor that was killed")

    def _start(self) -> None:
        logs = self.project.state_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        if self._broker is not None:
            self._say(f"broker: {'running' if self._broker.running() else 'starting'}")
            self._bootstrap = self._broker.start()
        else:
            self._bootstrap = self.project.bootstrap()
        make_topics(self.project)
        self._say(f"broker: {self._bootstrap}")
        self._children = [self._worker(name, steps) for name, steps in WORKERS.items()]
        if self._with_dashboard:
            self._children.append(self._dashboard())
        self._children += self._unfinished_replays()
        for child in self._children:
            child.start()
        self._write(ready=False)

    def _look_after(self, ready: Callable[[], None], until: Callable[[], bool]) -> None:
        announced = False
        written = 0.0
        while not self._stopping and not until():
            for child in self._children:
                news = child.watch()
                if news:
                    self._say(news)
                    written = 0.0
            self._watch_broker(announced)
            if not announced and all(child.listens(self._port) for child in self._children if child.name == "dashboard"):
                announced = True
                written = 0.0
                ready()
            if time.monotonic() - written > 2:
                self._write(ready=announced)
                written = time.monotonic()
            time.sleep(0.2)

    def _watch_broker(self, announced: bool) -> None:
        if self._broker is None or self._broker.running() is not None:
            return
        self._say("broker: it ended, and starts again")
        self._broker_restarts += 1
        self._write(ready=announced)  # the start takes a while
        try:
            self._broker.start()
            self._broker_error = None
        except DriftlineError as error:
            self._broker_error = error.message
            self._say(f"broker: {error.message}")
            time.sleep(1)

    def _stop_all(self) -> None:
        """Sources first, so that what they sent is worked off by nobody twice; the broker last."""
        running = list(reversed(self._children))
        for child in running:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in running:
            if not child.wait(deadline - time.monotonic()):
                self._say(
                    f"{child.name} did not stop within {STOP_SECONDS:.0f} s and was killed; nothing is lost, its work is committed or not there"
                )
        if self._broker is not None:
            self._broker.stop()
        if self._children:
            self._write(ready=False)

    def _worker(self, name: str, steps: str) -> Child:
        engine = ["--on", "flink"] if name == "features" and self.project.engine.features == "flink" else []
        return self._driftline(name, ["run", steps, *engine])

    def _driftline(self, name: str, arguments: list[str], once: bool = False) -> Child:
        command = [sys.executable, "-m", "streams.cli", *arguments, "--project", str(self.project.root)]
        for setting in self._settings:
            command += ["--set", setting]
        return Child(name, lambda: command, self._log(name), environ=_environ(), once=once)

    def _dashboard(self) -> Child:
        host = self.project.dashboard.host

        def command() -> list[str]:
            self._port = free_port(host, self.project.dashboard.port)  # anew at each start: somebody else may have come first
            self.url = f"http://{host}:{self._port}"
            given = [part for setting in self._settings for part in ("--set", setting)]
            return [sys.executable, "-m", "dashboard", str(self.project.root), "--host", host, "--port", str(self._port), *given]

        return Child("dashboard", command, self._log("dashboard"), environ=_environ())

    def _unfinished_replays(self) -> list[Child]:
        from streams.produce.replays import unfinished

        return [
            self._driftline(f"replay-{replay.id}", ["produce", "--resume", replay.id], once=True) for replay in unfinished(self.project)
        ]

    def _log(self, name: str) -> Path:
        return self.project.state_dir / "logs" / f"{name}.log"

    def _write(self, ready: bool) -> None:
        me = psutil.Process()
        children = tuple(child.snapshot() for child in self._children)
        write_state(
            self.project,
            UpState(
                me.pid,
                me.create_time(),
                self._started,
                self._bootstrap,
                self.url,
                ready,
                children,
                self._broker_restarts,
                self._broker_error,
            ),
        )


def free_port(host: str, first: int) -> int:
    """The first port from `first` on that is free."""
    for port in range(first, min(first + 200, 65_536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise DriftlineError(f"No port from {first} to {first + 199} is free on {host}; name another one in [dashboard] port.")


def _environ() -> dict[str, str]:
    quiet = {
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    return {**os.environ, **quiet}
