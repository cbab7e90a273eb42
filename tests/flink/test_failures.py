"""A JVM that does not start, ends or cannot be reached is told in one line, without a traceback of anybody's."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from connectors.flink.rest import Rest
from connectors.ports import free_port
from streams.errors import BrokerError

pytestmark = [pytest.mark.flink, pytest.mark.timeout(120)]
SPEAKING = """
from connectors.flink.failures import in_words
from connectors.flink.gateway import _begun, gateway
from streams.errors import BrokerError
try:
    with in_words():
        jvm = gateway().jvm
        kept = [jvm.java.util.ArrayList() for _ in range(3)]
        {then}
except BrokerError as error:
    print(error)
"""
KILL = "_begun[-1].kill(); jvm.System.currentTimeMillis()"
THROW = "jvm.java.lang.Integer.parseInt('no number')"


@pytest.mark.parametrize(
    ("environment", "then", "told"),
    [
        ({"JVM_ARGS": "-Xmx3q"}, "pass", "The JVM of Flink did not start: Invalid maximum heap size: -Xmx3q (Its JVM_ARGS are: -Xmx3q)"),
        ({"JAVA_HOME": "/nowhere"}, "pass", "There is no Java at /nowhere/bin/java. Take JAVA_HOME out of the environment: "),
        ({}, KILL, "The JVM that ran Flink has ended (signal 9). Start the features again: "),
        ({}, THROW, 'Flink refused the job: java.lang.NumberFormatException: For input string: "no number"'),
    ],
)
def test_what_a_jvm_fails_at_is_told_in_a_line(environment: dict[str, str], then: str, told: str) -> None:
    code = SPEAKING.format(then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, env={**os.environ, **environment})
    assert done.stdout.startswith(told) and done.stdout.count("\n") == 1, done.stdout
    assert done.stderr == ""


def test_a_cluster_that_is_not_there_is_told_before_a_jvm_starts() -> None:
    with pytest.raises(BrokerError, match=r"No Flink answers at 127.* Start the cluster, or take `address` out"):
        Rest(f"127.0.0.1:{free_port()}").reach()


TRACE = """java.util.concurrent.CompletionException: org.apache.flink.runtime.checkpoint.CheckpointException: Trigger checkpoint failure.
\tat java.base/java.util.concurrent.CompletableFuture.encodeRelay(CompletableFuture.java:368)
Caused by: org.apache.flink.runtime.checkpoint.CheckpointException: Trigger checkpoint failure.
\t... 3 more
Caused by: java.io.IOException: Mkdirs failed to create file:/nowhere/savepoint-1
\tat org.apache.flink.runtime.state.filesystem.FsCheckpointStorageAccess.initializeLocationForSavepoint(FsCheckpointStorageAccess.java:140)
"""


class Stopped(http.server.BaseHTTPRequestHandler):
    """A cluster's answers to who stops a job with a savepoint that fails."""

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"request-id": "1"})

    def do_GET(self) -> None:
        self.answer({"status": {"id": "COMPLETED"}, "operation": {"failure-cause": {"class": "x", "stack-trace": TRACE}}})

    def answer(self, body: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def test_a_savepoint_that_fails_is_told_with_the_root_of_it() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stopped) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with pytest.raises(BrokerError) as met:
                Rest(f"127.0.0.1:{server.server_port}").stop("a1")
        finally:
            server.shutdown()
    assert met.value.message == "The savepoint of job a1 failed: java.io.IOException: Mkdirs failed to create file:/nowhere/savepoint-1"
