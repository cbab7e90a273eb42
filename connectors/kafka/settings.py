"""Connection settings: one flat mapping in kafka-python's names, secrets from the environment only."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from streams.errors import ProjectError

# what a project file may say about the connection
CONNECTION = (
    "bootstrap_servers",
    "client_id",
    "security_protocol",
    "sasl_mechanism",
    "sasl_kerberos_service_name",
    "sasl_kerberos_domain_name",
    "ssl_check_hostname",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_crlfile",
    "ssl_ciphers",
    "request_timeout_ms",
    "reconnect_backoff_ms",
    "reconnect_backoff_max_ms",
    "retry_backoff_ms",
    "connections_max_idle_ms",
    "metadata_max_age_ms",
    "bootstrap_timeout_ms",
    "proxy_url",
)
# what comes from the environment, and only from there
SECRETS = {
    "sasl_plain_username": "DRIFTLINE_KAFKA_USERNAME",
    "sasl_plain_password": "DRIFTLINE_KAFKA_PASSWORD",
    "ssl_password": "DRIFTLINE_KAFKA_SSL_PASSWORD",
}
# what else the environment may set, over the project file: the same project on another cluster
OVERRIDES = {
    "bootstrap_servers": "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS",
    "security_protocol": "DRIFTLINE_KAFKA_SECURITY_PROTOCOL",
    "sasl_mechanism": "DRIFTLINE_KAFKA_SASL_MECHANISM",
    "ssl_cafile": "DRIFTLINE_KAFKA_SSL_CAFILE",
    "ssl_certfile": "DRIFTLINE_KAFKA_SSL_CERTFILE",
    "ssl_keyfile": "DRIFTLINE_KAFKA_SSL_KEYFILE",
}
CONSUMER = ("fetch_min_bytes", "fetch_max_wait_ms", "fetch_max_bytes", "max_partition_fetch_bytes", "check_crcs", "client_rack")
PRODUCER = (
    "compression_type",
    "max_request_size",
    "delivery_timeout_ms",
    "transaction_timeout_ms",
    "max_block_ms",
    "max_pending_bytes",
    "batch_bytes",
)


def settings_from_env(settings: Mapping[str, Any] | str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The project's connection settings (or just its bootstrap servers) with the secrets and overrides of the environment.

    ProjectError for an unknown setting and for a secret that stands in the project's own settings.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Any] = {"bootstrap_servers": settings} if isinstance(settings, str) else dict(settings)
    for name in found:
        if name in SECRETS:
            raise ProjectError(f"{name} stands in the project's settings, where everybody reads it; set {SECRETS[name]} instead")
        known = (*CONNECTION, *CONSUMER, *PRODUCER)
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ProjectError(f"unknown Kafka setting {name!r}" + (f". Did you mean {near[0]!r}?" if near else ""))
    for name, variable in (*OVERRIDES.items(), *SECRETS.items()):
        if value := environ.get(variable):
            found[name] = value
    if str(found.get("security_protocol", "")).startswith("SASL") and "sasl_mechanism" not in found:
        raise ProjectError("security_protocol is SASL, but sasl_mechanism is missing; give PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or GSSAPI")
    return found


def client(settings: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """The settings that every client of kafka-python takes, and those named."""
    names = {*CONNECTION, *SECRETS, *more}
    return {name: value for name, value in settings.items() if name in names}
