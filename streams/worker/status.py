"""What a process says of its steps: `.driftline/status/<step>.json`, replaced as a whole, for `driftline status` and the dashboard."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from connectors import whole
from streams.project import Project


def write_status(project: Project, step: str, figures: dict[str, Any]) -> None:
    folder = project.state_dir / "status"
    folder.mkdir(parents=True, exist_ok=True)
    me = psutil.Process()
    found = {
        **figures,
        "pid": me.pid,
        "created": me.create_time(),
        "rss_mb": round(me.memory_info().rss / 1e6, 1),
        "updated_at": time.time_ns() // 1_000_000,
    }
    whole.write(folder / f"{step}.json", json.dumps(found, indent=1))


def read_statuses(project: Project) -> Iterator[dict[str, Any]]:
    """The last word of each step, whether its process lives or not (`pid`, `created`, `updated_at` tell)."""
    folder: Path = project.state_dir / "status"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            yield json.loads(path.read_text())
        except ValueError:
            continue  # not ours, or half a file of another software
