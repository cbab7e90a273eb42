"""Against a real broker: what is written is what kafka-python and confluent-kafka read, and the other way round."""

from __future__ import annotations

import uuid
from typing import Any

import confluent_kafka
import kafka
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.structs import TopicPartition

from connectors.errors import ClientChangedError, ProduceError, TransactionError
from connectors.kafka import (
    Bytes,
    ColumnarConsumer,
    ColumnarProducer,
    TopicSettings,
    delete_topics,
    ensure_topics,
    fetches,
    lag,
    seams,
    settings_from_env,
    topics,
)
from connectors.kafka.admin import FOREVER, Lag
from streams.errors import BrokerError, ProjectError
from tests.connectors.reading import read_all
from tests.waiting import until

pytestmark = pytest.mark.broker
CODECS = ["none", "gzip", "lz4", "zstd", "snappy"]
TEXT = st.one_of(st.none(), st.binary(max_size=20), st.binary(min_size=100, max_size=300))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)  # librdkafka's names end at a NUL
HEADERS = st.lists(st.tuples(NAMES, st.one_of(st.none(), st.binary(max_size=4))), max_size=2)
Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
ROWS = st.lists(st.tuples(st.integers(0, 1_700_000_000_000), TEXT, TEXT, HEADERS), min_size=1, max_size=30)


def new_topic(broker: str, **more: Any) -> str:
    name = f"clients-{uuid.uuid4().hex[:8]}"
    ensure_topics({"bootstrap_servers": broker}, {name: TopicSettings(**more)})
    return name


def send(producer: ColumnarProducer, topic: str, rows: list[Row]) -> None:
    producer.send(
        topic,
        0,
        np.array([row[0] for row in rows]),
        Bytes.of([row[1] for row in rows]),
        Bytes.of([row[2] for row in rows]),
        [row[3] for row in rows],
    )


def ours(broker: str, topic: str, isolation: str = "read_committed", start: int | None = None) -> list[tuple[int, Row]]:
    with ColumnarConsumer({"bootstrap_servers": broker}, isolation) as consumer:
        consumer.assign([(topic, 0)], None if start is None else {(topic, 0): start})
        return [
            (int(records.offsets[i]), (int(records.timestamps[i]), records.keys[i], records.values[i], records.headers[i]))
            for records in read_all(consumer, 7)
            for i in range(len(records))
        ]


