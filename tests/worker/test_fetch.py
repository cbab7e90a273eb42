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
from connectors.memory import MemoryBroker, MemoryConsumer
from streams.testing import put
from streams.worker.fetch import Fetch
from tests.waiting import until


@dataclass(frozen=True)
class Passed:
    next_offset: int


class Trickle(MemoryConsumer):
    """Gives one record a poll, and counts the polls."""

    polls = 0

    def poll(self, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]:
        self.polls += 1
        return super().poll(timeout_ms, 1)


def test_with_little_to_do_it_reads_on_when_more_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker.fetch.LINGER_S", 60.0)
    made = MemoryBroker()
    made.ensure_topics({"in": TopicSettings()})
    put(made, "in", 0, [b"1", b"2", b"3"])
    consumer = Trickle(made, "read_committed")
    fetch = Fetch(consumer, lambda parts: [Passed(part.next_offset) for part in parts], lambda part: 0)  # type: ignore[misc]
    fetch.start({("in", 0): 0})
    try:
        for count in (1, 2, 3):
            assert fetch.wait(20)
            assert len(fetch.get()) == 1
            assert consumer.polls == count
            assert not fetch.wait(0.05)
            fetch.want()
    finally:
        fetch.stop()


@pytest.mark.broker
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
