"""Start, adopt and stop one broker of one project folder."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import psutil

from connectors import whole
from connectors.broker import guard
from connectors.broker.failures import explain_failure
from connectors.broker.java import find_java
from connectors.broker.properties import server_properties
from connectors.jars import resolve
from connectors.ports import free_port
from connectors.processes import end
from streams.errors import BrokerError

VERSION = "4.1.1"
COORDINATES = (f"org.apache.kafka:kafka_2.13:{VERSION}@kafka.Kafka", "org.slf4j:slf4j-simple:1.7.36")
STATE_FILE = "broker.json"
FREE_BYTES = 200 * 1024 * 1024
START_SECONDS = 90.0
_JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
_LOG_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Running:
    """The state file: the broker's pid and when it was created (a pid alone may be another process by now), its guard and its owner."""

    bootstrap: str
    pid: int
    created: float
    guard: int
    owner: int
    port: int
    controller_port: int
    version: str = VERSION


class EmbeddedBroker:
    """One Apache Kafka for one folder, `folder/broker` its data. One at a time: a second start joins the one that runs.

    `port` fixes the port (None: the one used before, or a free one). `grace` is how many seconds the broker outlives
    an owner that was killed, so that the next `start` can adopt it.
    """

    def __init__(self, folder: Path, *, port: int | None = None, grace: float = 60.0) -> None:
        self.folder = Path(folder).resolve()
        self.data = self.folder / "broker"
        self.log = self.folder / "logs" / "broker.log"
        self._properties = self.folder / "broker.properties"
        self._state = self.folder / STATE_FILE
        self._port = port
        self._grace = grace
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:PORT` of the broker that runs; BrokerError when none does."""
        running = self.running()
        if running is None:
            raise BrokerError(f"No broker runs on {self.folder}. Start one with: driftline up {self.folder.parent}")
        return running.bootstrap

    def running(self) -> Running | None:
        """The broker that lives on this folder, by its state file; None when there is none."""
        try:
            state = Running(**json.loads(self._state.read_text()))
            process = psutil.Process(state.pid)
            alive = abs(process.create_time() - state.created) < 2 and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, TypeError, psutil.Error):
            return None
        return state if alive else None

    def start(self) -> str:
        """Start the broker, or adopt the one that runs; returns its bootstrap address once it answers.

        Raises BrokerError: no Java, no jars, disk full, port taken, data that cannot be read, a broker there that is not ours.
        """
        self._make_folders()
        with self._locked():
            running = self.running()
            if running is not None:
                self._write(Running(**{**asdict(running), "owner": os.getpid()}))
                self._wait(running, since=0)
                return running.bootstrap
            return self._start()

    def stop(self, seconds: float = 20.0) -> bool:
        """Stop the broker by its pid: SIGTERM, and SIGKILL after `seconds`. False when none ran. The data stays."""
        running = self.running()
        if running is None:
            return False
        for pid in (running.pid, running.guard):
            end(pid, seconds)
        return True

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _start(self) -> str:
        free = shutil.disk_usage(self.folder).free
        if free < FREE_BYTES:
            raise BrokerError(
                f"The disk is full: {free // 2**20} MB are free at {self.folder}, the broker wants {FREE_BYTES // 2**20} MB. Free some space."
            )
        stray = self._stray()
        if stray is not None:
            raise BrokerError(
                f"A broker that this folder's state file does not know runs on {self.data} (pid {stray}). End it with: kill {stray}"
            )
        port, controller_port = self._ports()
        self._properties.write_text(server_properties(port, controller_port, self.data))
        java = [str(find_java()), *_JVM, *_LOGGING, "-cp", f"{resolve('kafka', COORDINATES)}/*"]
        since = self._turn_log()
        self._format(java, since, port)
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-E",
                    "-S",
                    guard.__file__,
                    str(self._state),
                    str(self._grace),
                    *java,
                    "kafka.Kafka",
                    str(self._properties),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )
        assert process.stdout is not None
        self._write(Running(f"127.0.0.1:{port}", process.pid, 0.0, process.pid, os.getpid(), port, controller_port))
        pid = int(process.stdout.readline() or 0)
        process.stdout.close()
        try:
            created = psutil.Process(pid).create_time()
        except psutil.Error:
            raise BrokerError(explain_failure(self.log, since, self.data, port)) from None
        running = Running(f"127.0.0.1:{port}", pid, created, process.pid, os.getpid(), port, controller_port)
        self._write(running)
        self._guard = process
        self._wait(running, since)
        return running.bootstrap

    def _wait(self, running: Running, since: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers(running.port):
            if self._guard is not None:
                self._guard.poll()  # reaps it, when it is ours
            if self.running() is None:
                raise BrokerError(explain_failure(self.log, since, self.data, running.port))
            if time.monotonic() > deadline:
                end(running.pid, 5)
                raise BrokerError(f"The broker did not answer on port {running.port} within {START_SECONDS:.0f} s. Its log: {self.log}")
            time.sleep(0.05)

    def _format(self, java: list[str], since: int, port: int) -> None:
        if (self.data / "meta.properties").exists():
            return
        if any(self.data.glob("*-[0-9]*")):
            raise BrokerError(_lost_meta(self.data))
        cluster = subprocess.run(
            [*java, "kafka.tools.StorageTool", "random-uuid"], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        formatted = subprocess.run(
            [
                *java,
                "kafka.tools.StorageTool",
                "format",
                "-t",
                cluster.stdout.strip().splitlines()[-1] if cluster.stdout else "",
                "-c",
                str(self._properties),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if formatted.returncode:
            with open(self.log, "a") as log:
                log.write(cluster.stderr + formatted.stdout + formatted.stderr)
            raise BrokerError(explain_failure(self.log, since, self.data, port))

    def _ports(self) -> tuple[int, int]:
        """The ports of the last time when they are free, so that clients find the broker again; else new ones."""
        former: dict[str, int] = {}
        try:
            former = json.loads(self._state.read_text())
        except (OSError, ValueError):
            pass
        if self._port is not None:
            if not _free(self._port):
                raise BrokerError(f"Port {self._port} is taken by another process. Name another one, or none: then a free port is chosen.")
            return self._port, free_port()
        port, controller = former.get("port", 0), former.get("controller_port", 0)
        return (port if port and _freed(port) else free_port(), controller if controller and _freed(controller) else free_port())

    def _stray(self) -> int | None:
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "kafka.Kafka" in command and str(self._properties) in command and guard.__file__ not in command:
                return int(process.pid)
        return None

    def _make_folders(self) -> None:
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BrokerError(f"{self.folder} cannot be made: {error.strerror}. Choose a folder that can be written.") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.folder / "broker.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _turn_log(self) -> int:
        size = self.log.stat().st_size if self.log.exists() else 0
        if size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
            return 0
        return size

    def _write(self, running: Running) -> None:
        whole.write(self._state, json.dumps(asdict(running), indent=1))


def answers(port: int) -> bool:
    """Whether a Kafka broker answers there: one ApiVersions request, version 0, error code 0."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(10)
    except OSError:
        return False
    return len(answer) == 10 and struct.unpack(">h", answer[8:])[0] == 0


def _lost_meta(data: Path) -> str:
    return (
        f"The broker cannot read its data in {data}: meta.properties is missing, the logs are there. "
        f"Set the folder aside (mv {data} {data}.broken) and start again: the project begins with an empty log."
    )


def _freed(port: int, seconds: float = 3.0) -> bool:
    """Whether the port is free now or soon: a killed broker is gone a moment before its last thread lets go of the socket."""
    deadline = time.monotonic() + seconds
    while not _free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
