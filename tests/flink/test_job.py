"""A real Flink: the rows are those of the log, and what goes wrong is said."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.broker import EmbeddedBroker
from connectors.flink.rest import Rest
from dashboard.queries.live import on_flink
from streams.features.distributed.run import newest_state, running
from streams.features.verify import verify
from streams.project import Project
from streams.supervisor.status import read_status
from tests.flink.conftest import FlinkProcess, feature_rows, feed, make

pytestmark = [pytest.mark.flink, pytest.mark.broker, pytest.mark.timeout(900)]


def places(project: Project) -> list[tuple[int, int, int]]:
    """Of the feature rows that are committed: the partition each stands in, and its driving event's partition and offset."""
    return [(partition, row["_partition"], row["_offset"]) for partition, row in feature_rows(project)]


def assert_whole(project: Project, good: int) -> None:
    """Every good event has one row, in the order of its partition where both stand, equal to the log's in every bit."""
    rows = places(project)
    assert len(rows) == len({row[1:] for row in rows}) == good
    for place in {row[:2] for row in rows}:
        offsets = [row[2] for row in rows if row[:2] == place]
        assert offsets == sorted(offsets)
    parity = verify(project)
    assert (parity.rows, parity.equal) == (good, good), parity


def test_a_killed_worker_and_a_restarted_broker_are_survived(tmp_path: Path, start: Callable[[Project, int], FlinkProcess]) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        project = make(tmp_path / "shop", broker.start())
        good = feed(project, range(3_000))
        process = start(project, 1)
        process.until(lambda: len(places(project)) > 1_000, 600)
        job = Rest(running(project).rest).job(running(project).job)
        assert (job.state, job.restarts, job.failed_checkpoints) == ("RUNNING", 0, 0)  # those due before all tasks ran are none

        worker = next(one for one in process.family() if any("beam_boot" in word for word in one.cmdline()) and "python" in one.name())
        worker.kill()
        good += feed(project, range(3_000, 6_000))
        process.until(lambda: len(places(project)) >= good, 600)

        state = broker.running()
        assert state is not None
        os.kill(state.pid, signal.SIGKILL)
        process.until(lambda: broker.running() is None)
        broker.start()
        good += feed(project, range(6_000, 9_000))
        process.until(lambda: len(places(project)) >= good, 600)

        told = next(one.message for one in read_status(project).steps if one.step == "features")
        assert re.match(r"on Flink RUNNING, \d+ checkpoints \(newest \d+ s ago\), .*restarted .*; last failure: ", told), told
        process.until(lambda: str(on_flink(project)).startswith("The features run on Flink RUNNING, "), 30)
        assert "Savepoint: file:" in process.stop()
        assert_whole(project, good)


def test_killed_and_rescaled_is_whole(broker: str, tmp_path: Path, start: Callable[[Project, int], FlinkProcess]) -> None:
    project = make(tmp_path / "shop", broker)
    good = feed(project, range(6_000))
    first = start(project, 2)
    first.until(lambda: len(places(project)) > 1_000 and newest_state(project) is not None)
    good += feed(project, range(6_000, 12_000))
    job = Rest(running(project).rest).job(running(project).job)
    assert (job.state, job.restarts) == ("RUNNING", 0)
    first.kill_java()

    second = start(project, 3)
    second.until(lambda: len(places(project)) >= good)
    assert "Savepoint: file:" in second.stop()
    assert_whole(project, good)


def test_a_plan_that_cannot_be_kept_equal_is_refused_before_anything_starts(
    broker: str, tmp_path: Path, start: Callable[[Project, int], FlinkProcess]
) -> None:
    project = make(tmp_path / "shop", broker)
    (project.root / "features.sql").write_text("SELECT id FROM events LIMIT 3")
    process = start(project, 1)
    assert process.process.wait(120) == 1
    assert "met LIMIT; on flink every event gives one row. Take it out, or run embedded." in process.log.read_text()
