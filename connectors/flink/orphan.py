"""A Python worker ends with the JVM that started it."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

import psutil


@cache
def end_with_java() -> None:
    """Watch, from the first call in a process on, whether the JVM above it is there still, and end within a second when it is not.

    Beam's workers end by themselves where their connections are closed, unless a thread waits for a log record to be taken: then they
    would stay for ever. A shell may stand between the JVM and its worker, and stays too.
    """
    java = next((one for one in psutil.Process().parents() if one.name() == "java"), None)
    if java is not None:
        threading.Thread(target=_watch, args=(java,), name="java", daemon=True).start()


def _watch(java: psutil.Process) -> None:
    while java.is_running():
        time.sleep(1)
    os._exit(1)
