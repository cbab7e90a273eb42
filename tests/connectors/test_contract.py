"""The same questions to a real broker and to the one in memory."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import kafka
import numpy as np
import pytest
from kafka.structs import OffsetAndMetadata, TopicPartition

from connectors.broker import EmbeddedBroker
from connectors.errors import FencedError, MessageTooLargeError, OffsetGoneError, OffsetLostError, TransactionError
from connectors.kafka import Bytes, ColumnarConsumer, ColumnarProducer, Records, TopicSettings, ensure_topics
from connectors.kafka.admin import transaction_version
from connectors.memory import MemoryBroker
from streams.errors import BrokerError
from tests.connectors.reading import read_all
from tests.waiting import until


class RealBroker:
    """A real broker behind the calls of MemoryBroker; closes what it opened."""

    def __init__(self, bootstrap: str) -> None:
        self.settings = {"bootstrap_servers": bootstrap}
        self.opened: list[Any] = []

    def ensure_topics(self, wanted: dict[str, TopicSettings]) -> list[str]:
        return ensure_topics(self.settings, wanted)

    def consumer(self, isolation: str = "read_committed") -> ColumnarConsumer:
        self.opened.append(ColumnarConsumer(self.settings, isolation))
        return self.opened[-1]

    def producer(self, transactional_id: str | None = None) -> ColumnarProducer:
        self.opened.append(ColumnarProducer(self.settings, transactional_id))
        return self.opened[-1]

    def commit(self, positions: dict[tuple[str, int], tuple[int, str]], group: str) -> None:
        consumer = kafka.KafkaConsumer(group_id=group, enable_auto_commit=False, **self.settings)
        consumer.commit({TopicPartition(*part): OffsetAndMetadata(at, text, -1) for part, (at, text) in positions.items()})
        consumer.close()

    def delete_before(self, partition: tuple[str, int], offset: int) -> None:
        admin = kafka.KafkaAdminClient(**self.settings)
        admin.delete_records({TopicPartition(*partition): offset})
        admin.close()


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker whose transactions are those of Kafka before 4.0."""
    with EmbeddedBroker(tmp_path_factory.mktemp("older")) as broker:
        kafka_admin = kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        assert kafka_admin.update_features({"transaction.version": ("SAFE_DOWNGRADE", 1)}) == {"transaction.version": "OK"}
        kafka_admin.close()
        until(lambda: transaction_version({"bootstrap_servers": broker.bootstrap}) == 1)
        yield broker.bootstrap


