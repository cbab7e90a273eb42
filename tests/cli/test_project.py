"""driftline.toml: what it gives, and every refusal by its text."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from connectors.broker import Running
from streams.errors import BrokerError, ProjectError
from streams.project import Project, load_project
from streams.types import Type

TOML = """
name = "shop"
[sources.orders]
key = "id"
time = "at"
lateness = "5m"
[sources.orders.fields]
id = "STRING"
at = "TIMESTAMP"
amount = "double"
[sources.returns]
time = "at"
[sources.returns.fields]
id = "STRING"
at = "BIGINT"
[model]
labels = { source = "returns", on = "id", value = "TRUE", maturity = "1d12h" }
[drift]
check_every = "6h"
"""


def project(folder: Path, text: str = TOML, **overrides: object) -> Project:
    (folder / "driftline.toml").write_text(text)
    return load_project(folder, {key.replace("__", "."): value for key, value in overrides.items()})


def test_a_project_is_one_value(tmp_path: Path) -> None:
    found = project(tmp_path)
    assert found.name == "shop"
    assert found.root == tmp_path
    assert found.topic("orders") == "shop.orders"
    assert found.topic("dead-letters") == "shop.dead-letters"
    assert found.source("orders").fields == {"id": Type.STRING, "at": Type.TIMESTAMP, "amount": Type.DOUBLE}
    assert found.source("orders").lateness_ms == 300_000
    assert found.model.labels is not None
    assert found.model.labels.maturity_ms == 36 * 3_600_000
    assert found.input("orders").topic == "shop.orders"
    assert found.embedded


def test_overrides_and_checks_by_rows(tmp_path: Path) -> None:
    found = project(tmp_path, drift__check_every=500, retraining__triggers=["manual", "decay"], retraining__timeout="10m")
    assert (found.drift.check_every_ms, found.drift.check_every_rows) == (None, 500)
    assert found.retraining.triggers == ("manual", "decay")
    assert found.retraining.timeout_s == 600


def test_functions_py_is_found(tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text("")
    assert project(tmp_path).model.functions == Path("functions.py")


def test_an_avro_schema_gives_the_fields(tmp_path: Path) -> None:
    fields = [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": ["null", "double"]},
    ]
    (tmp_path / "o.avsc").write_text(json.dumps({"type": "record", "name": "o", "fields": fields}))
    found = project(tmp_path, 'name = "a"\n[sources.o]\ntime = "at"\nschema = "o.avsc"\n').source("o")
    assert found.fields == {"id": Type.STRING, "at": Type.TIMESTAMP, "amount": Type.DOUBLE}
    assert found.format == "avro"


def test_a_field_of_an_avro_schema_may_name_a_type_and_count_time_in_any_unit(tmp_path: Path) -> None:
    fields = [
        {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "paid", "type": {"type": "enum", "name": "Way", "symbols": ["CASH", "CARD"]}},
        {"name": "refunded", "type": ["null", "Way"], "default": None},
    ]
    toml = 'name = "a"\n[sources.o]\ntime = "at"\nschema = "o.avsc"\n'
    (tmp_path / "o.avsc").write_text(json.dumps({"type": "record", "name": "o", "namespace": "shop.events", "fields": fields}))
    assert project(tmp_path, toml).source("o").fields == {"at": Type.TIMESTAMP, "paid": Type.STRING, "refunded": Type.STRING}
    for schema, says in (
        ('{"type": "record"', "o.avsc is no JSON"),
        ('{"type": "string"}', "o.avsc: an Avro schema of events must be a record"),
        (
            '{"type": "record", "name": "o", "fields": [{"name": "at", "type": "Moment"}]}',
            "o.avsc: this is no Avro schema: UnknownType: Moment",
        ),
        (
            '{"type": "record", "name": "o", "fields": [{"name": "at", "type": "bytes"}]}',
            "field at of the Avro schema is bytes; a column is",
        ),
    ):
        (tmp_path / "o.avsc").write_text(schema)
        with pytest.raises(ProjectError, match=says):
            project(tmp_path, toml)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"drfit": {}}, "unknown key 'drfit'. Did you mean 'drift'?"),
        ({"drift.chek_every": "1h"}, "driftline.toml: drift: unknown key 'chek_every'. Did you mean 'check_every'?"),
        ({"drift.window": "6"}, "drift.window: '6' is no duration"),
        ({"drift.window": 6}, "drift.window: 6 is no duration"),
        ({"drift.segments": "carrier"}, "drift.segments: a list of texts was expected"),
        ({"drift.share": 30}, "drift.share: 30; it is a share, a number from 0 to 1"),
        ({"model.threshold": -0.5}, "model.threshold: -0.5; it is a share"),
        ({"drift.check_every": "0s"}, "drift.check_every is more than 0"),
        ({"drift.check_every": 0}, "drift.check_every is more than 0"),
        ({"drift.window": "0s"}, "drift.window is more than 0"),
        ({"drift.consecutive": 0}, "drift.consecutive is more than 0"),
        ({"promotion.in_step": 1}, "promotion.in_step: true or false was expected, 1 was met"),
        ({"promotion.metric": "logloss"}, "'logloss' is not known. Did you mean 'log_loss'?"),
        ({"retraining.triggers": ["decy"]}, "'decy' is not known. Did you mean 'decay'?"),
        ({"engine.features": "flnk"}, "Did you mean 'flink'?"),
        ({"processing": "exactly-once"}, "Did you mean 'exactly_once'?"),
        ({"name": "My Shop"}, "lower-case letters, digits, - and _ make a name"),
        ({"sources": {}}, "there is no source"),
        ({"sources.orders.time": "att"}, "sources.orders.time: there is no field 'att'. Did you mean 'at'?"),
        ({"sources.orders.time": "id"}, "sources.orders.time: id is STRING; TIMESTAMP or BIGINT"),
        ({"sources.orders.key": "ids"}, "sources.orders.key: there is no field 'ids'. Did you mean 'id'?"),
        ({"sources.orders.fields.n": "INTEGER"}, "'INTEGER' is no type. Did you mean 'INT'?"),
        ({"sources.orders.fields._n": "INT"}, "names that begin with _ are Driftline's own"),
        ({"sources.orders.latenes": "1s"}, "unknown key 'latenes'. Did you mean 'lateness'?"),
        ({"sources.orders.schema": "x.avsc"}, "give the fields in [sources.orders.fields], or schema"),
        ({"sources.orders.format": "xml"}, "sources.orders.format: 'xml' is not known"),
        ({"sources.orders.partitions": 0}, "a topic has at least 1"),
        ({"dashboard.port": 65_536}, "driftline.toml: dashboard.port: 65536; a port is a number from 1 to 65535."),
        ({"dashboard.port": 0}, "dashboard.port: 0; a port is"),
        ({"dashboard.port": -1}, "dashboard.port: -1; a port is"),
        ({"sources.features": {"time": "at", "fields": {"at": "BIGINT"}}}, "'features' is a topic of the project's own"),
        ({"model.labels.source": "return"}, "there is no source 'return'. Did you mean 'returns'?"),
        ({"model.labels.on": "idd"}, "returns has no field 'idd'. Did you mean 'id'?"),
        ({"model.labels.vale": "x"}, "unknown key 'vale'. Did you mean 'value'?"),
        ({"model.trian": "x"}, "unknown key 'trian'. Did you mean 'train'?"),
        ({"model.score": "value"}, "model: unknown key 'score'"),
        ({"drift": 3}, "driftline.toml: drift: a table of settings was expected, 3 was met"),
    ],
)
def test_refusals(tmp_path: Path, overrides: dict[str, object], says: str) -> None:
    (tmp_path / "driftline.toml").write_text(TOML)
    with pytest.raises(ProjectError) as refused:
        load_project(tmp_path, overrides)
    assert says in str(refused.value)


def test_what_is_not_there_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="there is no such file. Make a project with: driftline init NAME"):
        load_project(tmp_path)
    with pytest.raises(ProjectError, match="this is no TOML: Invalid value"):
        project(tmp_path, "name = ")
    with pytest.raises(ProjectError, match="features.sql: there is no such file; .model. features names it"):
        _ = project(tmp_path).features_sql
    with pytest.raises(ProjectError, match="shop has no source 'odrers'. Did you mean 'orders'"):
        project(tmp_path).source("odrers")


def test_the_broker_is_the_named_one_or_the_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = project(tmp_path)
    with pytest.raises(BrokerError, match="The broker of shop does not run. Start it with: driftline up"):
        found.bootstrap()
    found.state_dir.mkdir()
    me = psutil.Process()
    running = Running("127.0.0.1:4711", me.pid, me.create_time(), guard=1, owner=1, port=4711, controller_port=4712)
    (found.state_dir / "broker.json").write_text(json.dumps(asdict(running)))
    assert found.kafka()["bootstrap_servers"] == "127.0.0.1:4711"
    (found.state_dir / "broker.json").write_text(json.dumps(asdict(running) | {"created": me.create_time() - 60}))
    with pytest.raises(BrokerError, match="The broker of shop does not run. Start it with: driftline up"):
        found.bootstrap()  # it ran once: its file stays, for its ports
    named = project(tmp_path, bootstrap_servers="kafka.example:9092")
    assert not named.embedded
    monkeypatch.setenv("DRIFTLINE_KAFKA_PASSWORD", "secret")
    monkeypatch.setenv("DRIFTLINE_KAFKA_SASL_MECHANISM", "PLAIN")
    assert named.kafka()["sasl_plain_password"] == "secret"
    monkeypatch.setenv("DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS", "other.example:9092")
    assert not found.embedded
    assert found.bootstrap() == "other.example:9092"
