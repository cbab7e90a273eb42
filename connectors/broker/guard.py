"""Stands between the owner and the broker, so that the broker is never left behind. Standard library only; run as a script.

`guard.py STATE_FILE GRACE COMMAND...` starts the command, and ends it (SIGTERM, then SIGKILL) when it is asked to by SIGTERM or when
the process whose pid stands in the state file's `owner` has been gone for GRACE seconds. Whoever adopts the broker writes his own pid there.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time

STOP_SECONDS = 20.0


def main() -> int:
    state_file, grace, *command = sys.argv[1:]
    asked = False

    def ask(signum: int, frame: object) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the owner decides when the broker stops
    broker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=_die_with_parent)
    print(broker.pid, flush=True)
    os.close(1)
    orphaned_at: float | None = None
    while broker.poll() is None:
        alive = _owner_lives(state_file)
        orphaned_at = None if alive else (orphaned_at or time.monotonic())
        if asked or (orphaned_at is not None and time.monotonic() - orphaned_at > float(grace)):
            return _stop(broker)
        time.sleep(0.3)
    return broker.returncode


def _stop(broker: subprocess.Popen[bytes]) -> int:
    broker.terminate()
    try:
        return broker.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        broker.kill()
        return broker.wait()


def _owner_lives(state_file: str) -> bool:
    try:
        with open(state_file) as file:
            owner = int(json.load(file)["owner"])
        os.kill(owner, 0)
        with open(f"/proc/{owner}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except PermissionError:
        return True
    except FileNotFoundError:
        return os.path.exists(state_file) and not os.path.isdir("/proc/self")  # no /proc on this system: the signal answered
    except (OSError, ValueError, KeyError):
        return False


def _die_with_parent() -> None:
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: the guard may be killed too


if __name__ == "__main__":
    sys.exit(main())
