"""The Kafka connector of Flink's SQL: one jar, resolved like the broker's."""

from __future__ import annotations

from pathlib import Path

from connectors.jars import resolve

CONNECTOR = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"  # works with Flink 2.3 and brokers up to 4.3


def connector_jar() -> Path:
    """The jar's path; downloaded on first use. Raises BrokerError where it cannot be had."""
    (jar,) = resolve("flink-kafka", [CONNECTOR]).glob("flink-sql-connector-kafka-*.jar")
    return jar
