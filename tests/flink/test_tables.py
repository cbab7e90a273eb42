"""What is said to Flink as SQL, and what of a record its sink takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from connectors.kafka.columns import Bytes

pytestmark = [pytest.mark.flink, pytest.mark.timeout(300)]


def test_a_setting_may_hold_a_quote(tmp_path: Path) -> None:
    from connectors.flink.environment import Cluster, table_environment
    from connectors.flink.settings import java_settings
    from connectors.flink.tables import listed

    tables = table_environment(Cluster(str(tmp_path)))
    login = java_settings({"sasl_mechanism": "PLAIN", "sasl_plain_username": "ann", "sasl_plain_password": "it's"})
    settings = {"connector": "kafka", "properties.password": "it's", "properties.login": login["sasl.jaas.config"]}
    tables.execute_sql(f"CREATE TEMPORARY TABLE written (v BYTES) WITH ({listed(settings)})")
    ((shown,),) = tables.execute_sql("SHOW CREATE TABLE written").collect()
    assert "'properties.password' = 'it''s'" in shown
    assert """username="ann" password="it''s";'""" in shown


def test_an_event_of_before_1970_has_a_time_that_java_takes() -> None:
    from connectors.flink.tables import batch

    row = batch("t", Bytes.nulls(2), Bytes.of([b"a", b"b"]), np.array([-5, 5]))
    assert [time for *_, time in row[1]] == [0, 5]
