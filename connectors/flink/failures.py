"""What goes wrong between this process and its JVM, in one line each."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.flink.rest import root_cause
from streams.errors import BrokerError


@contextmanager
def in_words() -> Iterator[None]:
    """BrokerError for a JVM that does not start, that ends, or that throws."""
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyflink.util.exceptions import JavaException

    from connectors.flink.gateway import ended

    try:
        yield
    except FileNotFoundError as error:
        raise BrokerError(
            f"There is no Java at {error.filename}. Take JAVA_HOME out of the environment: a Java comes with Flink's packages. Or name one that is there."
        ) from error
    except (Py4JJavaError, JavaException) as error:
        trace = str(error).rpartition("\n: ")[2]  # py4j says before it what was called
        raise BrokerError(f"Flink refused the job: {root_cause(trace)}") from error
    except (Py4JError, RuntimeError) as error:
        said = [line for line in str(error).partition("Stderr:")[2].splitlines() if line.strip()]
        if said:
            raise BrokerError(f"The JVM of Flink did not start: {said[0]} (Its JVM_ARGS are: {os.environ.get('JVM_ARGS', '')})") from error
        code = ended(within=5)
        if code is None:
            raise
        raise BrokerError(said_ended(code)) from error


def said_ended(code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return (
        f"The JVM that ran Flink has ended ({how}). Start the features again: the job goes on from its newest checkpoint, where it has one."
    )


def quiet() -> None:
    """Leave it to `in_words` to tell of a JVM that is gone. py4j logs a traceback for each object that can no longer be given back."""
    for name in ("", "py4j.java_gateway", "py4j.clientserver"):  # it says some by the root logger
        logging.getLogger(name).addFilter(_not_of_py4j)


def _not_of_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in record.pathname
