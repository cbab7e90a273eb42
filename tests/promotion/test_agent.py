"""The agent between a repository, runs and deployments, on a broker in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.memory import MemoryBroker
from streams.errors import PromotionError
from streams.predictions import log
from streams.promotion.actions import promote, suspend
from streams.promotion.agent import Agent
from streams.promotion.decide import may_promote
from streams.promotion.desired import Deployments, Desired
from streams.retraining.requests import list_runs
from streams.retraining.runs import Run
from tests.retraining import shop

BETTER = {"metric": "log_loss", "difference": {"value": 0.02, "low": 0.01, "high": 0.03}}


def test_nothing_is_promoted_while_deployments_are_suspended(tmp_path: Path) -> None:
    connection = MemoryBroker()
    project = shop.make(connection, tmp_path)
    deployments = Deployments.of(project)
    deployments.write(Desired(project.name, 1, "a" * 64), "Promote version 1")
    head = suspend(project, True, "an incident", "ann")
    better = Run("decay-5", "waiting", "decay", version=2, sha256="b" * 64, comparison=BETTER)
    log.append(connection, project.topic("runs"), [(better.run_id, better.value(), 0)])
    agent = Agent(project, connection)
    for _ in range(3):
        agent.work(50)
    agent.close()
    (run,) = list_runs(project, connection)
    assert (run.state, run.decision) == ("rejected", "deployments are suspended by ann: an incident")
    with pytest.raises(PromotionError, match="suspended by ann: an incident. Resume them with: driftline suspend --off"):
        promote(project, "decay-5", "now", "bob", connection=connection)
    assert deployments.read()[0] == head
    suspend(project, False, "over", "ann")
    promote(project, "decay-5", "now", "bob", connection=connection)
    wish = deployments.read()[1]
    assert wish is not None
    assert (wish.version, wish.suspended) == (2, False)


def test_a_comparison_with_a_champion_that_is_no_more_promotes_nothing(tmp_path: Path) -> None:
    connection = MemoryBroker()
    project = shop.make(connection, tmp_path)
    deployments = Deployments.of(project)
    deployments.write(Desired(project.name, 3, "a" * 64), "Promote version 3")
    for number, trigger in ((4, "decay"), (5, "manual")):
        better = Run(f"{trigger}-5", "waiting", trigger, version=number, sha256="b" * 64, comparison={**BETTER, "champion_version": 1})
        log.append(connection, project.topic("runs"), [(better.run_id, better.value(), 0)])
    agent = Agent(project, connection)
    for _ in range(3):
        agent.work(50)
    agent.close()
    stale = "it was compared with version 1, and version 3 is the champion now; retrain"
    assert [(run.state, run.decision) for run in list_runs(project, connection)] == [("rejected", stale), ("waiting", None)]
    with pytest.raises(PromotionError, match=f"version 5 is not promoted: {stale}"):
        promote(project, "manual-5", "now", "bob", connection=connection)
    promote(project, "manual-5", "I looked at both", "bob", override=True, connection=connection)
    wish = deployments.now()
    assert wish is not None
    assert wish.version == 5
    for number, allowed in ((5, True), (4, False)):
        run = Run("again", "waiting", version=number, comparison={**BETTER, "champion_version": 1})
        assert may_promote(run, 0.0, wish.version).allowed == allowed, "over itself nothing is replaced"
