"""Apache Flink: the connector's jar, and tables over Kafka for the distributed driver."""
