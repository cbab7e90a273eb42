"""What runs for a project, written down: `.driftline/up.json`, and the lock its supervisor holds."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from connectors import whole
from streams.errors import DriftlineError
from streams.project import Project
from streams.supervisor.child import ChildState, lives


@dataclass(frozen=True)
class UpState:
    pid: int
    created: float
    started: float
    bootstrap: str
    url: str | None
    ready: bool
    children: tuple[ChildState, ...]
    broker_restarts: int = 0
    broker_error: str | None = None  # why it could not be started again

    @property
    def alive(self) -> bool:
        return lives(self.pid, self.created)


def read_state(project: Project) -> UpState | None:
    """The last state written, whether its supervisor lives or not; None when there is none to read."""
    try:
        found = json.loads(_file(project).read_text())
        return UpState(**{**found, "children": tuple(ChildState(**child) for child in found["children"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_state(project: Project, state: UpState) -> None:
    whole.write(_file(project), json.dumps(asdict(state), indent=1))


@contextmanager
def only_one(project: Project) -> Iterator[None]:
    """Held while a supervisor lives; raises DriftlineError when another one holds it. A kill releases it."""
    project.state_dir.mkdir(parents=True, exist_ok=True)
    with open(project.state_dir / "up.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = read_state(project)
            where = f" (pid {state.pid}); its dashboard: {state.url or 'starting'}" if state else ""
            raise DriftlineError(f"{project.name} runs already{where}. Stop it with: driftline down {project.root}") from None
        yield


def _file(project: Project) -> Path:
    return project.state_dir / "up.json"
