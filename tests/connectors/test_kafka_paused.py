"""A partition that was paused in the middle of a fetch goes on where it stood, also when the others have nothing left."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.kafka.admin import TopicSettings, ensure_topics
from connectors.kafka.columns import Bytes
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer
from connectors.kafka.settings import settings_from_env

pytestmark = pytest.mark.broker
ROWS = 500


def test_a_partition_paused_in_the_middle_of_a_fetch_goes_on(broker: str) -> None:
    settings = settings_from_env({"bootstrap_servers": broker})
    topics = ["paused.much", "paused.other"]
    ensure_topics(settings, {topic: TopicSettings() for topic in topics})
    with ColumnarProducer(settings) as producer:
        for topic in topics:
            producer.send(topic, 0, np.arange(ROWS), None, Bytes.of([b"x" * 100] * ROWS))
        producer.flush()
    much, other = ((topic, 0) for topic in topics)
    with ColumnarConsumer(settings) as consumer:
        consumer.assign([much, other])
        while consumer.position(much) == 0:
            consumer.poll(100, 10)
        consumer.pause([much])
        while consumer.position(other) < ROWS:
            consumer.poll(100, 10_000)
        consumer.resume([much])
        for _ in range(100):
            consumer.poll(100, 10_000)
            if consumer.position(much) == ROWS:
                break
        assert consumer.position(much) == ROWS
