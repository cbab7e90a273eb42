"""`driftline demo`: the flights at a pace one can watch. The model decays; retraining and promoting are left to the person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from streams.demo.folder import END, START, events, lay_out, write
from streams.supervisor.up import Supervisor

WATCHED_FROM = pd.Timestamp("2013-04-18")  # the first champion serves since 1 April; a few days later it decays
SPEED = 21_600.0  # six hours a second: a day of flights in four seconds, April to August in nine minutes

WELCOME = """
{name} is up: the flights that left New York in 2013, two hours before each departure: will it land more than 15 minutes late?

  Dashboard: {url}

January to the middle of April go by at once (a minute or two: the first model is trained meanwhile), then a day takes {day:.0f} seconds.
Towards the end of April the model decays: open Drift, click Retrain, compare under Retraining, promote, and watch the quality come back.
Ctrl-C stops all of it; the same command goes on.
"""


def run_interactive(folder: Path, *, say: Callable[[str], None] = print) -> None:
    """Start the project in `folder` with its dashboard, and stay until a signal; a folder that was begun goes on.

    Raises DriftlineError: the project cannot be started, or it runs already.
    """
    project = lay_out(folder, triggers=("manual",), approve="manual")
    if not (project.state_dir / "demo").exists():
        say("the flights are made ready")
        write(project, events(START, END), speed=SPEED, speed_from=int(WATCHED_FROM.timestamp() * 1000))
    supervisor = Supervisor(project, say=say)
    supervisor.run(ready=lambda: say(WELCOME.format(name=project.name, url=supervisor.url, day=86_400 / SPEED)))
    say(f"{project.name} is stopped; its state is in {project.state_dir}.")
