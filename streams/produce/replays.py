"""Replays that are under way, written down in `.driftline/replays/`, so that `driftline up` goes on with one that was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from streams.project import Project

STDIN = "-"


@dataclass(frozen=True)
class Replay:
    """`files` of each source, in order. `id` is a function of them: the same command goes on where it stopped."""

    files: Mapping[str, tuple[str, ...]]
    rate: float | None = None
    speed: float | None = None
    speed_from: int | None = None  # event time (ms) from which the pace holds
    on_bad: str = "send"
    pid: int = 0
    created: float = 0.0

    @property
    def id(self) -> str:
        return hashlib.sha256(json.dumps(sorted((source, *files) for source, files in self.files.items())).encode()).hexdigest()[:8]

    @property
    def resumable(self) -> bool:
        return all(file != STDIN for files in self.files.values() for file in files)

    def group(self, project: Project) -> str:
        """The consumer group whose positions are how far each source's files have been sent."""
        return f"{project.prefix or project.name}.produce.{self.id}"


def begun(project: Project, replay: Replay) -> Replay:
    """Write down that this process sends it."""
    me = psutil.Process()
    mine = replace(replay, pid=me.pid, created=me.create_time())
    file = _file(project, replay.id)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(mine), indent=1))
    return mine


def finished(project: Project, replay: Replay) -> None:
    _file(project, replay.id).unlink(missing_ok=True)


def unfinished(project: Project) -> list[Replay]:
    """Replays whose process is gone, though neither their files' end nor a Ctrl-C was met."""
    replays = [_read(file) for file in sorted((project.state_dir / "replays").glob("*.json"))]
    return [replay for replay in replays if replay is not None and not _lives(replay)]


def find(project: Project, id: str) -> Replay | None:
    """A replay that has begun and not ended; None where it has ended since."""
    return _read(_file(project, id))


def _lives(replay: Replay) -> bool:
    try:
        return bool(abs(psutil.Process(replay.pid).create_time() - replay.created) < 2)
    except psutil.Error:
        return False


def _read(file: Path) -> Replay | None:
    try:
        found = json.loads(file.read_text())
        return Replay(**{**found, "files": {source: tuple(files) for source, files in found["files"].items()}})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _file(project: Project, id: str) -> Path:
    return project.state_dir / "replays" / f"{id}.json"
