"""Processes, ended by their pid."""

from __future__ import annotations

import psutil


def end(pid: int, seconds: float) -> None:
    """SIGTERM, and SIGKILL after `seconds`. Nothing where there is no such process."""
    try:
        process = psutil.Process(pid)
        process.terminate()
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(5)
    except psutil.NoSuchProcess:
        pass
