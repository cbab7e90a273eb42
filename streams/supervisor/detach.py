"""`up --detach` and `down`: the supervisor in the background."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from connectors.broker import EmbeddedBroker
from streams.errors import DriftlineError
from streams.project import Project
from streams.supervisor.child import end
from streams.supervisor.state import UpState, read_state

START_SECONDS = 300.0  # a machine that is busy with other things is slow to start four Pythons
STOP_SECONDS = 40.0


def up_detached(project: Project, settings: tuple[str, ...] = (), with_dashboard: bool = True) -> UpState:
    """Start a supervisor that outlives this process; its state once the dashboard answers.

    Raises DriftlineError: it runs already, or it ended while it started (with its last words).
    """
    logs = project.state_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / "up.log"
    command = [sys.executable, "-m", "streams.cli", "up", str(project.root), "--dashboard" if with_dashboard else "--no-dashboard"]
    for setting in settings:
        command += ["--set", setting]
    with open(log, "ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = read_state(project)
        if state is not None and state.pid == process.pid and state.ready:
            return state
        if process.poll() is not None:
            with open(log, "rb") as said:
                said.seek(begin)
                words = said.read().decode(errors="replace").strip()
            raise DriftlineError(words or f"The supervisor ended with status {process.returncode}; its log: {log}")
        time.sleep(0.1)
    process.terminate()
    raise DriftlineError(f"{project.name} was not up within {START_SECONDS:.0f} s. Its log: {log}")


def down(project: Project) -> list[str]:
    """End the supervisor and all it started, also what a killed one left; the names of what was ended."""
    stopped = []
    state = read_state(project)
    if state is not None:
        children = [child.name for child in state.children if child.state == "running"]
        if end(state.pid, state.created, STOP_SECONDS):
            stopped += [*children, "supervisor"]
        stopped += [child.name for child in state.children if end(child.pid, child.created, 10)]
    if EmbeddedBroker(project.state_dir).stop() or "supervisor" in stopped:
        stopped.append("broker")
    return stopped
