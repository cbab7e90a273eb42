"""Dead letters are listed, put back once, and named in a header; the late ledger is summed up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from connectors.kafka.admin import TopicSettings
from connectors.kafka.columns import Bytes
from connectors.memory import MemoryBroker
from streams.errors import EventError
from streams.events import late
from streams.events.dead_letters import REDRIVEN
from streams.events.redrive import chosen, letters, redrive
from streams.testing import Connection, put, run_to_end, values
from tests.worker.steps import Chain, source

TOPICS = {"t.a": TopicSettings(1), "t.b": TopicSettings(1), "t.out": TopicSettings(1)}
INPUTS = (source("a", "t.a", idle_after=30), source("b", "t.b", idle_after=30))


def row(at: int, **more: object) -> bytes:
    return json.dumps({"card": "c", "at": at, "amount": 1.0, **more}).encode()


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    made.ensure_topics(TOPICS)
    put(made, "t.b", 0, [row(1), b"{broken", row(3), row(4, colour="red")])
    run_to_end(Chain(INPUTS, "t.out"), Connection(made))
    return made


def test_letters_have_place_bytes_and_reason(broker: MemoryBroker) -> None:
    found = letters(Connection(broker), "t.dead-letters")
    assert [str(one.letter.source) for one in found] == ["t.b[0]@1", "t.b[0]@3"]
    assert [one.letter.value for one in found] == [b"{broken", row(4, colour="red")]
    assert "colour" in found[1].letter.reason
    assert chosen(found, reason="colour") == [found[1]]
    assert chosen(found, ["t.b[0]@1"]) == chosen(found, [str(found[0].letter.place)]) == [found[0]]
    assert chosen(found, ["t.b[0]@1", str(found[0].letter.place)]) == [found[0]]  # one letter, however it is named
    with pytest.raises(EventError, match="no dead letter at this place"):
        chosen(found, ["t.b[0]@99"])


def test_each_is_put_back_once_with_a_header_that_names_it(broker: MemoryBroker) -> None:
    connection = Connection(broker)
    assert len(redrive(connection, "t.dead-letters", "t.redrive")) == 2
    assert redrive(connection, "t.dead-letters", "t.redrive") == []
    assert values(broker, "t.b")[4:] == [b"{broken", row(4, colour="red")]
    consumer = broker.consumer()
    consumer.assign([("t.b", 0)], {("t.b", 0): 4})
    records = consumer.poll(0)[0]
    assert records.headers[0] == [(REDRIVEN, b"t.dead-letters[0]@0")]
    assert all(one.redriven_at for one in letters(connection, "t.dead-letters"))
    assert len(redrive(connection, "t.dead-letters", "t.redrive", again=True)) == 2


def test_what_is_refused_again_is_a_new_letter(broker: MemoryBroker) -> None:
    connection = Connection(broker)
    redrive(connection, "t.dead-letters", "t.redrive", lambda known: known[:1])
    run_to_end(Chain(INPUTS, "t.out"), connection)
    found = letters(connection, "t.dead-letters")
    assert [one.redriven_at is None for one in found] == [False, True, True]
    assert (REDRIVEN, b"t.dead-letters[0]@0") in found[-1].letter.headers


def test_a_letter_too_large_for_its_topic_keeps_its_bytes_in_the_source(tmp_path: Path) -> None:
    made = MemoryBroker()
    made.ensure_topics({**TOPICS, "t.b": TopicSettings(1, max_message_bytes=16 << 20)})
    large = row(2, card="x" * (5 << 20))
    put(made, "t.b", 0, [row(1), large, row(3)])
    connection = Connection(made)
    run_to_end(Chain(INPUTS, "t.out"), connection)
    assert len(values(made, "t.out")) == 2
    (found,) = letters(connection, "t.dead-letters")
    assert found.letter.value is None and found.letter.left_out == len(large)
    redrive(connection, "t.dead-letters", "t.redrive")
    assert values(made, "t.b")[-1] == large


def test_a_key_and_headers_too_large_for_a_letter_stay_in_the_source_too() -> None:
    made, settings = MemoryBroker(), TopicSettings(1, max_message_bytes=16 << 20)
    made.ensure_topics({**TOPICS, "t.b": settings})
    key, header = b"k" * (5 << 20), b"h" * (5 << 20)
    made.producer().send("t.b", 0, np.zeros(1, np.int64), Bytes.of([key]), Bytes.of([b"{broken"]), [[("origin", header)]])
    connection = Connection(made)
    run_to_end(Chain(INPUTS, "t.out"), connection)
    (found,) = letters(connection, "t.dead-letters")
    assert found.letter.left_out == len(key) + len(header) + len(b"{broken") and found.letter.key is None
    redrive(connection, "t.dead-letters", "t.redrive")
    consumer = made.consumer()
    consumer.assign([("t.b", 0)], {("t.b", 0): 1})
    (again,) = consumer.poll(0)
    assert (again.keys[0], again.values[0]) == (key, b"{broken")
    assert again.headers[0] == [("origin", header), (REDRIVEN, b"t.dead-letters[0]@0")]


def test_the_ledger_names_the_lateness_that_would_have_been_enough() -> None:
    made = MemoryBroker()
    made.ensure_topics(TOPICS)
    put(made, "t.b", 0, [row(at) for at in (1000, 990, 2000, 1500, 2001)])

    class Windowed(Chain):
        reach = {"b": {"short": 100, "long": None}}

    run_to_end(Windowed(INPUTS, "t.out"), Connection(made), reach=Windowed.reach)
    records = late.ledger(Connection(made), "t.late")
    assert [(one["place"], one["behind_ms"], one["missed"]) for one in records] == [
        ("t.b[0]@1", 10, {"short": 10, "long": 10}),
        ("t.b[0]@3", 500, {"short": 100, "long": 500}),
    ]
    (summary,) = late.summarise(records, {"t.b": 5})
    assert (summary.events, summary.largest_behind_ms, summary.needed_ms, summary.missed) == (2, 500, 505, {"short": 2, "long": 2})
