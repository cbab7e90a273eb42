"""Topics: made as wished, listed, measured, and how far a group is behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import kafka.errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from connectors.errors import said
from connectors.kafka import settings as _settings
from connectors.kafka.consumer import ColumnarConsumer, TopicPart, _unreachable
from streams.errors import BrokerError

FOREVER = -1


@dataclass(frozen=True)
class TopicSettings:
    """How a topic is to be. Retention goes by the records' timestamps, which are event times here: so it is for ever by default."""

    partitions: int = 1
    compacted: bool = False
    retention_ms: int = FOREVER
    retention_bytes: int = FOREVER
    max_message_bytes: int | None = None
    replication: int = -1  # -1: the broker's default
    extra: Mapping[str, str] = field(default_factory=dict)  # other topic configurations, in Kafka's names

    def configs(self) -> dict[str, str]:
        found = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": str(self.retention_bytes),
            # a replay or a backfill writes event times far from the wall clock
            "message.timestamp.type": "CreateTime",
            "message.timestamp.after.max.ms": str(2**63 - 1),
        }
        if self.max_message_bytes is not None:
            found["max.message.bytes"] = str(self.max_message_bytes)
        return {**found, **self.extra}


@dataclass(frozen=True)
class Topic:
    """A topic as it is."""

    name: str
    partitions: int
    configs: Mapping[str, str]


@contextmanager
def admin(settings: Mapping[str, Any]) -> Iterator[KafkaAdminClient]:
    try:
        opened = KafkaAdminClient(**_settings.client(settings))
    except kafka.errors.KafkaError as error:
        raise _unreachable(settings, error) from error
    try:
        yield opened
    finally:
        opened.close()


def transaction_version(settings: Mapping[str, Any]) -> int:
    """The version of transactions that the cluster has been set to (Kafka's feature transaction.version); 0 where it knows of none."""
    with admin(settings) as opened:
        return int(opened.describe_features().get("transaction.version", {}).get("finalized", (0, 0))[1])


def topic_config(opened: KafkaAdminClient, topic: str) -> dict[str, str]:
    """All configurations of a topic, the broker's defaults included."""
    return _configs(opened, [topic])[topic]


def _configs(opened: KafkaAdminClient, topics: Iterable[str]) -> dict[str, dict[str, str]]:
    wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    found = opened.describe_configs(wanted, config_filter="all")["topic"] if wanted else {}
    return {topic: {name: entry["value"] for name, entry in configs.items()} for topic, configs in found.items()}


def topics(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Topic]:
    """The topics whose names begin so, without Kafka's own."""
    with admin(settings) as opened:
        found = [topic for topic in opened.describe_topics() if topic["name"].startswith(prefix) and not topic["is_internal"]]
        configs = _configs(opened, [topic["name"] for topic in found])
    return {topic["name"]: Topic(topic["name"], len(topic["partitions"]), configs[topic["name"]]) for topic in found}


def ensure_topics(settings: Mapping[str, Any], wanted: Mapping[str, TopicSettings]) -> list[str]:
    """Make the topics that are missing, and change the settings of those that differ; says what was done, line by line.

    BrokerError where a topic has more or fewer partitions than wished: keys would move to other partitions, so that is for a person
    to decide.
    """
    done: list[str] = []
    if not wanted:
        return done
    with admin(settings) as opened:
        try:
            there = {topic["name"]: topic for topic in opened.describe_topics(list(wanted)) if topic["error_code"] == 0}
            missing = {name: want for name, want in wanted.items() if name not in there}
            if missing:
                done += _create(opened, missing)
            for name, topic in there.items():
                has, wish = len(topic["partitions"]), wanted[name].partitions
                if has != wish:
                    raise BrokerError(
                        f"topic {name} has {has} partitions, wished {wish}; keys would change partitions, so nothing was done: "
                        f"set partitions = {has} in the project, or make a new topic and replay into it"
                    )
            done += _configure(opened, {name: wanted[name] for name in there})
        except kafka.errors.KafkaError as error:
            raise BrokerError(f"the topics {', '.join(wanted)} could not be made ready: {said(error)}") from error
    return done


def _create(opened: KafkaAdminClient, missing: Mapping[str, TopicSettings]) -> list[str]:
    specs = {
        name: {"num_partitions": want.partitions, "replication_factor": want.replication, "configs": want.configs()}
        for name, want in missing.items()
    }
    answer = opened.create_topics(specs, raise_errors=False)
    for topic in answer["topics"]:
        kind = kafka.errors.for_code(topic["error_code"])
        if kind not in (kafka.errors.NoError, kafka.errors.TopicAlreadyExistsError):  # two workers may start at once
            raise BrokerError(f"topic {topic['name']} could not be made: {kind.__name__}: {topic['error_message']}")
    opened.wait_for_topics(list(missing), timeout_ms=30_000)
    return [f"made {name}: {want.partitions} partitions, {'compacted' if want.compacted else 'kept'}" for name, want in missing.items()]


def _configure(opened: KafkaAdminClient, wanted: Mapping[str, TopicSettings]) -> list[str]:
    has = _configs(opened, wanted)
    changes = []
    for name, want in wanted.items():
        differs = {key: value for key, value in want.configs().items() if has[name].get(key) != value}
        if differs:
            changes.append(ConfigResource(ConfigResourceType.TOPIC, name, differs))
    if changes:
        opened.alter_configs(changes)
    return [f"changed {change.name}: " + ", ".join(f"{key}={value}" for key, value in change.configs.items()) for change in changes]


def delete_topics(settings: Mapping[str, Any], names: Iterable[str]) -> None:
    """Delete topics; those that are not there are passed over."""
    with admin(settings) as opened:
        answer = opened.delete_topics(list(names), raise_errors=False)
        for topic in answer["topics"]:
            kind = kafka.errors.for_code(topic["error_code"])
            if kind not in (kafka.errors.NoError, kafka.errors.UnknownTopicOrPartitionError):
                raise BrokerError(f"topic {topic['name']} could not be deleted: {kind.__name__}")


@dataclass(frozen=True)
class Lag:
    """How far a group is behind in one partition; `committed` is None where it has committed nothing there."""

    committed: int | None
    beginning: int
    end: int

    @property
    def records(self) -> int:
        """Offsets between the group and the end (control records counted: they have offsets too)."""
        return max(self.end - (self.beginning if self.committed is None else max(self.committed, self.beginning)), 0)


def lag(settings: Mapping[str, Any], group: str, names: Iterable[str]) -> dict[TopicPart, Lag]:
    """How far the group is behind the stable end of each partition of these topics."""
    with ColumnarConsumer(settings) as consumer:
        parts = [(name, number) for name in names for number in consumer.partitions(name)]
        committed = consumer.committed(group, parts)
        beginnings, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        return {part: Lag(committed[part][0] if part in committed else None, beginnings[part], ends[part]) for part in parts}