@pytest.fixture(params=["memory", pytest.param("broker", marks=pytest.mark.broker), pytest.param("older", marks=pytest.mark.broker)])
def there(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryBroker()
        return
    real = RealBroker(request.getfixturevalue(request.param))
    yield real
    for one in reversed(real.opened):
        one.close()


@pytest.fixture
def topic(there: Any) -> str:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    there.ensure_topics({name: TopicSettings(2)})
    return name


def texts(*words: str | None) -> Bytes:
    return Bytes.of([None if word is None else word.encode() for word in words])


def send(producer: Any, topic: str, partition: int, *words: str | None, at: int = 1_000) -> None:
    producer.send(topic, partition, np.arange(len(words)) + at, None, texts(*words))


def values(there: Any, topic: str, isolation: str = "read_committed", partition: int = 0) -> list[bytes | None]:
    consumer = there.consumer(isolation)
    consumer.assign([(topic, partition)])
    return [value for records in read_all(consumer) for value in records.values.to_list()]


def test_what_is_sent_comes_back_in_order(there: Any, topic: str) -> None:
    producer = there.producer()
    headers = [[("kind", b"a"), ("none", None)], None, [], [("kind", b"")]]
    producer.send(topic, 1, np.array([5, 3, -1, 7]), texts("k", None, "", "k"), texts("one", None, "", "vier"), headers)
    producer.flush()
    consumer = there.consumer()
    consumer.assign([(topic, 0), (topic, 1)])
    records = Records.concat(list(read_all(consumer)))
    assert (records.topic, records.partition, records.next_offset) == (topic, 1, 4)
    assert records.offsets.tolist() == [0, 1, 2, 3]
    assert records.timestamps.tolist()[:2] == [5, 3]
    assert records.keys.to_list() == [b"k", None, b"", b"k"]
    assert records.values.to_list() == [b"one", None, b"", b"vier"]
    assert records.headers.rows.tolist() == [0, 3]
    assert records.headers[0] == [("kind", b"a"), ("none", None)]
    assert records.headers[3] == [("kind", b"")]


def test_reading_may_begin_at_any_offset_and_take_any_number(there: Any, topic: str) -> None:
    producer = there.producer()
    send(producer, topic, 0, *[str(i) for i in range(500)])
    producer.flush()
    consumer = there.consumer()
    consumer.assign([(topic, 0)], {(topic, 0): 123})
    seen: list[int] = []
    while len(seen) < 377:
        for records in consumer.poll(5_000, 50):
            assert len(records) <= 50
            assert [int(value or b"") for value in records.values.to_list()] == records.offsets.tolist()
            assert consumer.position((topic, 0)) == records.next_offset == records.offsets[-1] + 1
            seen += records.offsets.tolist()
    assert seen == list(range(123, 500))
    consumer.seek((topic, 0), 7)
    assert consumer.poll(5_000, 2)[0].offsets.tolist() == [7, 8]


def test_a_transaction_is_seen_whole_or_not_at_all(there: Any, topic: str) -> None:
    producer = there.producer("t-" + topic)
    producer.begin()
    send(producer, topic, 0, "a", "b")
    send(producer, topic, 1, "c")
    producer.flush()
    assert values(there, topic) == []
    assert values(there, topic, "read_uncommitted") == [b"a", b"b"]
    producer.commit()
    producer.begin()
    send(producer, topic, 0, "gone")
    producer.flush()  # or it may never have left
    producer.abort()
    producer.begin()
    send(producer, topic, 0, "d")
    producer.commit()
    assert values(there, topic) == [b"a", b"b", b"d"]
    assert values(there, topic, "read_uncommitted") == [b"a", b"b", b"gone", b"d"]
    assert values(there, topic, partition=1) == [b"c"]


def test_positions_move_over_ends_of_transactions_and_what_was_aborted(there: Any, topic: str) -> None:
    producer = there.producer("t-" + topic)
    producer.begin()
    send(producer, topic, 0, "a")  # offset 0, its end 1
    producer.commit()
    producer.begin()
    send(producer, topic, 0, "x", "y")  # offsets 2 and 3, their end 4
    producer.flush()
    producer.abort()
    consumer = there.consumer()
    consumer.assign([(topic, 0)])
    list(read_all(consumer))
    assert consumer.end_offsets() == {(topic, 0): 5}
    assert consumer.positions() == {(topic, 0): 5}
    consumer.seek((topic, 0), 2)
    assert list(read_all(consumer)) == []
    assert consumer.position((topic, 0)) == 5


def test_an_open_transaction_holds_readers_back_and_another_producer_does_not_overtake(there: Any, topic: str) -> None:
    slow, quick = there.producer("slow-" + topic), there.producer("quick-" + topic)
    slow.begin()
    send(slow, topic, 0, "slow")
    slow.flush()
    quick.begin()
    send(quick, topic, 0, "quick")
    quick.commit()
    assert values(there, topic) == []
    consumer = there.consumer()
    assert consumer.end_offsets([(topic, 0)]) == {(topic, 0): 0}
    slow.commit()
    assert values(there, topic) == [b"slow", b"quick"]


def test_positions_and_their_texts_are_committed_with_the_transaction(there: Any, topic: str) -> None:
    producer, group = there.producer("t-" + topic), "g-" + topic
    consumer = there.consumer()
    parts = [(topic, 0), (topic, 1)]
    assert consumer.committed(group, parts) == {}
    producer.begin()
    send(producer, topic, 0, "a")
    producer.send_positions({(topic, 0): (7, '{"n":1}'), (topic, 1): (0, "")}, group)
    producer.commit()
    assert consumer.committed(group, parts) == {(topic, 0): (7, '{"n":1}'), (topic, 1): (0, "")}
    producer.begin()
    producer.send_positions({(topic, 0): (8, "")}, group)  # before the records or after them
    send(producer, topic, 0, "b")
    producer.flush()
    assert there.consumer().committed(group, [(topic, 1)]) == {(topic, 1): (0, "")}
    producer.abort()
    assert consumer.committed(group, parts)[(topic, 0)] == (7, '{"n":1}')
    producer.begin()
    producer.send_positions({(topic, 0): (8, "")}, group)
    send(producer, topic, 0, "c")
    producer.commit()
    assert consumer.committed(group, parts)[(topic, 0)] == (8, "")
    assert values(there, topic) == [b"a", b"c"]
    with pytest.raises(TransactionError, match="call begin"):
        producer.send_positions({(topic, 0): (9, "")}, group)
    producer.begin()  # a transaction of positions alone
    producer.send_positions({(topic, 0): (9, "")}, group)
    producer.commit()
    assert consumer.committed(group, parts)[(topic, 0)] == (9, "")
    there.commit({(topic, 1): (3, "by hand")}, group)
    assert consumer.committed(group, parts) == {(topic, 0): (9, ""), (topic, 1): (3, "by hand")}


def test_an_empty_transaction_commits(there: Any, topic: str) -> None:
    producer = there.producer("t-" + topic)
    producer.begin()
    producer.commit()
    producer.begin()
    producer.abort()
    producer.abort()  # nothing is open: nothing happens
    assert values(there, topic) == []


@pytest.mark.parametrize("act", ["send", "commit", "abort", "begin"])
def test_a_fenced_producer_writes_nothing(there: Any, topic: str, act: str) -> None:
    zombie = there.producer("t-" + topic)
    zombie.begin()
    send(zombie, topic, 0, "zombie")
    zombie.flush()
    heir = there.producer("t-" + topic)
    with pytest.raises(FencedError, match="another producer has taken over the transactional id"):
        if act == "begin":
            zombie.abort()
            zombie.begin()
        elif act == "send":
            send(zombie, topic, 0, "more")
            zombie.flush()
        elif act == "commit":
            zombie.send_positions({(topic, 0): (99, "")}, "g-" + topic)
            zombie.commit()
        else:
            zombie.abort()
    with pytest.raises(FencedError):  # and so it stays
        zombie.begin()
    heir.begin()
    send(heir, topic, 0, "heir")
    heir.send_positions({(topic, 0): (1, "")}, "g-" + topic)
    heir.commit()
    assert values(there, topic) == [b"heir"]
    assert there.consumer().committed("g-" + topic, [(topic, 0)]) == {(topic, 0): (1, "")}


def test_misuse_says_what_to_do(there: Any, topic: str) -> None:
    producer = there.producer("t-" + topic)
    with pytest.raises(TransactionError, match="call begin"):
        send(producer, topic, 0, "a")
    with pytest.raises(TransactionError, match="call begin"):
        producer.commit()
    with pytest.raises(TransactionError, match="no transactional_id"):
        there.producer().begin()
    plain = there.producer()
    with pytest.raises(BrokerError, match="create"):
        send(plain, topic + "-missing", 0, "a")
    with pytest.raises(ValueError, match="as many"):
        plain.send(topic, 0, np.arange(2), None, texts("a"))
    consumer = there.consumer()
    with pytest.raises(BrokerError, match="assign it first"):
        consumer.position((topic, 0))
    assert consumer.partitions(topic) == [0, 1]
    assert consumer.partitions(topic + "-missing") == []


def test_a_record_too_large_names_its_row_and_nothing_is_written(there: Any) -> None:
    topic = f"contract-{uuid.uuid4().hex[:8]}"
    there.ensure_topics({topic: TopicSettings(1, max_message_bytes=2_000)})
    producer = there.producer()
    with pytest.raises(MessageTooLargeError) as met:
        send(producer, topic, 0, "small", "x" * 2_000, "small")
    assert met.value.row == 1
    send(producer, topic, 0, *["y" * 1_000] * 10)
    producer.flush()
    assert values(there, topic) == [b"y" * 1_000] * 10


def test_an_offset_that_is_gone_is_said(there: Any, topic: str) -> None:
    producer = there.producer()
    send(producer, topic, 0, *"abcdef")
    producer.flush()
    there.delete_before((topic, 0), 4)
    consumer = there.consumer()
    consumer.assign([(topic, 0)], {(topic, 0): 1})
    with pytest.raises(OffsetGoneError, match=rf"{topic}\[0\]@1 is no longer in the log, which has 4\.\.6: retention took it") as gone:
        for _ in range(50):
            consumer.poll(200)
    assert gone.value.after == 4
    consumer.seek((topic, 0), 9)
    with pytest.raises(OffsetLostError, match=rf"{topic}\[0\]@9 is not in the log, which has 4\.\.6") as lost:
        for _ in range(50):
            consumer.poll(200)
    assert not isinstance(lost.value, OffsetGoneError)
    consumer.seek((topic, 0), 4)
    assert [records.values.to_list() for records in read_all(consumer)] == [[b"e", b"f"]]
    assert consumer.beginning_offsets([(topic, 0)]) == {(topic, 0): 4}


def test_paused_partitions_wait_and_the_others_go_on(there: Any, topic: str) -> None:
    producer = there.producer()
    send(producer, topic, 0, "a")
    send(producer, topic, 1, "b")
    producer.flush()
    consumer = there.consumer()
    consumer.assign([(topic, 0), (topic, 1)])
    consumer.pause([(topic, 0)])
    assert consumer.paused() == {(topic, 0)}
    seen = poll_until(consumer, lambda found: len(found) == 1)
    assert [records.partition for records in seen] == [1]
    assert consumer.poll(50) == []
    consumer.resume([(topic, 0)])
    assert [records.values.to_list() for records in poll_until(consumer, lambda found: len(found) == 1)] == [[b"a"]]


def test_reassigning_keeps_the_places(there: Any, topic: str) -> None:
    producer = there.producer()
    send(producer, topic, 0, "a", "b")
    send(producer, topic, 1, "c")
    producer.flush()
    consumer = there.consumer()
    consumer.assign([(topic, 0)])
    assert poll_until(consumer, lambda found: len(found) == 1)[0].next_offset == 2
    consumer.assign([(topic, 0), (topic, 1)])
    assert consumer.positions() == {(topic, 0): 2, (topic, 1): 0}


def test_offsets_by_time(there: Any, topic: str) -> None:
    producer = there.producer()
    send(producer, topic, 0, *"abcd", at=100)
    producer.flush()
    consumer = there.consumer()
    assert consumer.offsets_at({(topic, 0): 0, (topic, 1): 0}) == {(topic, 0): 0, (topic, 1): 0}
    assert consumer.offsets_at({(topic, 0): 102}) == {(topic, 0): 2}
    assert consumer.offsets_at({(topic, 0): 900}) == {(topic, 0): 4}


def test_a_waiting_poll_is_woken_by_what_comes(there: Any, topic: str) -> None:
    producer, consumer = there.producer(), there.consumer()
    consumer.assign([(topic, 0)])
    consumer.poll(10)
    timer = threading.Timer(0.2, lambda: (send(producer, topic, 0, "late"), producer.flush()))
    timer.start()
    assert consumer.poll(20_000)[0].values.to_list() == [b"late"]
    timer.join()


def poll_until(consumer: Any, enough: Callable[[list[Records]], bool]) -> list[Records]:
    found: list[Records] = []
    for _ in range(100):
        found += consumer.poll(100)
        if enough(found):
            break
    return found
