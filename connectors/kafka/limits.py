"""What topics take: their partitions, and the bytes of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import kafka.errors

from connectors.errors import said
from connectors.kafka.admin import admin, topic_config
from streams.errors import BrokerError


class Limits:
    """Asked at a topic's first use and kept. `known` gives a topic's partitions as the sender knows them, and makes it know them: batches
    for a topic whose leaders it has not learned would wait for ever."""

    def __init__(self, settings: Mapping[str, Any], known: Callable[[str], Iterable[int]]) -> None:
        self._settings, self._known = settings, known
        self._bytes: dict[str, int] = {}
        self._partitions: dict[str, set[int]] = {}

    def of(self, topic: str, partition: int) -> int:
        """max.message.bytes of the topic; BrokerError where it has no such partition, or there is no such topic."""
        if topic not in self._bytes:
            self._partitions[topic] = self._now(topic)
            with admin(self._settings) as opened:
                self._bytes[topic] = int(topic_config(opened, topic).get("max.message.bytes", 1_048_588))
        if partition not in self._partitions[topic]:
            self._partitions[topic] = self._now(topic)
            if partition not in self._partitions[topic]:
                raise BrokerError(f"{topic} has no partition {partition}, only {sorted(self._partitions[topic])}")
        return self._bytes[topic]

    def _now(self, topic: str) -> set[int]:
        """The partition numbers of a topic."""
        with admin(self._settings) as opened:  # kafka-python would wait max_block_ms for a topic that is not there
            kind = kafka.errors.for_code(opened.describe_topics([topic])[0]["error_code"])
        if (
            kind is not kafka.errors.NoError and not issubclass(kind, kafka.errors.RetriableError)
        ) or kind is kafka.errors.UnknownTopicOrPartitionError:
            raise BrokerError(f"topic {topic} cannot be written: {kind.__name__}; create it first (ensure_topics)")
        try:
            return set(self._known(topic))
        except kafka.errors.KafkaError as error:
            raise BrokerError(f"topic {topic} cannot be found: {said(error)}; create it first (ensure_topics)") from error

    def forget(self, topic: str) -> None:
        """It may have been changed: ask again."""
        self._bytes.pop(topic, None)
