"""The whole loop on a small shop, in memory: first champion, decay, a run, promotion in step, a click, a person's promotion, rollback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.memory import MemoryBroker
from streams.commands.inspect import against
from streams.errors import EventError, PromotionError, RunError
from streams.predictions import log, records
from streams.predictions.replay import replay
from streams.predictions.why import why
from streams.project import Project
from streams.promotion.actions import deployment_status, list_models, promote, reject, rollback
from streams.retraining.backtest import backtest
from streams.retraining.requests import cancel_run, find, list_runs, request_retrain
from streams.types import Type
from tests.retraining import shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def rows(connection: MemoryBroker, project: Project, topic: str) -> list[dict[str, Any]]:
    schema = records.predictions({"country": Type.STRING}) if topic == "predictions" else records.outcomes({"country": Type.STRING})
    return log.table(connection, log.whole(connection, project.topic(topic)), schema).to_pylist()


def ended(connection: MemoryBroker, project: Project, run_id: str) -> bool:
    runs = {run.run_id: run for run in list_runs(project, connection)}
    return run_id in runs and runs[run_id].state in ("waiting", *records.ENDED)


def test_the_loop_in_step(tmp_path: Path) -> None:
    connection = MemoryBroker()
    project = shop.make(connection, tmp_path / "shop", in_step=True, margin=-0.2)
    visits, purchases = shop.events(34, 150, turn=18)
    shop.produce(connection, project, "visits", visits)
    shop.produce(connection, project, "purchases", purchases)
    first = int(str(visits[0]["at"])) + 10 * shop.DAY
    hour = 3_600_000
    scored = [visit for visit in visits if int(str(visit["at"])) >= first + hour]

    with shop.running(project, connection) as failures:
        shop.wait(lambda: len(rows(connection, project, "predictions")) >= len(scored), failures, 900)
        predictions = rows(connection, project, "predictions")
        assert [row["label_key"] for row in predictions] == [visit["visit_id"] for visit in scored], "each row once, in order, none before"

        runs = {run.trigger: run for run in list_runs(project, connection)}
        assert runs["first"].state == "promoted"
        assert runs["first"].as_of == first
        decay = runs["decay"]
        assert decay.state == "promoted", decay
        assert decay.as_of is not None
        assert 18 <= (decay.as_of - shop.START) / shop.DAY <= 25
        switch = decay.as_of + hour
        assert all((row["version"] == 2) == (row["_time"] >= switch) for row in predictions), (
            "the new version serves exactly from its event time"
        )

        asked = predictions[500]
        tree = why(project, asked["prediction_id"], connection)
        assert tree["prediction"]["same_bits"]
        assert tree["event"]["visit_id"] == asked["label_key"]
        window = tree["windows"][0]
        assert window["events"]["visits"]["count"] == tree["features"]["visits_1d"]
        with pytest.raises(EventError, match="no prediction id"):
            why(project, "nonsense", connection)
        with pytest.raises(EventError, match=rf"no such event has come yet; the next one is visits\[0\]@{len(visits)}\."):
            why(project, f"visits[0]@{len(visits) + 9}", connection)

        again = replay(project, 1, asked["_time"], asked["_time"] + shop.DAY, connection)
        served = {row["prediction_id"]: row["score"] for row in predictions if row["version"] == 1}
        same = [
            (score, served[name])
            for name, score in zip(again.column("prediction_id").to_pylist(), again.column("score").to_pylist(), strict=True)
            if name in served
        ]
        assert same
        assert all(one == other for one, other in same)

        later = switch, switch + 5 * shop.DAY
        judged = backtest(project, 2, replay(project, 2, *later, connection), connection)
        assert judged is not None
        assert judged["difference"]["value"] == judged["seen"] == 0, "what served against itself"
        worse = backtest(project, 1, replay(project, 1, *later, connection), connection)
        assert worse is not None
        assert worse["difference"]["value"] < 0
        assert worse["rows"] == judged["rows"] > 300
        assert against(worse).startswith(f"On {worse['rows']:,} of them that were served and have a label its log loss is ")
        unserved = replay(project, 1, shop.START, first, connection)
        assert backtest(project, 1, unserved, connection) is None, "nothing served before there was a model"

        clicked = request_retrain(project, "I saw it on the Drift page", "a person", connection)
        joined = request_retrain(project, "me too", "another", connection)
        assert joined.run_id == clicked.run_id
        shop.wait(lambda: ended(connection, project, clicked.run_id), failures, 400)
        run = find(list_runs(project, connection), clicked.run_id)
        assert run.state == "waiting", run.error
        assert run.comparison is not None
        assert run.comparison["champion_version"] == 2
        assert any("fitting" in line for line in run.log_tail)

        promote(project, run.run_id, "looks right", "a person", connection=connection)
        shop.wait(lambda: deployment_status(project, connection=connection).live == 3, failures)
        status = deployment_status(project, connection=connection)
        assert (status.sync, status.health) == ("Synced", "Healthy")
        rollback(project, "not so good after all", "a person")
        shop.wait(lambda: deployment_status(project, connection=connection).live == 2, failures)
        models = list_models(project, connection=connection)
        assert [(one.version, one.serving) for one in models] == [(1, False), (2, True), (3, False)]

    labelled = [row for row in rows(connection, project, "outcomes") if row["state"] == "labelled"]
    truth = {str(one["visit_id"]): one["paid"] == 20.0 for one in purchases}
    assert all(truth[row["label_key"]] == row["label"] for row in labelled)
    scores = np.array([row["score"] for row in labelled])
    assert len(scores) > 1000
    with pytest.raises(PromotionError, match="only one that waits"):
        reject(project, run.run_id, "no", "a person", connection=connection)
    with pytest.raises(RunError, match="nothing to cancel"):
        cancel_run(project, run.run_id, "a person", connection)
