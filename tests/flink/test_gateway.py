"""The JVM behind PyFlink may say as much as it likes."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.flink, pytest.mark.timeout(120)]
LONG = 200_000  # characters; a pipe holds 65,536

SPEAKING = f"""
from connectors.flink.gateway import gateway
gateway().jvm.System.err.println("x" * {LONG} + " the last word")
print("it went on", flush=True)
"""


def test_a_jvm_with_much_to_say_goes_on_and_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", SPEAKING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "it went on\n"
    assert "x" * LONG + " the last word" in done.stderr
