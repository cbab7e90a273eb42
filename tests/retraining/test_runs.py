"""Runs: joined, cancelled, taken up after a restart, refused with the reason; data sets that are the same each time."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from connectors.memory import MemoryBroker
from streams.errors import RunError
from streams.predictions import log
from streams.predictions.store import place
from streams.project import Project
from streams.retraining.code import TRAIN
from streams.retraining.dataset import Dataset, Manifest, build, manifest, write_parquet
from streams.retraining.judging import plan_of_judging
from streams.retraining.requests import cancel_run, find, list_runs, request_retrain
from streams.retraining.runner import Runner
from streams.retraining.runs import Run, latest
from streams.retraining.sources import sources_of
from tests.retraining import shop


@pytest.fixture
def connection() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def project(connection: MemoryBroker, tmp_path: Path) -> Project:
    return shop.make(connection, tmp_path)


def carry_out(project: Project, connection: MemoryBroker) -> list[Run]:
    runner = Runner(project, connection)
    while runner.work(50):
        pass
    runner.close()
    return list_runs(project, connection)


def test_a_second_click_joins_and_a_cancelled_run_never_begins(project: Project, connection: MemoryBroker) -> None:
    first = request_retrain(project, "drift", "ann", connection)
    assert request_retrain(project, "drift too", "bob", connection).run_id == first.run_id
    assert cancel_run(project, first.run_id, "ann", connection).state == "cancelling"
    ended = carry_out(project, connection)
    assert [(run.state, run.decided_by) for run in ended] == [("cancelled", "ann")]
    with pytest.raises(RunError, match="is cancelled; there is nothing to cancel"):
        cancel_run(project, first.run_id, "ann", connection)
    with pytest.raises(RunError, match="there is no run 'x'"):
        find(ended, "x")


def test_a_wish_to_cancel_outlives_the_states_that_were_written_without_knowing_of_it() -> None:
    states = ("requested", "building", "cancelling", "training", "evaluating")
    records = [{**Run("a", state).value(), "decided_by": "ann" if state == "cancelling" else None} for state in states]
    for number in (3, 4, 5):
        assert latest(records[:number])["a"].decision == "cancel"
    assert latest([*records, Run("a", "waiting").value()])["a"].decision is None


def test_two_clicks_at_the_same_moment_are_one_run(project: Project, connection: MemoryBroker) -> None:
    for name in ("manual-1", "manual-2"):
        log.append(connection, project.topic("runs"), [(name, Run(name, "requested").value(), 0)])
    states = {run.run_id: (run.state, run.error) for run in carry_out(project, connection)}
    assert states["manual-2"] == ("cancelled", "joined run manual-1, which was under way")
    assert states["manual-1"][0] == "failed"


def test_without_events_a_run_says_what_to_do(project: Project, connection: MemoryBroker) -> None:
    request_retrain(project, "", "ann", connection)
    (run,) = carry_out(project, connection)
    assert (run.state, run.error) == ("failed", "There are no feature rows yet: nothing can be trained. Produce events first.")


def test_what_a_dead_runner_left_is_begun_again_but_not_for_ever(project: Project, connection: MemoryBroker) -> None:
    left = Run("decay-5", "training", "decay", as_of=5, attempt=1)
    log.append(connection, project.topic("runs"), [(left.run_id, left.value(), 5)])
    (run,) = carry_out(project, connection)
    assert (run.state, run.attempt) == ("failed", 2)
    assert run.error is not None
    assert "none has a label" in run.error
    left = Run("decay-6", "training", "decay", as_of=5, attempt=3)
    log.append(connection, project.topic("runs"), [(left.run_id, left.value(), 5)])
    run = find(carry_out(project, connection), "decay-6")
    assert (run.state, run.error) == ("failed", "the runner ended 3 times during this run; see its log. Start it again with Retrain.")


def test_a_run_whose_states_come_back_one_by_one_is_carried_out_once(
    project: Project, connection: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, left = log.Follower.poll, list[log.Record]()

    def one(self: log.Follower, timeout_ms: int = 200) -> list[log.Record]:
        left.extend(poll(self, timeout_ms))
        return [left.pop(0)] if left else []

    monkeypatch.setattr(log.Follower, "poll", one)
    wished = Run("decay-5", "requested", "decay", as_of=5)
    log.append(connection, project.topic("runs"), [(wished.run_id, wished.value(), 5)])
    (run,) = carry_out(project, connection)
    assert (run.state, run.attempt) == ("failed", 1)


def test_a_runner_that_is_stopped_leaves_the_run_to_the_next(project: Project, connection: MemoryBroker) -> None:
    sources = sources_of(project)
    (project.root / "train.py").write_text("import time\ndef train(features, labels):\n    time.sleep(1000)\n")
    features(connection, project, 60, sources.plan)
    bought = [{"visit_id": f"v{i}", "bought_at": 10 * i + 1, "paid": 20.0 if i % 2 else 0.0} for i in range(60)]
    shop.produce(connection, project, "purchases", bought)
    asked = request_retrain(project, "", "ann", connection)
    runner, stop = Runner(project, connection), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    shop.wait(lambda: find(list_runs(project, connection), asked.run_id).state == "training", [])
    stop.set()
    thread.join(30)
    runner.close()
    assert not thread.is_alive()
    run = find(list_runs(project, connection), asked.run_id)
    assert (run.state, run.attempt) == ("building", 0)


def test_a_request_that_comes_twice_is_one_run() -> None:
    values = [Run("a", "requested").value(), Run("a", "promoted", version=1).value(), Run("a", "requested").value()]
    assert latest(values)["a"].state == "promoted"


def features(connection: MemoryBroker, project: Project, count: int, plan: str) -> None:
    rows = [
        (
            f"v{i}",
            {
                "visit_id": f"v{i}",
                "amount": float(i),
                "country": "de",
                "amount_1d": None,
                "visits_1d": i,
                "_partition": 0,
                "_offset": i,
                "_plan": plan,
            },
            10 * i,
        )
        for i in range(count)
    ]
    log.append(connection, project.topic("features"), rows)


def test_a_data_set_is_the_same_bytes_each_time(project: Project, connection: MemoryBroker, tmp_path: Path) -> None:
    sources = sources_of(project)
    features(connection, project, 20, sources.plan)
    bought = [{"visit_id": f"v{i}", "bought_at": 10 * i + 15, "paid": 20.0 if i % 2 else 0.0} for i in range(0, 20, 3)]
    shop.produce(connection, project, "purchases", bought)
    named = manifest(connection, sources.dataset, None, 125, sources.plan, "abc")
    found = build(connection, sources.dataset, named)
    # of v0, v3, v6, v9, v12 the rows are before 125; v12's label comes at 135
    assert found.rows.column("visit_id").to_pylist() == ["v0", "v3", "v6", "v9"]
    assert found.labels.tolist() == [False, True, False, True]
    assert found.label_times.tolist() == [15, 45, 75, 105]
    assert found.unlabelled == 13 - 4
    first = write_parquet(found, tmp_path / "first.parquet")

    features(connection, project, 20, sources.plan)  # more comes: what is named stays
    shop.produce(connection, project, "purchases", [{"visit_id": "v1", "bought_at": 20, "paid": 20.0}])
    again = build(connection, sources.dataset, Manifest.read(named.text()))
    assert write_parquet(again, tmp_path / "again.parquet") == first
    assert Manifest.read(named.text()).sha256 == named.sha256
    assert len(named.text()) < 2000
    assert json.loads(named.text())["features"][0]["end"] == 13


def test_rows_of_another_plan_are_not_trained_on(project: Project, connection: MemoryBroker) -> None:
    sources = sources_of(project)
    features(connection, project, 5, "another")
    named = manifest(connection, sources.dataset, None, 100, sources.plan, "")
    with pytest.raises(RunError, match=r"All 5 feature rows before the cut-off were made by an earlier features\.sql"):
        build(connection, sources.dataset, named)


def test_a_challenger_is_judged_on_the_newest_stretch_that_the_champion_has_not_seen() -> None:
    day = 86_400_000
    times = np.arange(1000, dtype=np.int64) * day // 8  # 125 days, so the newest fifth has 25
    whole = Dataset(None, times, times > 0, times)
    newest = int(times[-1])
    assert plan_of_judging(whole, None, 100, 50).starts == (int(times[800]),)
    assert plan_of_judging(whole, 5 * day, 100, 50).starts == (int(times[800]), newest - 14 * day)
    assert plan_of_judging(whole, 5 * day, 20 * day, 50).starts == (int(times[800]), newest - 20 * day)
    late = plan_of_judging(whole, newest - 7 * day, 100, 50)
    assert (late.starts, late.fair) == ((int(times[800]), newest - 7 * day), True)
    seen = plan_of_judging(whole, newest - day, 100, 50)
    assert (seen.starts, seen.fair) == ((int(times[800]), newest - 14 * day), False)


def served(connection: MemoryBroker, project: Project, plan: str, train: bytes) -> Project:
    """With the trigger `code`, and a champion that this code trained."""
    folder = place(project, 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"plan": plan, "cut_off": 0}))
    (folder / TRAIN).write_bytes(train)
    log.append(connection, project.topic("deployments"), [("desired", {"role": "desired", "version": 1, "sha256": ""}, 0)])
    return replace(project, retraining=replace(project.retraining, triggers=("code",)))


def test_another_train_py_asks_for_a_run_once(project: Project, connection: MemoryBroker) -> None:
    plan, train = sources_of(project).plan, (project.root / "train.py").read_bytes()
    project = served(connection, project, plan, train)
    assert carry_out(project, connection) == [], "the champion is of this code"
    (project.root / "train.py").write_bytes(train + b"# now better\n")
    (run,) = carry_out(project, connection)
    assert (run.trigger, run.reason, run.state) == ("code", "train.py has changed", "failed")
    assert carry_out(project, connection) == [run]


def test_another_features_sql_asks_for_a_run_when_its_rows_reach_as_far_as_the_first_champions(
    project: Project, connection: MemoryBroker
) -> None:
    first_after = project.retraining.first_after_ms or 0
    plan, train = sources_of(project).plan, (project.root / "train.py").read_bytes()
    project = served(connection, project, "another", train)
    features(connection, project, 30, "another")
    assert carry_out(project, connection) == [], "no row is of this features.sql"
    features(connection, project, 20, plan)
    began = 0  # the event time of the first of them
    assert carry_out(project, connection) == [], "their labels are still to come"
    late = {"visit_id": "late", "amount": 1.0, "country": "de", "visits_1d": 1, "_partition": 0, "_offset": 99, "_plan": plan}
    log.append(connection, project.topic("features"), [("late", late, began + first_after)])
    (run,) = carry_out(project, connection)
    assert (run.trigger, run.reason, run.as_of) == ("code", "features.sql has changed", began + first_after)
