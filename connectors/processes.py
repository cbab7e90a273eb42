"""Processes, ended by their pid."""

from __future__ import annotations

import ctypes
import sys

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


def end_with_parent(by: int) -> None:
    """On Linux this process gets the signal `by` when the one that started it ends; one that has ended before is not heard of."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, by)  # PR_SET_PDEATHSIG
