"""A project with two sources on the session's broker, under a name of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.project import Project, load_project
from streams.supervisor.topics import make_topics

_NUMBERS = itertools.count(1)
PROJECT = """
name = "chain{number}"
bootstrap_servers = "{bootstrap}"

[state]
every = "{every}"

[sources.a]
time = "at"
key = "card"
partitions = 2
idle_after = "300ms"
[sources.a.fields]
card = "STRING"
at = "TIMESTAMP"
amount = "DOUBLE"

[sources.b]
time = "at"
idle_after = "300ms"
lateness = "{lateness}"
[sources.b.fields]
card = "STRING"
at = "TIMESTAMP"
amount = "DOUBLE"

[model]
"""


@pytest.fixture
def make_project(broker: str, tmp_path: Path) -> Callable[..., Project]:
    def make(every: str = "1s", lateness: str = "0s") -> Project:
        number = next(_NUMBERS)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "driftline.toml").write_text(PROJECT.format(number=number, bootstrap=broker, every=every, lateness=lateness))
        project = load_project(folder)
        make_topics(project)
        return project

    return make