def theirs(broker: str, topic: str, isolation: str = "read_committed", start: int = 0) -> list[tuple[int, Row]]:
    """By kafka-python, one record at a time."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker, isolation_level=isolation, auto_offset_reset="earliest")
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    consumer.seek(tp, start)
    end = consumer.end_offsets([tp])[tp]
    found: list[tuple[int, Row]] = []
    while consumer.position(tp) < end:
        for records in consumer.poll(500).values():
            found += [(record.offset, (record.timestamp, record.key, record.value, list(record.headers))) for record in records]
    consumer.close()
    return found


def librdkafkas(broker: str, topic: str, isolation: str = "read_committed") -> list[tuple[int, Row]]:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker, "group.id": uuid.uuid4().hex, "isolation.level": isolation, "enable.partition.eof": True}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    found: list[tuple[int, Row]] = []
    while True:
        message = consumer.poll(10)
        assert message is not None, "no end of the partition in 10 s"
        if message.error():
            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF
            consumer.close()
            return found
        found.append((message.offset(), (message.timestamp()[1], message.key(), message.value(), list(message.headers() or []))))


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(CODECS), ROWS), min_size=1, max_size=3))
def test_what_we_write_all_read(broker: str, batches: list[tuple[str, list[Row]]]) -> None:
    topic = new_topic(broker)
    for codec, rows in batches:
        with ColumnarProducer({"bootstrap_servers": broker, "compression_type": codec, "batch_bytes": 600}) as producer:
            send(producer, topic, rows)
            producer.flush()
    wished = list(enumerate(row for _, rows in batches for row in rows))
    assert theirs(broker, topic) == wished
    assert librdkafkas(broker, topic) == wished
    assert ours(broker, topic) == wished


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from(CODECS), st.sampled_from(["plain", "commit", "abort"]), ROWS), min_size=1, max_size=4),
    st.integers(0, 40),
)
def test_what_librdkafka_writes_we_read(broker: str, batches: list[tuple[str, str, list[Row]]], start: int) -> None:
    topic = new_topic(broker)
    for codec, fate, rows in batches:
        options = {"bootstrap.servers": broker, "compression.type": codec, "linger.ms": 5}
        if fate != "plain":
            options["transactional.id"] = uuid.uuid4().hex
        producer = confluent_kafka.Producer(options)
        if fate != "plain":
            producer.init_transactions(30)
            producer.begin_transaction()
        for at, key, value, headers in rows:
            producer.produce(topic, value, key, 0, timestamp=at or 1, headers=headers)
        assert producer.flush(30) == 0
        if fate == "commit":
            producer.commit_transaction(30)
        elif fate == "abort":
            producer.abort_transaction(30)
    for isolation in ("read_committed", "read_uncommitted"):
        assert ours(broker, topic, isolation) == librdkafkas(broker, topic, isolation)
    assert ours(broker, topic, start=start) == theirs(broker, topic, start=start) if start <= len(theirs(broker, topic)) else True


@settings(max_examples=10)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["send", "commit", "abort"]), st.sampled_from(CODECS)), min_size=3, max_size=14)
)
def test_interleaved_transactions_look_the_same_to_all(broker: str, acts: list[tuple[int, str, str]]) -> None:
    topic = new_topic(broker)
    producers: dict[int, ColumnarProducer] = {}
    opened: set[int] = set()
    for turn, (who, act, codec) in enumerate(acts):
        if who not in producers:
            producers[who] = ColumnarProducer({"bootstrap_servers": broker, "compression_type": codec}, f"{topic}-{who}")
        producer = producers[who]
        if act == "send":
            if who not in opened:
                producer.begin()
                opened.add(who)
            send(producer, topic, [(turn, b"%d" % who, b"x" * (40 * turn), [])] * (turn + 1))
            producer.flush()
        elif who in opened:
            opened.discard(who)
            producer.commit() if act == "commit" else producer.abort()
    for isolation in ("read_committed", "read_uncommitted"):
        wished = librdkafkas(broker, topic, isolation)
        assert ours(broker, topic, isolation) == wished
        assert theirs(broker, topic, isolation) == wished
    for producer in producers.values():
        producer.close()


def test_every_transaction_has_an_epoch_of_its_own(broker: str) -> None:
    topic, epochs = new_topic(broker), []
    with ColumnarProducer({"bootstrap_servers": broker}, topic) as producer:
        for end in (producer.commit, producer.abort, producer.commit):
            producer.begin()
            send(producer, topic, [(1, None, str(end).encode(), [])])
            producer.flush()
            epochs.append(producer._producer._transaction_manager.producer_id_and_epoch.epoch)
            end()
    assert [epoch - epochs[0] for epoch in epochs] == [0, 1, 2]
    assert [offset for offset, _ in ours(broker, topic)] == [0, 4]


def test_a_compacted_topic_has_gaps_that_are_passed_over(broker: str) -> None:
    """Offsets that compaction left out; the broker's cleaner runs when it likes, so batches with gaps are in test_kafka_batches."""
    topic = new_topic(broker, compacted=True)
    assert topics({"bootstrap_servers": broker}, topic)[topic].configs["cleanup.policy"] == "compact"
    with ColumnarProducer({"bootstrap_servers": broker}) as producer:
        send(producer, topic, [(1, b"k", b"v", []), (2, b"k", None, [])])
        producer.flush()
        with pytest.raises(ProduceError, match="InvalidRecord"):  # a compacted topic wants keys
            send(producer, topic, [(1, None, b"v", [])])
            producer.flush()
        send(producer, topic, [(3, b"l", b"after", [])])
        producer.flush()
    assert [row[2] for _, row in ours(broker, topic)] == [b"v", None, b"after"]


