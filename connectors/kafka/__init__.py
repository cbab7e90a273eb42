"""Kafka as columns: batches of records in and out without a Python object a record.

Begin with consumer.py (in), producer.py (out) and columns.py (what travels); seams.py says what of kafka-python they stand on.
"""

from connectors.kafka.admin import Lag, Topic, TopicSettings, delete_topics, ensure_topics, lag, topics
from connectors.kafka.columns import Bytes, Headers, Records
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer
from connectors.kafka.settings import settings_from_env

__all__ = [
    "Bytes",
    "ColumnarConsumer",
    "ColumnarProducer",
    "Headers",
    "Lag",
    "Records",
    "Topic",
    "TopicSettings",
    "delete_topics",
    "ensure_topics",
    "lag",
    "settings_from_env",
    "topics",
]
