"""A loop beside the app goes on whatever its work raises."""

from __future__ import annotations

import threading
from pathlib import Path

from streams.retraining import service
from streams.sensors import Sensor


class Told(Sensor):
    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def on_state(self, step: str, state: str, message: str = "") -> None:
        self.states.append((state, message))


def test_what_nobody_thought_of_ends_no_loop(tmp_path: Path) -> None:
    stop, rounds, told = threading.Event(), iter((ValueError("a word that it has not seen"), None)), Told()

    class Loop:
        def run(self, stop: threading.Event) -> None:
            error = next(rounds)
            if error is not None:
                raise error
            stop.set()

        def close(self) -> None:
            pass

    service.keep_running(Loop, stop, "retraining", tmp_path / "lock", told)
    assert [state for state, _ in told.states] == ["standby", "running", "failed", "running", "stopped"]
    assert told.states[2][1].startswith("ValueError: a word that it has not seen; begins anew")
