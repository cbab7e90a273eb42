"""A real Apache Kafka started from Python alone: no Docker, no Java, no server to set up.

>>> with EmbeddedBroker(Path("flights/.driftline")) as broker:  # doctest: +SKIP
...     print(broker.bootstrap)
127.0.0.1:40213
"""

from connectors.broker.embedded import EmbeddedBroker, Running

__all__ = ["EmbeddedBroker", "Running"]
