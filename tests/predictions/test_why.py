"""Why of a prediction whose features.sql is another one now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from connectors.memory import MemoryBroker
from streams.features.step import PLAN_DIGITS, plan_of
from streams.predictions import log
from streams.predictions.model import save
from streams.predictions.store import place
from streams.predictions.why import why
from tests.retraining import shop

COLUMNS = ["amount", "amount_9d"]


@pytest.mark.parametrize("gone", [True, False], ids=["a column is gone", "it has all columns"])
def test_a_row_of_an_earlier_features_sql_is_told_as_it_was(tmp_path: Path, gone: bool) -> None:
    connection = MemoryBroker()
    project = shop.make(connection, tmp_path)
    if not gone:
        (project.root / "features.sql").write_text(shop.SQL.replace("visits_1d", "amount_9d"))
    visit = {"visit_id": "v0", "at": shop.START, "amount": 7.0, "country": "de"}
    shop.produce(connection, project, "visits", [visit])
    data = np.random.default_rng(0).normal(size=(100, 2))
    fitted = lightgbm.train({"verbose": -1}, lightgbm.Dataset(data, data[:, 0], feature_name=COLUMNS), num_boost_round=2)
    save(fitted, place(project, 1), COLUMNS, {}, 0.5)
    row: dict[str, Any] = {"visit_id": "v0", "amount": 7.0, "amount_9d": 3.0, "_event_partition": 0, "_event_offset": 0, "_plan": "before"}
    log.append(connection, project.topic("features"), [("v0", row, shop.START)])
    score = float(fitted.predict([[7.0, 3.0]])[0])
    said = {"prediction_id": "visits[0]@0", "score": score, "version": 1, "features_partition": 0, "features_offset": 0, "_plan": "before"}
    log.append(connection, project.topic("predictions"), [("v0", said, shop.START)])

    tree = why(project, "visits[0]@0", connection)
    assert tree["prediction"]["score_computed_again"] == (None if gone else score)
    assert tree["prediction"]["same_bits"] is (None if gone else True)
    now = plan_of(project).hash[:PLAN_DIGITS]
    assert tree["features"].pop("made_by") == f"an earlier features.sql, before; it is {now} now, so its windows cannot be told"
    assert tree["features"] == {"place": f"{project.topic('features')}[0]@0", "visit_id": "v0", "amount": 7.0, "amount_9d": 3.0}
    assert (tree["windows"], tree["event"]["amount"]) == ([], 7.0)
