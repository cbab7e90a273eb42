"""Two weeks of flights, all the way on a real broker, with every process killed once: the first champion, decay, a retraining by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from streams.demo.folder import events
from streams.demo.headless import run_headless
from streams.supervisor.child import lives

pytestmark = [pytest.mark.broker, pytest.mark.timeout(1500)]

START, END = "2013-01-01", "2013-01-14"
SETTINGS = (
    "retraining.first_after=5d",
    "drift.window=2d",
    "drift.min_rows=300",
    "drift.threshold=0.03",
    "drift.consecutive=1",
    "drift.cooldown=60d",
    "promotion.margin=-1.0",  # so little data proves nothing; here the way counts, not the model
)
TIMING = {"seconds", "events_per_second"}
DEADLINE_S = 900


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """kill -9 of the replay, of each worker and of the broker in turn, at last of the demo itself; then the same command goes on."""
    folder = tmp_path_factory.mktemp("torn") / "flights"
    command = [sys.executable, "-c", _SCRIPT, str(folder), START, END, json.dumps(SETTINGS)]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _written(folder, "features"), demo)
        _kill(folder, "replay")
        _kill(folder, "features")
        _until(lambda: (folder / ".driftline" / "models").exists(), demo)  # the first champion is trained
        _kill(folder, "loop")
        _kill(folder, "predictions")
        _kill(folder, "broker")
        _until(lambda: _child(folder, "broker") is not None, demo)
    finally:
        demo.send_signal(signal.SIGKILL)
        demo.wait()
    return run_headless(folder, start=START, end=END, settings=SETTINGS, say=lambda line: None)


def test_every_event_goes_all_its_way_once(torn: dict[str, Any]) -> None:
    flights = events(START, END)
    announced = flights.flights.to_pandas()
    assert torn["events"] == flights.rows
    assert torn["feature_rows"] == len(announced)
    assert torn["dead_letters"] == 0
    champion = pd.Timestamp(torn["first_champion"]).tz_localize(None)
    assert champion == announced["known_at"].min() + pd.Timedelta("5d")
    scored = announced[announced["known_at"] >= champion + pd.Timedelta("1h")]  # it takes effect an hour later
    assert torn["predictions"] == torn["outcomes"] == len(scored)
    landed = set(flights.arrivals.column("flight_id").to_pylist())
    assert torn["labels_never"] == int((~scored["flight_id"].isin(landed)).sum()) > 0


def test_it_retrains_by_itself_when_it_decays(torn: dict[str, Any]) -> None:
    decays = [alarm["time"] for alarm in torn["alarms"] if alarm["kind"] == "decay"]
    assert decays[:1] == [torn["retrained_at"]]
    assert torn["serving_version"] == 2
    month = {name: torn["log_loss"][name]["2013-01"] for name in ("static", "served")}
    assert all(0.2 < value < 0.8 for value in month.values())
    assert month["static"] != month["served"]


@pytest.mark.long
def test_killed_processes_change_nothing(torn: dict[str, Any], tmp_path: Path) -> None:
    whole = run_headless(tmp_path / "flights", start=START, end=END, settings=SETTINGS, say=lambda line: None)
    assert {name: value for name, value in torn.items() if name not in TIMING} == {
        name: value for name, value in whole.items() if name not in TIMING
    }


_SCRIPT = """
import json, sys
from pathlib import Path
from streams.demo.headless import run_headless
folder, start, end, settings = sys.argv[1:]
run_headless(Path(folder), start=start, end=end, settings=tuple(json.loads(settings)))
"""


def _until(happened: Callable[[], bool], demo: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert demo.poll() is None, "the demo ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _written(folder: Path, step: str) -> bool:
    """The step works: it has said how it is."""
    return (folder / ".driftline" / "status" / f"{step}.json").exists()


def _child(folder: Path, name: str) -> int | None:
    """The pid of a process that lives, by its name in up.json, or of the broker."""
    try:
        if name == "broker":
            found = json.loads((folder / ".driftline" / "broker.json").read_text())
            return int(found["pid"]) if Path(f"/proc/{found['pid']}").exists() else None
        for child in json.loads((folder / ".driftline" / "up.json").read_text())["children"]:
            if child["name"].startswith(name) and lives(child["pid"], child["created"]):
                return int(child["pid"])
    except (OSError, ValueError, KeyError):
        return None
    return None


def _kill(folder: Path, name: str) -> None:
    pid = _child(folder, name)
    if pid is not None:  # the replay may be done already
        os.kill(pid, signal.SIGKILL)
