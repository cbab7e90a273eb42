"""A broker that wants a password: user and password come from the environment."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from connectors.broker import EmbeddedBroker, embedded
from connectors.kafka import Bytes, ColumnarConsumer, ColumnarProducer, TopicSettings, ensure_topics, settings_from_env
from streams.errors import BrokerError
from tests.connectors.reading import read_all

pytestmark = pytest.mark.broker
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker's listener that takes ann with her password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = embedded.server_properties

    def with_password(*args: object) -> str:
        text = plain(*args)  # type: ignore[arg-type]
        lines = []
        for line in text.splitlines():
            if line.startswith(("listeners=", "advertised.listeners=")):
                line += f",SASL_PLAINTEXT://127.0.0.1:{port}"
            lines.append(line)
        lines.append("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT")
        lines += ["sasl.enabled.mechanisms=PLAIN", f'listener.name.sasl_plaintext.plain.sasl.jaas.config={LOGIN} user_ann="word";']
        return "\n".join(lines) + "\n"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "server_properties", with_password)
        with EmbeddedBroker(tmp_path_factory.mktemp("secured"), grace=5):
            yield f"127.0.0.1:{port}"


def connection(address: str, password: str) -> dict[str, object]:
    settings = {
        "bootstrap_servers": address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "bootstrap_timeout_ms": 5_000,
    }
    return settings_from_env(settings, {"DRIFTLINE_KAFKA_USERNAME": "ann", "DRIFTLINE_KAFKA_PASSWORD": password})


def test_the_right_password_reads_and_writes(secured: str, tmp_path: Path) -> None:
    settings = connection(secured, "word")
    ensure_topics(settings, {"secret": TopicSettings()})
    with ColumnarProducer(settings, "secret") as producer:
        producer.begin()
        producer.send("secret", 0, np.array([1]), None, Bytes.of([b"told"]))
        producer.send_positions({("secret", 0): (1, "")}, "secret")
        producer.commit()
    with ColumnarConsumer(settings) as consumer:
        consumer.assign([("secret", 0)])
        assert [value for records in read_all(consumer) for value in records.values.to_list()] == [b"told"]
        assert consumer.committed("secret") == {("secret", 0): (1, "")}


def test_a_wrong_password_is_said_and_not_shown(secured: str) -> None:
    for make in (ColumnarConsumer, ColumnarProducer):
        with pytest.raises(BrokerError, match="no broker answers at .*refuses user and password") as met:
            make(connection(secured, "guess"))
        assert "guess" not in str(met.value)
