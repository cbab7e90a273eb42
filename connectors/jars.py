"""Java archives from Maven coordinates, resolved once by jgo and kept in the user's cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from streams.errors import BrokerError


def cache_dir() -> Path:
    """Where what was downloaded is kept: $DRIFTLINE_CACHE, or `driftline` in the user's cache folder."""
    if chosen := os.environ.get("DRIFTLINE_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "driftline"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driftline"


def resolve(name: str, coordinates: Sequence[str]) -> Path:
    """The folder with the jars of these coordinates and all they depend on; the first call downloads them.

    Several processes may call at once. Raises BrokerError when they cannot be had, with the resolver's last lines.
    """
    digest = hashlib.sha256("\n".join(coordinates).encode()).hexdigest()[:12]
    target = cache_dir() / "jars" / f"{name}-{digest}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.parent / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _download(name, coordinates, target)
    return target


def _download(name: str, coordinates: Sequence[str], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [sys.executable, "-m", "jgo", "--cache-dir", scratch, "--links", "copy", "--resolver", "python", "--color", "plain"]
        answer = subprocess.run(
            [*command, "info", "classpath", "+".join(coordinates)], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        jars = sorted(Path(scratch).rglob("*.jar"))  # jgo sorts them into jars/ and modules/: all of them belong on the class path
        if answer.returncode or not jars:
            lines = "\n  ".join((answer.stderr or answer.stdout).strip().splitlines()[-5:])
            raise BrokerError(
                f"The jars of {name} ({', '.join(coordinates)}) cannot be had.\n  {lines}\n"
                "They come from Maven Central once and are kept; check the connection (or set a mirror in ~/.config/jgo.conf) and try again."
            )
        ready = Path(scratch) / "ready"
        ready.mkdir()
        for jar in jars:
            shutil.move(jar, ready / jar.name)
        ready.rename(target)
