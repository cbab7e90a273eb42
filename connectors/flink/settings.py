"""Connection settings in the names of Kafka's Java client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.errors import ProjectError

_SAME = {"bootstrap_servers": "bootstrap.servers", "security_protocol": "security.protocol", "sasl_mechanism": "sasl.mechanism"}
_PLAIN = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule"


def java_settings(kafka: Mapping[str, Any]) -> dict[str, str]:
    """What `Project.kafka()` says, for Flink's connector. ProjectError for what has no counterpart there."""
    found = {java: str(kafka[name]) for name, java in _SAME.items() if name in kafka}
    if "ssl_cafile" in kafka:
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(kafka["ssl_cafile"])}
    if "ssl_certfile" in kafka:
        raise ProjectError(
            "Flink's connector wants the client's certificate and key in one PEM file; a separate ssl_certfile cannot be used on flink."
        )
    if "sasl_mechanism" in kafka:
        module = _PLAIN if kafka["sasl_mechanism"] == "PLAIN" else _SCRAM
        name, password = (
            str(kafka.get(key, "")).replace("\\", "\\\\").replace('"', '\\"') for key in ("sasl_plain_username", "sasl_plain_password")
        )
        found["sasl.jaas.config"] = f'{module} required username="{name}" password="{password}";'
    return found
