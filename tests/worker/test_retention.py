"""A log whose beginning is gone, and one with very many commits, on a broker in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.testing import Connection, put, run_to_end, values
from streams.types import Batch, Outputs
from streams.worker import replay
from streams.worker.commits import Commit
from streams.worker.snapshots import Folder
from tests.worker.steps import INPUTS, Chain, broker, fill, row, step


def test_what_retention_took_before_it_was_read_is_told_and_passed_over() -> None:
    made = broker()
    put(made, "t.b", 0, [row(at) for at in range(1, 51)])
    run_to_end(step(), Connection(made), batch_rows=10)
    put(made, "t.b", 0, [row(at) for at in range(51, 101)])
    made.delete_before(("t.b", 0), 70)
    for _ in range(2):  # the second goes the way of the first by its commits
        run_to_end(step(), Connection(made), batch_rows=10)
    assert [json.loads(value or b"")["_offset"] for value in values(made, "t.out")] == [*range(50), *range(70, 100)]
    (letter,) = values(made, "t.dead-letters")
    assert b"no longer in the log, which has 70..100: retention took it; offsets 50..70 are lost" in (letter or b"")


@pytest.mark.parametrize("kept", [True, False], ids=["with a snapshot", "from the log alone"])
def test_a_restart_goes_on_when_retention_took_what_was_answered(kept: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made, snapshots = broker(), Folder(tmp_path) if kept else None
    put(made, "t.b", 0, [row(at) for at in range(1, 51)])
    run_to_end(step(), Connection(made), batch_rows=10, snapshots=snapshots)
    made.delete_before(("t.b", 0), 30)
    put(made, "t.b", 0, [row(at) for at in range(51, 61)])
    run_to_end(step(), Connection(made), batch_rows=10, snapshots=snapshots)
    assert [json.loads(value or b"")["_offset"] for value in values(made, "t.out")] == [*range(60)]
    assert values(made, "t.dead-letters") == []
    assert ("made again without t.b[0]@0..30, which the log no longer has" in caplog.text) == (not kept)


def test_commits_are_read_as_the_replay_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A week of live events has millions of them."""
    made = broker()
    fill(made)
    run_to_end(step(), Connection(made), batch_rows=10)
    number, read, met = len(values(made, "t.commits")), [], []
    from_json = Commit.from_json
    monkeypatch.setattr(Commit, "from_json", lambda text: read.append(text) or from_json(text))
    monkeypatch.setattr(replay.grouped, "__defaults__", (20, False))

    class Watching(Chain):
        def process(self, batch: Batch) -> Outputs:
            met.append(len(read))
            return super().process(batch)

    run_to_end(Watching(INPUTS, "t.out"), Connection(made), batch_rows=10)
    assert number > 10 and met[0] < number / 2 < met[-1]
