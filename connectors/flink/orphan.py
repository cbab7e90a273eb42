"""A Python worker ends with the JVM that started it."""

from __future__ import annotations

import os
import threading
import time
from functools import cache


@cache
def end_with_parent() -> None:
    """Watch, from the first call in a process on, whether its parent is there still, and end within a second when it is not.

    Beam's workers end by themselves where their connections are closed, unless a thread waits for a log record to be taken: then they
    would stay for ever.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
