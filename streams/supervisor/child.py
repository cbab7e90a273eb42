"""One process that is kept alive: started, started again with a growing pause when it ends, stopped by its pid."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from connectors import processes

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before the first, second, ... start again
STEADY = 60.0  # seconds of life after which the pauses begin anew
LOG_BYTES = 20 * 1024 * 1024
_NOISE = re.compile(r"\s*(nanobind: |- leaked |- \.\.\. skipped|See https://nanobind)")  # DuckDB's farewell when a process ends early


@dataclass(frozen=True)
class ChildState:
    """What the state file says of a process; `state` is running, waiting (to start again), ended or stopped."""

    name: str
    pid: int
    created: float
    state: str
    restarts: int
    since: float
    log: str
    last_error: str | None = None


class Child:
    """A process of `up`. `command` is asked for at each start; `once` says that an end with status 0 is its proper end."""

    def __init__(
        self, name: str, command: Callable[[], Sequence[str]], log: Path, *, environ: Mapping[str, str], once: bool = False
    ) -> None:
        self.name = name
        self._command = command
        self.log = log
        self.once = once
        self.restarts = 0
        self.last_error: str | None = None
        self.state = "waiting"
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._again_at = 0.0
        self._quick_ends = 0

    def start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with open(self.log, "ab") as log:
            self._from = log.tell()
            self._process = subprocess.Popen(
                list(self._command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                preexec_fn=_of_its_own,
                cwd=self.log.parent.parent,
            )
        self._started = time.time()
        self.state = "running"

    def watch(self) -> str | None:
        """Look after it once; a line for people when something happened."""
        if self.state == "waiting" and time.monotonic() >= self._again_at:
            self.start()
            return f"{self.name} starts again" if self.restarts else None
        if self.state != "running" or self._process is None:
            return None
        status = self._process.poll()
        if status is None:
            if self._quick_ends and time.time() - self._started > STEADY:
                self._quick_ends = 0
            return None
        if status == 0 and self.once:
            self.state = "ended"
            return f"{self.name} is done"
        pause = PAUSES[min(self._quick_ends, len(PAUSES) - 1)]
        self._quick_ends += 1
        self.restarts += 1
        self.state = "waiting"
        self._again_at = time.monotonic() + pause
        self.last_error = (_last_words(self.log, self._from) if status > 0 else "") or _status_words(status)
        why = "" if self.last_error == _status_words(status) else f": {self.last_error}"
        return f"{self.name} ended ({_status_words(status)}), starts again in {pause:g} s{why}\n  its log: {self.log}"

    def listens(self, port: int) -> bool:
        """Whether this very process listens there: another one's port would answer too."""
        try:
            found = psutil.Process(self._process.pid).net_connections("tcp") if self._process is not None else []
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)

    def ask_to_stop(self) -> None:
        self.state = "stopped" if self.state != "ended" else "ended"
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, and kill it after `seconds`; True when it ended by itself."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(seconds, 0.05))
            return True
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False

    def snapshot(self) -> ChildState:
        pid = self._process.pid if self._process is not None else 0
        try:
            created = psutil.Process(pid).create_time() if pid and self.state == "running" else 0.0
        except psutil.Error:
            created = 0.0
        return ChildState(self.name, pid, created, self.state, self.restarts, self._started, str(self.log), self.last_error)


def lives(pid: int, created: float) -> bool:
    """Whether that very process lives: a pid alone may be another one by now."""
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - created) < 2 and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError):
        return False


def end(pid: int, created: float, seconds: float) -> bool:
    """End that very process: SIGTERM, and SIGKILL after `seconds`. False when it was gone."""
    if not lives(pid, created):
        return False
    processes.end(pid, seconds)
    return True


def _of_its_own() -> None:
    os.setpgid(0, 0)  # Ctrl-C reaches the supervisor alone, which stops the rest in order
    processes.end_with_parent(signal.SIGTERM)  # nothing outlives a supervisor that was killed


def _status_words(status: int) -> str:
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"status {status}"


def _last_words(log: Path, since: int) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(max(since, log.stat().st_size - 8192))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip() and not _NOISE.match(line)]
    except OSError:
        return ""
    return lines[-1][:400] if lines else ""