def test_batches_stay_under_the_topics_limit(broker: str) -> None:
    topic = new_topic(broker, max_message_bytes=5_000)
    rows: list[Row] = [(1, b"k", b"v" * 900, [])] * 400
    with ColumnarProducer({"bootstrap_servers": broker}) as producer:
        send(producer, topic, rows)
        producer.flush()
    assert ours(broker, topic) == list(enumerate(rows))


def test_a_limit_lowered_meanwhile_is_an_error_and_not_a_loss(broker: str) -> None:
    topic = new_topic(broker)
    connection = {"bootstrap_servers": broker}
    plain, transactional = ColumnarProducer(connection), ColumnarProducer(connection, "limit-" + topic)
    small: list[Row] = [(1, None, b"small", [])]
    large: list[Row] = [(1, None, b"v" * 1_000, [])] * 50
    send(plain, topic, small)
    plain.flush()
    transactional.begin()
    send(transactional, topic, small)
    transactional.commit()
    ensure_topics(connection, {topic: TopicSettings(max_message_bytes=5_000)})
    with pytest.raises(ProduceError, match=rf"not written: 50 records for {topic}\[0\]: (MessageSizeTooLarge|RecordListTooLarge)"):
        send(plain, topic, large)
        plain.flush()
    transactional.begin()
    with pytest.raises(TransactionError, match="not written: 50 records"):
        send(transactional, topic, small)
        send(transactional, topic, large)
        transactional.commit()
    transactional.abort()
    for producer in (plain, transactional):  # both go on
        if producer is transactional:
            producer.begin()
        send(producer, topic, [(2, None, b"after", [])])
        producer.flush()
        if producer is transactional:
            producer.commit()
        producer.close()
    assert [row[2] for _, row in ours(broker, topic)] == [b"small", b"small", b"after", b"after"]


def test_what_is_on_its_way_is_bounded(broker: str) -> None:
    topic = new_topic(broker)
    with ColumnarProducer({"bootstrap_servers": broker, "max_pending_bytes": 300_000, "batch_bytes": 100_000}) as producer:
        most = 0
        for _ in range(50):
            send(producer, topic, [(1, None, b"v" * 1_000, [])] * 90)
            most = max(most, producer._pending_bytes)
        producer.flush()
    assert most <= 300_000
    with ColumnarConsumer({"bootstrap_servers": broker}) as consumer:
        consumer.assign([(topic, 0)])
        assert sum(len(records) for records in read_all(consumer, 1_000)) == 4_500


def test_records_larger_than_a_fetch_come_through(broker: str) -> None:
    topic = new_topic(broker, max_message_bytes=8 << 20)
    rows: list[Row] = [(1, None, bytes([65 + i]) * (5 << 20), []) for i in range(3)]
    with ColumnarProducer({"bootstrap_servers": broker}) as producer:
        send(producer, topic, rows)
        producer.flush()
    with ColumnarConsumer({"bootstrap_servers": broker, "max_partition_fetch_bytes": 1 << 20, "fetch_max_bytes": 1 << 20}) as consumer:
        consumer.assign([(topic, 0)])
        assert [value for records in read_all(consumer) for value in records.values.to_list()] == [row[2] for row in rows]


def test_a_broker_is_asked_seldom_while_nothing_comes_and_answers_at_once(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetches, "IDLE_S", 0.2)
    settings = {"bootstrap_servers": broker}
    part = (new_topic(broker), 0)
    with ColumnarConsumer(settings) as consumer, ColumnarProducer(settings) as producer:
        asked = consumer._consumer._fetcher.config  # of the last question
        consumer.assign([part])
        until(lambda: not consumer.poll(10) and asked["fetch_max_wait_ms"] == fetches.IDLE_WAIT_MS)
        consumer.pause([part])
        consumer.poll(10)
        assert asked["fetch_max_wait_ms"] == fetches.WAIT_MS
        consumer.resume([part])
        until(lambda: not consumer.poll(10) and asked["fetch_max_wait_ms"] == fetches.IDLE_WAIT_MS)
        send(producer, part[0], [(0, None, b"one", [])])
        producer.flush()
        until(lambda: bool(consumer.poll(10)))
        consumer.poll(10)
        assert asked["fetch_max_wait_ms"] == fetches.WAIT_MS


