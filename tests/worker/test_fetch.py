"""Reading ahead, on a real broker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import pytest

from connectors.kafka import Bytes, ColumnarConsumer, ColumnarProducer, TopicSettings, ensure_topics
from connectors.kafka.columns import Records
from streams.worker.fetch import Fetch
from tests.waiting import until

pytestmark = pytest.mark.broker


@dataclass(frozen=True)
class Passed:
    next_offset: int


def test_the_end_of_a_transaction_without_records_leaves_a_partition_caught_up(broker: str) -> None:
    quiet, busy = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("quiet", "busy"))
    ensure_topics({"bootstrap_servers": broker}, {quiet: TopicSettings(), busy: TopicSettings()})

    def decode(records: Records) -> Passed:
        return Passed(records.next_offset)

    consumer = ColumnarConsumer({"bootstrap_servers": broker})
    fetch = Fetch(consumer, decode, lambda part: 0)  # type: ignore[arg-type]
    fetch.start({(quiet, 0): 0})
    try:
        with ColumnarProducer({"bootstrap_servers": broker}, transactional_id=uuid.uuid4().hex) as producer:
            for topic in (quiet, busy):  # the second transaction still names the partition of the first
                producer.begin()
                producer.send(topic, 0, np.array([1]), None, Bytes.of([b"x"]))
                producer.commit()
                if topic == quiet:
                    until(fetch.caught_up, 20)
            with ColumnarConsumer({"bootstrap_servers": broker}) as asked:
                end = asked.end_offsets([(quiet, 0)])[quiet, 0]
        assert end == 3
        fetch.get()
        until(lambda: fetch.at_end((quiet, 0), end), 20)
        assert fetch.caught_up()
    finally:
        fetch.stop()
        consumer.close()
