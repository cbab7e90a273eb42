"""What is said to Flink as SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

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
