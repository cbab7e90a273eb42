"""A broker that takes connections and answers nothing: whoever waits for it is told, in bounded time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from connectors.broker import EmbeddedBroker
from connectors.errors import TransactionError
from connectors.kafka.admin import TopicSettings, ensure_topics
from connectors.kafka.columns import Bytes
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer

pytestmark = [pytest.mark.broker, pytest.mark.timeout(200)]


def test_a_commit_without_an_answer_ends_and_the_next_producer_goes_on(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        kafka = {"bootstrap_servers": broker.start()}
        ensure_topics(kafka, {"in": TopicSettings(1), "out": TopicSettings(1)})
        pid = broker.running()
        assert pid is not None
        silent = ColumnarProducer({**kafka, "delivery_timeout_ms": 4_000, "request_timeout_ms": 3_000}, "worker")
        silent.begin()
        silent.send("out", 0, np.zeros(1, np.int64), None, Bytes.of([b"first"]))
        os.kill(pid.pid, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            with pytest.raises(TransactionError):
                silent.send_positions({("in", 0): (1, "")}, "worker")
                silent.commit()
            waited = time.monotonic() - begun
        finally:
            os.kill(pid.pid, signal.SIGCONT)
        assert waited < 60
        with ColumnarProducer(kafka, "worker") as heir:  # whatever became of the first one's transaction, it is over now
            heir.begin()
            heir.send("out", 0, np.zeros(1, np.int64), None, Bytes.of([b"second"]))
            heir.send_positions({("in", 0): (2, "")}, "worker")
            heir.commit()
        silent.close()
        with ColumnarConsumer(kafka) as consumer:
            consumer.assign([("out", 0)])
            end, found = consumer.end_offsets()["out", 0], []
            while consumer.position(("out", 0)) < end:
                found += [value for records in consumer.poll(100) for value in records.values.to_list()]
            assert consumer.committed("worker", [("in", 0)]) == {("in", 0): (2, "")}
    assert found in ([b"second"], [b"first", b"second"])


def test_a_request_that_the_broker_always_puts_off_ends(broker: str) -> None:
    kafka = {"bootstrap_servers": broker, "delivery_timeout_ms": 4_000, "request_timeout_ms": 3_000}
    ensure_topics(kafka, {"silence.out": TopicSettings(1)})
    with ColumnarProducer(kafka, "silence") as producer:
        producer.begin()
        producer.send("silence.out", 0, np.zeros(1, np.int64), None, Bytes.of([b"row"]))
        with pytest.raises(TransactionError, match="no answer from the broker in 14 s"):
            producer.send_positions({("silence.no-such-topic", 0): (1, "")}, "silence")
            producer.commit()  # retried by the client without an end
