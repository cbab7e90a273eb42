"""The frame of a process that runs steps: a Faust app with its supervision, timers, agents and web page.

A service polls in a thread and sends whole batches through a channel; an agent on the channel does the work. Low-rate topics
(deployments, runs) are ordinary agents.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import faust
from faust.types.auth import SASLMechanism

from connectors.ports import free_port
from streams import pipeline
from streams.errors import ProjectError
from streams.project import Project
from streams.sensors import Meter
from streams.settings import did_you_mean
from streams.worker.connection import KafkaConnection
from streams.worker.drive import Drive
from streams.worker.membership import Membership, seat
from streams.worker.status import write_status

log = logging.getLogger(__name__)
STATUS_S = 1.0
STOP_S = 15.0
SWITCH_S = 0.0005  # a dozen threads pass work on in milliseconds; the default of 5 ms would be paid at every hand-over
SESSION_S = 6.0  # the smallest a broker takes by default


def run_steps(project: Project, steps: Sequence[str]) -> None:
    """Run steps of a project in this process until SIGINT or SIGTERM. Raises what refuses the project before anything starts."""
    known = [*pipeline.DRIVEN, *pipeline.AGENTS]
    for step in steps:
        if step not in known:
            raise ProjectError(f"{step!r} is no step that runs.{did_you_mean(step, known)} There are {', '.join(known)}.")
    sys.setswitchinterval(SWITCH_S)
    with ExitStack() as stack:
        meter = Meter()
        drives = [_drive(project, step, meter, stack) for step in steps if step in pipeline.DRIVEN]
        app = make_app(project, steps, drives, meter)
        worker = faust.Worker(app, loglevel="INFO", loop=None, quiet=True, redirect_stdouts=False, logging_config=_LOGGING)
        try:
            worker.execute_from_commandline()
        finally:
            for drive in drives:
                drive.close()


def _drive(project: Project, step: str, meter: Meter, stack: ExitStack) -> Drive:
    connection = KafkaConnection(project.kafka())
    first = pipeline.worker(project, step, connection, meter)  # refuses now what would be refused later
    instance = stack.enter_context(seat(project.state_dir / "members", step))
    topics = [one.topic for one in first.step.inputs]
    group = f"{first.settings.group}.workers"
    return Drive(
        step, lambda: pipeline.worker(project, step, connection, meter), Membership(connection.settings, group, topics, instance), meter
    )


def make_app(project: Project, steps: Sequence[str], drives: Sequence[Drive], meter: Meter) -> faust.App:
    kafka = project.kafka()
    prefix = project.prefix or project.name
    # Faust joins a group of its own before it starts anything, and would wait there for a killed predecessor to expire;
    # only agents, which answer each record once, need the group to be the same again.
    own = "" if any(step in pipeline.AGENTS for step in steps) else f"-{uuid.uuid4().hex[:8]}"
    app = faust.App(
        f"{prefix}-{'-'.join(steps)}{own}",
        broker=[f"kafka://{server.strip()}" for server in kafka["bootstrap_servers"].split(",")],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 4,
        broker_rebalance_timeout=SESSION_S,
        store="memory://",
        datadir=project.state_dir / "faust",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_host="127.0.0.1",
        web_port=free_port(),
        web_bind="127.0.0.1",
        logging_config=_LOGGING,
    )
    for drive in drives:
        _frame(app, drive)
    _watch_deployments(app, project)
    for step in steps:
        if step in pipeline.AGENTS:
            import_module(pipeline.AGENTS[step]).register(app, project, meter)
    _report(app, project, steps, meter)
    return app


def _frame(app: faust.App, drive: Drive) -> None:
    """The service that waits and the agent that works, joined by a channel that holds one word to begin."""
    channel = app.channel(maxsize=1)

    @app.agent(channel, name=f"{drive.step}-work", concurrency=1)
    async def work(stream: Any) -> None:
        async for message in stream:
            await drive.work(message)

    @app.service
    class Poll(faust.Service):  # type: ignore[misc,unused-ignore]
        label = f"{drive.step}-poll"

        @faust.Service.task
        async def _run(self) -> None:
            try:
                await drive.run(channel)
            except BaseException as error:  # whatever it is, a process whose step has ended for good must end too
                if self.should_stop:
                    raise
                log.critical("%s: %s", drive.step, error)
                await app.crash(error)
                raise

        async def on_stop(self) -> None:
            # a broker that is gone can make clients wait long; what is not committed by then is as if it had never been read
            overdue = threading.Timer(STOP_S, os._exit, [1])
            overdue.daemon = True
            overdue.start()
            await drive.stop()


def _watch_deployments(app: faust.App, project: Project) -> None:
    live: dict[str, Any] = {}
    topic = app.topic(project.topic("deployments"), value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")

    @app.agent(topic, name="deployments")
    async def deployments(stream: Any) -> None:
        async for key, value in stream.items():
            live[(key or b"").decode()] = (value or b"").decode()

    @app.page("/deployments")
    async def page(web: Any, request: Any) -> Any:
        return web.json(live)


def _report(app: faust.App, project: Project, steps: Sequence[str], meter: Meter) -> None:
    @app.timer(interval=STATUS_S)
    async def status() -> None:
        for step in steps:
            write_status(project, step, {**meter.figures(step), "web": f"http://127.0.0.1:{app.conf.web_port}/status"})

    @app.page("/status")
    async def page(web: Any, request: Any) -> Any:
        return web.json({"pid": os.getpid(), "steps": [meter.figures(step) for step in steps]})


def _credentials(kafka: dict[str, Any]) -> Any:
    if "sasl_mechanism" in kafka:
        return faust.SASLCredentials(
            username=kafka.get("sasl_plain_username"),
            password=kafka.get("sasl_plain_password"),
            mechanism=SASLMechanism(kafka["sasl_mechanism"]),
        )
    if "ssl_cafile" in kafka:
        import ssl

        context = ssl.create_default_context(cafile=kafka["ssl_cafile"])
        if "ssl_certfile" in kafka:
            context.load_cert_chain(kafka["ssl_certfile"], kafka.get("ssl_keyfile"), kafka.get("ssl_password"))
        return faust.SSLCredentials(context=context)
    return None


class Sparing(logging.Filter):
    """Clients say the same many times a second while a broker is gone: of each of their loggers one line in five seconds is enough."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(("kafka", "aiokafka")):
            return True
        if record.created < self._next.get(record.name, 0):
            return False
        self._next[record.name] = record.created + 5
        return True


_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"sparing": {"()": Sparing}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["sparing"]}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"streams": {"level": "INFO"}, "kafka.net.selector": {"level": "ERROR"}},  # it warns of every busy moment
}