def test_topics_are_made_as_wished_and_changed_where_they_differ(broker: str) -> None:
    connection, name = {"bootstrap_servers": broker}, f"clients-{uuid.uuid4().hex[:8]}"
    assert ensure_topics(connection, {name: TopicSettings(3)}) == [f"made {name}: 3 partitions, kept"]
    assert ensure_topics(connection, {name: TopicSettings(3)}) == []
    found = topics(connection, name)[name]
    assert found.partitions == 3
    assert found.configs["retention.ms"] == str(FOREVER)
    changed = ensure_topics(connection, {name: TopicSettings(3, retention_ms=86_400_000)})
    assert changed == [f"changed {name}: retention.ms=86400000"]
    with pytest.raises(BrokerError, match=rf"topic {name} has 3 partitions, wished 4; keys would change partitions"):
        ensure_topics(connection, {name: TopicSettings(4)})
    with pytest.raises(BrokerError, match="InvalidConfig"):
        ensure_topics(connection, {name + "-b": TopicSettings(1, extra={"no.such": "thing"})})
    delete_topics(connection, [name, name + "-never-was"])


def test_lag_is_what_is_left_to_read(broker: str) -> None:
    connection, topic = {"bootstrap_servers": broker}, new_topic(broker, partitions=2)
    with ColumnarProducer(connection, "lag-" + topic) as producer:
        producer.begin()
        send(producer, topic, [(1, None, b"v", [])] * 5)
        producer.send_positions({(topic, 0): (2, "")}, "group-" + topic)
        producer.commit()
    found = lag(connection, "group-" + topic, [topic])
    assert found == {(topic, 0): Lag(2, 0, 6), (topic, 1): Lag(None, 0, 0)}
    assert [one.records for one in found.values()] == [4, 0]


def test_no_broker_says_where_it_looked() -> None:
    nowhere = {"bootstrap_servers": "127.0.0.1:1", "bootstrap_timeout_ms": 300}
    for make in (ColumnarConsumer, ColumnarProducer):
        with pytest.raises(BrokerError, match="no broker answers at 127.0.0.1:1"):
            make(nowhere)
    with pytest.raises(BrokerError, match="no broker answers at 127.0.0.1:1"):
        ensure_topics(nowhere, {"x": TopicSettings()})


def test_secrets_come_from_the_environment_alone() -> None:
    environ = {"DRIFTLINE_KAFKA_USERNAME": "ann", "DRIFTLINE_KAFKA_PASSWORD": "word", "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": "other:9092"}
    found = settings_from_env({"bootstrap_servers": "one:9092", "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, environ)
    assert found == {
        "bootstrap_servers": "other:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "word",
    }
    assert settings_from_env("one:9092", {}) == {"bootstrap_servers": "one:9092"}
    with pytest.raises(ProjectError, match="sasl_plain_password stands in the project's settings.*set DRIFTLINE_KAFKA_PASSWORD instead"):
        settings_from_env({"sasl_plain_password": "word"}, {})
    with pytest.raises(ProjectError, match="unknown Kafka setting 'bootstrap_server'. Did you mean 'bootstrap_servers'?"):
        settings_from_env({"bootstrap_server": "x"}, {})
    with pytest.raises(ProjectError, match="sasl_mechanism is missing"):
        settings_from_env({"security_protocol": "SASL_SSL"}, {})


def test_another_kafka_python_is_refused_with_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    seams.check()
    monkeypatch.setattr(seams.kafka, "__version__", "3.1.0")
    with pytest.raises(
        ClientChangedError, match=r"kafka-python 3\.1\.0 is installed, the columnar client is written for 3\.0\.12: its private parts look"
    ):
        seams.check()
    monkeypatch.setattr(seams.Sender, "_can_split", lambda self, batch: True)
    monkeypatch.delattr(seams.RecordAccumulator, "_tp_lock")
    with pytest.raises(
        ClientChangedError,
        match=r"RecordAccumulator\._tp_lock is gone; Sender\._can_split takes \(self, batch\), wished \(self, batch, error\)",
    ):
        seams.check()
