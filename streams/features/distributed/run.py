"""`driftline run features --on flink`: submit the job, watch it, stop it with a savepoint; the next start goes on from there."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaError

from connectors import whole
from connectors.flink.failures import in_words
from connectors.flink.gateway import ended, said_ended
from connectors.flink.rest import ENDED, Job, Rest
from connectors.kafka.consumer import ColumnarConsumer
from connectors.ports import free_port
from streams.errors import BrokerError, DriftlineError, ProjectError
from streams.features.step import plan_of
from streams.project import Project
from streams.sensors import Meter
from streams.worker.recovery import commits_in, refuse_doubling
from streams.worker.status import write_status

if TYPE_CHECKING:
    from streams.features.distributed.job_plan import JobPlan

FLINK_PYTHON = "DRIFTLINE_FLINK_PYTHON"  # a Python that has apache-flink, where this one has not
STATE_FILE = "job.json"
WATCH_S = 1.0
COMMITS = 5_000  # of the last ones are read for the lag
SILENT_S = 60.0  # a REST end that gives no answer for so long is taken for dead


@dataclass(frozen=True)
class Running:
    """The state file of a job: where its REST end is, and whose process the mini-cluster lives in (None: a cluster's)."""

    rest: str
    job: str
    name: str
    pid: int | None


def group_of(project: Project) -> str:
    """Consumer group, transactional-id prefix and job name."""
    return f"{project.prefix or project.name}.features.flink"


def folder_of(project: Project) -> Path:
    return project.state_dir / "flink"


def checkpoints_of(project: Project) -> str:
    return project.flink.checkpoints or (folder_of(project) / "checkpoints").as_uri()


def running(project: Project) -> Running:
    """The job this project last submitted. BrokerError when there is none."""
    try:
        return Running(**json.loads((folder_of(project) / STATE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        raise BrokerError(f"{project.name} has no job on Flink. Start one with: driftline run features --on flink") from None


def with_flink(arguments: list[str]) -> None:
    """Go on in a Python that has apache-flink: this one, or the one beside it. Raises ProjectError where there is none."""
    if importlib.util.find_spec("pyflink") is not None:
        return
    beside = Path(sys.prefix).with_name(Path(sys.prefix).name + "-flink") / "bin" / "python"
    python = os.environ.get(FLINK_PYTHON) or (str(beside) if beside.exists() else None)
    if python is None:
        raise ProjectError(
            f"Flink is not installed where {sys.executable} is. In a checkout: make setup-flink. Elsewhere: pip install 'driftline[flink]' into"
            f" an environment of its own, and name its Python in {FLINK_PYTHON}."
        )
    # without the name: one that has no Flink either shall say so, and not go on in itself for ever
    others = {name: value for name, value in os.environ.items() if name != FLINK_PYTHON}
    try:
        os.execve(python, [python, "-m", "streams.cli", *arguments], others)
    except OSError as error:
        raise ProjectError(f"{python} cannot be run: {error.strerror}. Name a Python that has apache-flink in {FLINK_PYTHON}.") from error


def newest_state(project: Project) -> str | None:
    """The newest savepoint or whole checkpoint in the project's own folder, as a URL; None where there is none."""
    if project.flink.checkpoints is not None:
        return None
    root = folder_of(project) / "checkpoints"
    found = sorted(root.rglob("_metadata"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent.as_uri() if found else None


def submit_features(project: Project, savepoint: str | None = None) -> tuple[Running, Any]:
    """Submit the features job; what runs, and Flink's result to wait on. Goes on from `savepoint`, else from the newest state there is.

    Raises StateError where there is none and the rows are in the log already.
    """
    from streams.features.distributed.job import job_plan

    group = group_of(project)
    job, state = job_plan(project, project.kafka()), savepoint or newest_state(project)
    if state is None:
        with ColumnarConsumer(project.kafka()) as consumer:
            refuse_doubling(consumer, project.topic("commits"), "features", "no savepoint or checkpoint is named or known here")
    found, result = launch(project, job, group, checkpoints_of(project), state)
    folder_of(project).mkdir(parents=True, exist_ok=True)
    whole.write(folder_of(project) / STATE_FILE, json.dumps(asdict(found)))
    return found, result


def launch(project: Project, job: JobPlan, group: str, checkpoints: str, savepoint: str | None = None) -> tuple[Running, Any]:
    """Submit a job under a group (its consumers', its transactions' and its own name); what runs, and Flink's result."""
    from connectors.flink.environment import Cluster, table_environment
    from streams.features.distributed.job import submit

    _ = job.cut  # what cannot be kept equal is refused here, before a JVM starts
    flink = project.flink
    port = 0 if flink.address else free_port()
    cluster = Cluster(checkpoints, flink.address, port, flink.parallelism, flink.checkpoint_every_ms, savepoint=savepoint, name=group)
    if flink.address is not None:
        Rest(flink.address).reach()
    with in_words():
        result = submit(table_environment(cluster), job, project.kafka(), group)
        found = str(result.get_job_client().get_job_id())
    return Running(flink.address or f"127.0.0.1:{port}", found, group, None if flink.address else os.getpid()), result


def run_on_flink(project: Project, say: Callable[[str], None], savepoint: str | None = None) -> None:
    """Run the features job until SIGINT or SIGTERM; a mini-cluster's job is stopped with a savepoint then, a cluster's goes on.

    Raises BrokerError when the job has failed for good.
    """
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    found, _ = submit_features(project, savepoint)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    say(f"Job {found.job} runs on Flink at http://{found.rest}; its state is in {checkpoints_of(project)}.")
    behind = Behind(project, stopping)
    behind.start()
    try:
        _watch(project, found, behind, stopping)
    finally:
        stopping.set()
        behind.join(timeout=5)
    if found.pid is not None:
        say("Stopping the job with a savepoint.")
        say(f"Savepoint: {Rest(found.rest).stop(found.job)}")


def _watch(project: Project, found: Running, behind: Behind, stopping: threading.Event) -> None:
    """Write the job's figures every second until `stopping`. BrokerError when it, or the JVM it runs in, has ended."""
    rest, meter, answered = Rest(found.rest), Meter(), time.monotonic()
    while not stopping.wait(WATCH_S):
        try:
            job = rest.job(found.job)
        except BrokerError:
            if found.pid is not None and (code := ended()) is not None:
                raise BrokerError(said_ended(code)) from None
            if time.monotonic() - answered > SILENT_S:  # a busy machine may leave it without an answer for a while
                raise
            continue
        answered = time.monotonic()
        write_status(project, "features", {**figures(job, meter, behind.records), "web": f"http://{found.rest}"})
        if job.state in ENDED:
            raise BrokerError(f"The job on Flink has ended: {job.state} after {job.restarts} restarts. {job.failure or ''}".strip())


class Behind(threading.Thread):
    """Follows the lag, apart from who watches the job: a broker that is gone may keep one waiting for half a minute."""

    def __init__(self, project: Project, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.records = 0
        self._project, self._stopping = project, stopping

    def run(self) -> None:
        while not self._stopping.wait(WATCH_S):
            with suppress(DriftlineError, KafkaError):  # the last one known stands
                for records in behind(self._project, self._stopping):
                    self.records = records
                    self._stopping.wait(WATCH_S)


def figures(job: Job, meter: Meter, lag: int) -> Mapping[str, Any]:
    """The step's figures as every step has them, with what only Flink knows beside them."""
    state = {"RUNNING": "running", "RESTARTING": "replaying", "FAILED": "failed", "FINISHED": "stopped", "CANCELED": "stopped"}.get(
        job.state, "starting"
    )
    meter.on_state("features", state, told(job, time.time_ns() // 1_000_000))
    meter.on_lag("features", lag, [])
    flink = {key: value for key, value in asdict(job).items() if key != "name"}
    return {**meter.figures("features"), "flink": flink}


def told(job: Job, now: int) -> str:
    """How the job does, in one line: state, checkpoints, restarts and what went wrong last. `now` in ms."""
    words = [f"on Flink {job.state}, {job.checkpoints} checkpoints"]
    if job.last_checkpoint_at is not None:
        words[0] += f" (newest {max(0, now - job.last_checkpoint_at) // 1000} s ago)"
    if job.failed_checkpoints:
        words.append(f"{job.failed_checkpoints} of the newest failed")
    words.append("no restart" if not job.restarts else "restarted once" if job.restarts == 1 else f"restarted {job.restarts} times")
    return ", ".join(words) + (f"; last failure: {job.failure}" if job.failure else "")


def behind(project: Project, stopping: threading.Event) -> Iterator[int]:
    """Again and again: the records of the sources behind the newest commits that can be seen, which are those of the last checkpoint."""
    commits = (project.topic("commits"), 0)
    with ColumnarConsumer(project.kafka()) as consumer:
        beginning = consumer.beginning_offsets([commits])[commits]
        start = max(beginning, consumer.end_offsets([commits])[commits] - COMMITS)
        consumer.assign([commits], {commits: start})
        parts = [(topic, part) for topic in map(project.topic, plan_of(project).sources) for part in consumer.partitions(topic)]
        # a partition that none of the last commits has moved is behind only where all commits were read
        read = consumer.beginning_offsets(parts) if start == beginning else consumer.end_offsets(parts)
        while not stopping.is_set():
            for records in consumer.poll(0):
                for commit in commits_in(records, b"features"):
                    read |= {(one.topic, one.partition): one.end for one in commit.ranges}
            yield sum(max(0, end - read[part]) for part, end in consumer.end_offsets(parts).items())


def stop_job(project: Project, savepoint: str | None = None) -> str:
    """Stop the project's job with a savepoint; its path."""
    found = running(project)
    # named each time: a cluster may have no folder of its own for them
    return Rest(found.rest).stop(found.job, savepoint or f"{checkpoints_of(project).rstrip('/')}/savepoints")
