"""A backfill on Flink writes what the embedded one writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connectors.kafka.admin import topics
from streams.features.offline import backfill
from streams.worker.connection import KafkaConnection
from tests.flink.conftest import feed, make

pytestmark = [pytest.mark.flink, pytest.mark.broker, pytest.mark.timeout(600)]


def test_a_backfill_on_flink_is_that_of_one_process(broker: str, tmp_path: Path) -> None:
    project = make(tmp_path / "shop", broker, lateness="2s")
    good = feed(project, range(6_000))
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    assert backfill(project, here, KafkaConnection(project.kafka())).rows == good

    before = set(topics(project.kafka()))
    command = [sys.executable, "-m", "streams.cli", "backfill", str(there), "--on", "flink", "--project", str(project.root)]
    done = subprocess.run([*command, "--set", "flink.parallelism=2"], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{good:,} feature rows" in done.stdout
    assert set(topics(project.kafka())) <= before  # its own topics are gone
    mine, its = pq.read_table(here), pq.read_table(there)
    assert its.schema == mine.schema
    assert its.equals(mine)
