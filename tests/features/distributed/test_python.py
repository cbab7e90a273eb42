"""The Python that has Flink, where this one has not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.errors import ProjectError
from streams.features.distributed.run import FLINK_PYTHON, with_flink

ASK = "import sys; sys.modules['pyflink'] = None; from streams.features.distributed.run import with_flink; with_flink(['flink', 'list'])"


def test_one_that_cannot_be_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyflink", None)
    monkeypatch.setenv(FLINK_PYTHON, "/no/such/python")
    with pytest.raises(
        ProjectError, match="/no/such/python cannot be run: No such file or directory. Name a Python that has apache-flink in"
    ):
        with_flink([])


def test_one_without_flink_does_not_go_on_in_itself_for_ever(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*, and {FLINK_PYTHON} is ${{{FLINK_PYTHON}:-not set}}"\n')
    python.chmod(0o755)
    environment = os.environ | {FLINK_PYTHON: str(python)}
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == f"-m streams.cli flink list, and {FLINK_PYTHON} is not set\n"
