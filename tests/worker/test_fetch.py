"""Reading ahead, on a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import kafka
import pytest
from kafka.structs import TopicPartition

from connectors.kafka import ColumnarConsumer, TopicSettings, ensure_topics
from connectors.kafka.columns import Records
from streams.worker.fetch import Fetch
from tests.waiting import until

pytestmark = pytest.mark.broker


@dataclass(frozen=True)
class Passed:
    next_offset: int


def test_the_end_of_a_transaction_without_records_leaves_a_partition_caught_up(broker: str) -> None:
    quiet = f"quiet-{uuid.uuid4().hex[:8]}"
    ensure_topics({"bootstrap_servers": broker}, {quiet: TopicSettings()})

    def decode(parts: Sequence[Records]) -> list[Passed]:
        return [Passed(part.next_offset) for part in parts]

    def is_read(end: int) -> bool:
        fetch.get()
        return fetch.at_end((quiet, 0), end)

    consumer = ColumnarConsumer({"bootstrap_servers": broker})
    fetch = Fetch(consumer, decode, lambda part: 0)  # type: ignore[arg-type]
    fetch.start({(quiet, 0): 0})
    try:
        producer = kafka.KafkaProducer(bootstrap_servers=broker, transactional_id=uuid.uuid4().hex)
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(quiet, b"x")
        producer.commit_transaction()
        until(lambda: is_read(2) and fetch.caught_up(), 20)
        producer.begin_transaction()  # it names the partition, and writes nothing there
        producer._transaction_manager.maybe_add_partition_to_transaction(TopicPartition(quiet, 0))
        producer.commit_transaction()
        producer.close()
        with ColumnarConsumer({"bootstrap_servers": broker}) as asked:
            end = asked.end_offsets([(quiet, 0)])[quiet, 0]
        assert end == 3
        until(lambda: is_read(end), 20)
        assert fetch.caught_up()
    finally:
        fetch.stop()
        consumer.close()
