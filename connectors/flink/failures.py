"""What a running JVM fails at, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.flink.gateway import ended, said_ended
from connectors.flink.rest import root_cause
from streams.errors import BrokerError


@contextmanager
def in_words() -> Iterator[None]:
    """BrokerError for a JVM that ends or that throws; `gateway` itself tells of one that does not start."""
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyflink.util.exceptions import JavaException

    try:
        yield
    except (Py4JJavaError, JavaException) as error:
        trace = str(error).rpartition("\n: ")[2]  # py4j says before it what was called
        raise BrokerError(f"Flink refused the job: {root_cause(trace)}") from error
    except Py4JError as error:
        code = ended(within=5)
        if code is None:
            raise
        raise BrokerError(said_ended(code)) from error
