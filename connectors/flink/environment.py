"""A Flink to submit to: a mini-cluster in this process, or a cluster by address; with settings under which a failure is never silent."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.flink.gateway import gateway
from connectors.flink.jars import connector_jar

# What the stages tell each other are messages of megabytes: with Flink's own buffers of 32 kB the benchmark's job does a seventh less.
BUFFERS = {
    "taskmanager.memory.segment-size": "512kb",
    "taskmanager.memory.network.min": "256mb",
    "taskmanager.memory.network.max": "256mb",
}


@dataclass(frozen=True)
class Cluster:
    """`address` is host:port of a cluster's REST end (None: a mini-cluster whose REST end listens on 127.0.0.1:`port`)."""

    checkpoints: str
    address: str | None = None
    port: int = 0
    parallelism: int = 1
    checkpoint_every_ms: int = 10_000
    restarts: int = 10
    savepoint: str | None = None
    name: str = "driftline"


def settings(cluster: Cluster) -> Mapping[str, str]:
    """The configuration of a job. Checkpoints go to files: the default keeps 5 MB in memory, fails, and restarts for ever without a word."""
    found = {
        "pipeline.name": cluster.name,
        "pipeline.jars": connector_jar().as_uri(),
        "parallelism.default": str(cluster.parallelism),
        "pipeline.max-parallelism": "128",  # of key groups: a job can be rescaled up to so many
        "execution.checkpointing.interval": f"{cluster.checkpoint_every_ms} ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": cluster.checkpoints,
        "execution.checkpointing.savepoint-dir": f"{cluster.checkpoints.rstrip('/')}/savepoints",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": "3",
        "execution.checkpointing.tolerable-failed-checkpoints": "3",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": str(cluster.restarts),
        "restart-strategy.fixed-delay.delay": "2 s",
        "pipeline.object-reuse": "true",  # else every operator of the sink copies a whole batch for each record in it
        "table.local-time-zone": "UTC",
        "table.exec.sink.not-null-enforcer": "ERROR",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.fn-execution.bundle.size": "1000",
        "python.fn-execution.bundle.time": "100",
    }
    if cluster.savepoint is not None:
        found["execution.state-recovery.path"] = cluster.savepoint
    if cluster.address is not None:
        host, _, port = cluster.address.rpartition(":")
        # a cluster has Flink's own classes, not those that run Python
        found["pipeline.jars"] += f";{_python_jar().as_uri()}"
        found |= {"execution.target": "remote", "rest.address": host, "rest.port": port, "execution.attached": "true"}
    else:
        found |= {
            **BUFFERS,
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": str(cluster.port),
            "rest.bind-port": str(cluster.port),
        }
    return found


def _python_jar() -> Path:
    import pyflink

    (jar,) = (Path(pyflink.__file__).parent / "opt").glob("flink-python-*.jar")
    return jar


def table_environment(cluster: Cluster):  # type: ignore[no-untyped-def]  # StreamTableEnvironment: imported only when Java is set up
    """The environment to build a job in, on the JVM of `gateway`."""
    os.environ.setdefault("_python_worker_execution_mode", "process")  # else a mini-cluster's workers are threads here, under one lock
    from pyflink.common import Configuration
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StreamTableEnvironment

    jvm = gateway().jvm
    configuration = Configuration()
    for name, value in settings(cluster).items():
        configuration.set_string(name, value)
    if cluster.address is None:
        environment = StreamExecutionEnvironment.get_execution_environment(configuration)
    else:  # the call above gives a mini-cluster, whatever the target: the one that heeds it has no name in Python
        java = jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
        environment = StreamExecutionEnvironment(java(configuration._j_configuration))
    return StreamTableEnvironment.create(environment)
