"""A user's folder (driftline.toml, features.sql, train.py) as one frozen value.

`load_project(path)` reads it once, at the edge; everything else is given the `Project`. Secrets are never in the file: they come from
the environment (`DRIFTLINE_KAFKA_*`).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.errors import BrokerError, ProjectError
from streams.sections import Alerts, Dashboard, Drift, Engine, Flink, Labels, Model, Promotion, Registry, Retraining, Source, State
from streams.settings import did_you_mean, duration_ms, keys_of, one_of, read_table
from streams.step import Input
from streams.types import Schema, Type

FILE = "driftline.toml"
STATE = ".driftline"

# The topics that are the project's own; each is one record format (docs/reference/topics.md).
TOPICS = ("dead-letters", "late", "features", "predictions", "outcomes", "drift", "runs", "deployments", "commits")
COMPACTED = ("runs", "deployments")

_TRIGGERS = ("manual", "drift", "decay", "schedule", "data", "code")
_METRICS = ("log_loss", "brier", "auc")


@dataclass(frozen=True)
class Project:
    name: str
    root: Path
    sources: Mapping[str, Source]
    model: Model
    bootstrap_servers: str | None = None  # None: the embedded broker
    prefix: str = ""  # of every topic; the project's name
    partitions: int = 1  # of the project's own topics
    processing: str = "exactly_once"  # exactly_once, at_least_once
    timezone: str = "UTC"  # in which the feature SQL and the dashboard tell times
    schema_registry: str | None = None  # its URL, for sources in Avro
    drift: Drift = field(default_factory=Drift)
    retraining: Retraining = field(default_factory=Retraining)
    promotion: Promotion = field(default_factory=Promotion)
    registry: Registry = field(default_factory=Registry)
    engine: Engine = field(default_factory=Engine)
    flink: Flink = field(default_factory=Flink)
    state: State = field(default_factory=State)
    dashboard: Dashboard = field(default_factory=Dashboard)
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def state_dir(self) -> Path:
        return self.root / STATE

    def topic(self, name: str) -> str:
        """The full name of a source's topic or of one of TOPICS, as in `flights.features`."""
        if name not in self.sources and name not in TOPICS:
            raise ProjectError(f"{name!r} is no source and no topic of {self.name}.{did_you_mean(name, [*self.sources, *TOPICS])}")
        return f"{self.prefix or self.name}.{name}"

    def source(self, name: str) -> Source:
        if name not in self.sources:
            raise ProjectError(f"{self.name} has no source {name!r}.{did_you_mean(name, self.sources)}")
        return self.sources[name]

    @property
    def schemas(self) -> dict[str, Schema]:
        return {name: source.fields for name, source in self.sources.items()}

    def input(self, name: str) -> Input:
        """A source as what a step reads."""
        source = self.source(name)
        return Input(
            name=name,
            topic=self.topic(name),
            schema=source.fields,
            time=source.time,
            key=source.key,
            lateness=source.lateness_ms,
            idle_after=source.idle_after_ms,
            max_ahead=source.max_ahead_ms,
        )

    @property
    def features_sql(self) -> str:
        path = self.root / self.model.features
        try:
            return text_of(path)
        except FileNotFoundError:
            raise ProjectError(f"{path}: there is no such file; [model] features names it.") from None

    def bootstrap(self) -> str:
        """`host:port` of the configured broker, or of the embedded one that runs; BrokerError when none runs."""
        if named := os.environ.get("DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS") or self.bootstrap_servers:
            return named
        from connectors.broker import EmbeddedBroker  # here: most commands need no broker

        running = EmbeddedBroker(self.state_dir).running()
        if running is None:
            raise BrokerError(f"The broker of {self.name} does not run. Start it with: driftline up {self.root}")
        return running.bootstrap

    @property
    def embedded(self) -> bool:
        """Whether the project's broker is the embedded one: the file names no other, and the environment none."""
        return not (self.bootstrap_servers or os.environ.get("DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS"))

    def kafka(self) -> dict[str, Any]:
        """What a Kafka client needs to connect, in kafka-python's names; secrets, SASL and TLS come from DRIFTLINE_KAFKA_*."""
        from connectors.kafka.settings import settings_from_env  # here: a project is read without a Kafka client

        return settings_from_env({"bootstrap_servers": self.bootstrap()})


SECTIONS: dict[str, type] = {
    "drift": Drift,
    "retraining": Retraining,
    "promotion": Promotion,
    "registry": Registry,
    "engine": Engine,
    "flink": Flink,
    "state": State,
    "dashboard": Dashboard,
    "alerts": Alerts,
}
PLAIN = ("name", "bootstrap_servers", "prefix", "partitions", "processing", "timezone", "schema_registry")


def text_of(path: Path) -> str:
    """A source of the project. ProjectError where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8.") from None


def load_project(path: str | Path = ".", overrides: Mapping[str, object] | None = None) -> Project:
    """Read driftline.toml in a folder (or the file itself). `overrides` has dotted keys: {"drift.check_every": "1h"}.

    Raises ProjectError: no such file, no TOML, an unknown key, a missing one, a value that cannot be.
    """
    file = Path(path)
    file = (file / FILE if file.is_dir() or file.suffix != ".toml" else file).resolve()
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{file}: there is no such file. Make a project with: driftline init NAME") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file}: this is no TOML: {error}.") from None
    for key, value in (overrides or {}).items():
        _override(table, key, value)
    return _project(table, file)


def _override(table: dict[str, Any], key: str, value: object) -> None:
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ProjectError(f"{key}: {section} is a value, not a table.")
    table[last] = value


def _project(table: dict[str, Any], file: Path) -> Project:
    known = (*PLAIN, "sources", "model", *SECTIONS)
    for key in table:
        if key not in known:
            raise ProjectError(f"{file.name}: unknown key {key!r}.{did_you_mean(key, known)}")
    name = table.get("name", file.parent.name)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        raise ProjectError(f"{file.name}: name = {name!r}: lower-case letters, digits, - and _ make a name, as topics carry it.")
    if not isinstance(table.get("sources"), dict) or not table["sources"]:
        raise ProjectError(f"{file.name}: there is no source; write at least one [sources.NAME] with its fields.")
    sources = {source: _source(source, settings, file) for source, settings in table["sources"].items()}
    plain = read_table(_Plain, {key: table[key] for key in PLAIN if key in table and key != "name"}, file.name)
    one_of(plain.processing, ("exactly_once", "at_least_once"), f"{file.name}: processing")
    sections = {key: _section(kind, table.get(key, {}), f"{file.name}: {key}") for key, kind in SECTIONS.items()}
    project = Project(
        name=name,
        root=file.parent,
        sources=sources,
        model=_model(table.get("model", {}), sources, file),
        bootstrap_servers=plain.bootstrap_servers,
        prefix=plain.prefix,
        partitions=plain.partitions,
        processing=plain.processing,
        timezone=plain.timezone,
        schema_registry=plain.schema_registry,
        **sections,
    )
    _refuse_values(project, file.name)
    return project


@dataclass(frozen=True)
class _Plain:
    bootstrap_servers: str | None = None
    prefix: str = ""
    partitions: int = 1
    processing: str = "exactly_once"
    timezone: str = "UTC"
    schema_registry: str | None = None


def _section(kind: type, table: object, where: str) -> Any:
    if kind is Drift and isinstance(table, dict) and isinstance(table.get("check_every"), int):
        rows = table["check_every"]
        rest = {key: value for key, value in table.items() if key != "check_every"}
        return read_table(Drift, rest, where, check_every_ms=None, check_every_rows=rows)
    return read_table(kind, table, where)


def _refuse_values(project: Project, file: str) -> None:
    for trigger in project.retraining.triggers:
        one_of(trigger, _TRIGGERS, f"{file}: retraining.triggers")
    one_of(project.promotion.metric, _METRICS, f"{file}: promotion.metric")
    one_of(project.promotion.approve, ("auto", "manual"), f"{file}: promotion.approve")
    one_of(project.engine.features, ("embedded", "flink"), f"{file}: engine.features")
    drift = project.drift
    for key, share in (("model.threshold", project.model.threshold), ("drift.alpha", drift.alpha), ("drift.share", drift.share)):
        if not 0 <= share <= 1:
            raise ProjectError(f"{file}: {key}: {share:g}; it is a share, a number from 0 to 1.")
    for key, value in (
        ("check_every", drift.check_every_ms or drift.check_every_rows),
        ("window", drift.window_ms),
        ("consecutive", drift.consecutive),
    ):
        if not value or value < 1:
            raise ProjectError(f"{file}: drift.{key} is more than 0.")
    if not 1 <= project.dashboard.port <= 65_535:
        raise ProjectError(f"{file}: dashboard.port: {project.dashboard.port}; a port is a number from 1 to 65535.")


def _model(table: object, sources: Mapping[str, Source], file: Path) -> Model:
    where = f"{file.name}: model"
    if not isinstance(table, dict):
        raise ProjectError(f"{where}: a table of settings was expected, {table!r} was met.")
    labels: Labels | None = None
    rest = {key: value for key, value in table.items() if key != "labels"}
    if "labels" in table:
        labels = read_table(Labels, table["labels"], f"{where}.labels")
        if labels.source not in sources:
            raise ProjectError(f"{where}.labels.source: there is no source {labels.source!r}.{did_you_mean(labels.source, sources)}")
        fields = sources[labels.source].fields
        if labels.on not in fields:
            raise ProjectError(f"{where}.labels.on: {labels.source} has no field {labels.on!r}.{did_you_mean(labels.on, fields)}")
    for key in rest:
        if key not in keys_of(Model):
            raise ProjectError(f"{where}: unknown key {key!r}.{did_you_mean(key, keys_of(Model))}")
    if "functions" not in rest and (file.parent / "functions.py").exists():
        rest["functions"] = "functions.py"
    return read_table(Model, rest, where, labels=labels)


def _source(name: str, table: object, file: Path) -> Source:
    where = f"{file.name}: sources.{name}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ProjectError(f"{where}: a source is a table of the feature SQL; letters, digits and _ make its name.")
    if name in TOPICS:
        raise ProjectError(f"{where}: {name!r} is a topic of the project's own; choose another name.")
    if not isinstance(table, dict):
        raise ProjectError(f"{where}: a table of settings was expected, {table!r} was met.")
    rest = {key: value for key, value in table.items() if key not in ("fields", "schema")}
    for key in rest:
        if key not in keys_of(Source):
            raise ProjectError(f"{where}: unknown key {key!r}.{did_you_mean(key, [*keys_of(Source), 'fields', 'schema'])}")
    if ("fields" in table) == ("schema" in table):
        raise ProjectError(f'{where}: give the fields in [sources.{name}.fields], or schema = "FILE.avsc".')
    avsc = None if "fields" in table else file.parent / str(table["schema"])
    fields = _fields(table["fields"], where) if avsc is None else _avro_fields(avsc, where)
    if avsc is not None:
        rest.setdefault("format", "avro")
    source = read_table(Source, rest, where, name=name, fields=fields, avsc=avsc)
    one_of(source.format, ("json", "avro"), f"{where}.format")
    if source.partitions < 1:
        raise ProjectError(f"{where}.partitions: {source.partitions}; a topic has at least 1.")
    for role, column in (("time", source.time), ("key", source.key)):
        if column is not None and column not in fields:
            raise ProjectError(f"{where}.{role}: there is no field {column!r}.{did_you_mean(column, fields)}")
    if fields[source.time] not in (Type.TIMESTAMP, Type.BIGINT):
        raise ProjectError(f"{where}.time: {source.time} is {fields[source.time]}; TIMESTAMP or BIGINT (milliseconds) tells a time.")
    return source


_SPELLINGS = {
    "INTEGER": "INT",
    "LONG": "BIGINT",
    "TEXT": "STRING",
    "VARCHAR": "STRING",
    "BOOLEAN": "BOOL",
    "REAL": "FLOAT",
    "DATETIME": "TIMESTAMP",
}


def _fields(table: object, where: str) -> dict[str, Type]:
    if not isinstance(table, dict) or not table:
        raise ProjectError(f'{where}.fields: a table of NAME = "TYPE" was expected, {table!r} was met.')
    fields: dict[str, Type] = {}
    for name, kind in table.items():
        word = str(kind).upper()
        if name.startswith("_"):
            raise ProjectError(f"{where}.fields: {name!r}: names that begin with _ are Driftline's own.")
        if word not in Type.__members__:
            raise ProjectError(f"{where}.fields.{name}: {kind!r} is no type.{did_you_mean(_SPELLINGS.get(word, word), Type.__members__)}")
        fields[name] = Type(word)
    return fields


def _avro_fields(file: Path, where: str) -> dict[str, Type]:
    from connectors.formats.avro_schema import columns_of

    try:
        return columns_of(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ProjectError(f"{where}.schema: {file}: there is no such file.") from None
    except ValueError as error:
        raise ProjectError(f"{where}.schema: {file} is no JSON: {error}.") from None
    except ProjectError as error:
        raise ProjectError(f"{where}.schema: {file}: {error}.") from None


__all__ = [
    "COMPACTED",
    "FILE",
    "TOPICS",
    "Drift",
    "Labels",
    "Model",
    "Project",
    "Promotion",
    "Retraining",
    "Source",
    "duration_ms",
    "load_project",
]
