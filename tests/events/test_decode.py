"""Every bad input goes to the dead letters with its place and reason, and the rows around it are read."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import json as json_format
from connectors.kafka import batches as wire
from connectors.kafka.admin import TopicSettings
from connectors.kafka.columns import Bytes, Headers, Records
from connectors.memory import MemoryBroker
from streams.events import dead_letters
from streams.events.decode import LARGEST, WATERMARK, decode, decode_parts
from streams.step import Input
from streams.types import Position, Type

SCHEMA = {"card": Type.STRING, "at": Type.TIMESTAMP, "amount": Type.DOUBLE, "count": Type.INT}
SOURCE = Input("payments", "shop.payments", SCHEMA, "at", "card", max_ahead=1000)
NOW = 1_700_000_000_000
READ = partial(json_format.decode, required=("at",), strict=True)
GOOD = {"card": "c", "at": NOW, "amount": 1.5, "count": 2}


def records(values: list[bytes | None]) -> Records:
    rows = len(values)
    none = Headers.none(rows)
    return Records("shop.payments", 3, np.arange(10, 10 + rows), np.full(rows, NOW), Bytes.nulls(rows), Bytes.of(values), none, 10 + rows)


BAD: dict[str, tuple[bytes | None, str]] = {
    "broken JSON": (b'{"card": "c", "at": 17000', ""),
    "not an object": (b"[1, 2]", ""),
    "not UTF-8": (b'{"card": "\xff\xfe", "at": 1700000000000}', ""),
    "nothing": (b"", "empty message"),
    "no value": (None, "empty message"),
    "spaces": (b"   ", ""),
    "a word for a number": (json.dumps({**GOOD, "amount": "much"}).encode(), "amount"),
    "a number for a text": (json.dumps({**GOOD, "card": 5}).encode(), "card"),
    "a fraction for an INT": (json.dumps({**GOOD, "count": 1.5}).encode(), "count"),
    "too large for an INT": (json.dumps({**GOOD, "count": 1 << 40}).encode(), "count"),
    "an object for a number": (json.dumps({**GOOD, "amount": {}}).encode(), "amount"),
    "an unknown field": (json.dumps({**GOOD, "colour": "red"}).encode(), "colour"),
    "no time": (json.dumps({"card": "c", "amount": 1.0}).encode(), "at"),
    "a null time": (json.dumps({**GOOD, "at": None}).encode(), "at"),
    "a time as text": (json.dumps({**GOOD, "at": "2023-11-14 22:13:20"}).encode(), "at"),
    "a time in the future": (json.dumps({**GOOD, "at": NOW + 5000}).encode(), "in the future"),
    "a time beyond 64 bits": (json.dumps({**GOOD, "at": 1 << 70}).encode(), "at"),
    "five megabytes": (json.dumps({**GOOD, "card": "x" * (5 << 20)}).encode(), f"at most {LARGEST:,}"),
}


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_with_place_and_reason_and_the_others_are_read(name: str) -> None:
    value, reason = BAD[name]
    good = json.dumps(GOOD).encode()
    found = decode(records([good, value, good]), SOURCE, READ, now=NOW)
    assert found.table.column("_offset").to_pylist() == [10, 12]
    assert found.table.column("amount").to_pylist() == [1.5, 1.5]
    assert found.next_offset == 13
    (refused,) = found.refused
    assert (refused.topic, refused.partition, refused.offset, refused.value) == ("shop.payments", 3, 11, value)
    assert reason in refused.reason and len(refused.reason) > 10


def headers(rows: list[list[tuple[str, bytes | None]] | None]) -> Headers:
    buffer, start, _ = wire.encode_headers(rows, len(rows))
    return Headers(buffer, start + 1, np.array([len(row or ()) for row in rows], np.int32))


SOME_BAD = ("broken JSON", "no value", "an unknown field", "a null time", "a time in the future")
SOME_GOOD = (json.dumps(GOOD).encode(), json.dumps({**GOOD, "at": NOW - 7}).encode())
cells = st.sampled_from([*SOME_GOOD, WATERMARK, *(BAD[name][0] for name in SOME_BAD)])


@given(st.lists(st.lists(cells, max_size=6), min_size=1, max_size=4))
def test_partitions_read_together_are_as_each_by_itself(wanted: list[list[bytes | str | None]]) -> None:
    header = (WATERMARK, str(NOW - 3).encode())
    parts = []
    for partition, rows in enumerate(wanted):
        marks = [row == WATERMARK for row in rows]
        made = records([None if isinstance(row, str) else row for row in rows])
        parts.append(replace(made, partition=partition, headers=headers([[header] if mark else None for mark in marks])))
    for together, part in zip(decode_parts(parts, SOURCE, READ, now=NOW), parts, strict=True):
        alone = decode(part, SOURCE, READ, now=NOW)
        assert together.table.equals(alone.table)
        for name in ("offsets", "times", "is_row"):
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
        assert (together.refused, together.next_offset) == (alone.refused, alone.next_offset)


def test_a_missing_field_and_null_keys_are_null() -> None:
    found = decode(records([json.dumps({"at": NOW}).encode(), json.dumps({**GOOD, "card": None}).encode()]), SOURCE, READ, now=NOW)
    assert not found.refused
    assert found.table.column("card").to_pylist() == [None, None]
    assert found.table.column("count").to_pylist() == [None, 2]


def test_only_the_refusal_by_the_clock_must_be_told_to_a_replay() -> None:
    bad = [value for value, _ in BAD.values()]
    live = decode(records(bad), SOURCE, READ, now=NOW)
    assert [one.reason for one in live.refused if one.by_clock] == [one.reason for one in live.refused if "future" in one.reason]
    ahead = [one.offset for one in live.refused if one.by_clock]
    again = decode(records(bad), SOURCE, READ, ahead=ahead)
    assert again.table.num_rows == live.table.num_rows == 0


def test_a_watermark_is_no_row_and_one_that_cannot_be_read_is_refused() -> None:
    broker = MemoryBroker()
    broker.ensure_topics({"shop.payments": TopicSettings(1)})
    producer = broker.producer()
    headers: list[Any] = [[(WATERMARK, mark)] if mark else None for mark in (b"77", b"", b"soon", b"9" * 20, b"%d" % (NOW * 1000))]
    headers.append([("other", b"77")])
    values = Bytes.of([None, json.dumps(GOOD).encode(), None, None, None, None])
    producer.send("shop.payments", 0, np.zeros(6, np.int64), None, values, headers)
    consumer = broker.consumer()
    consumer.assign([("shop.payments", 0)])
    (records,) = consumer.poll(0)
    found = decode(records, SOURCE, READ, now=NOW)
    assert found.times.tolist() == [77, NOW]
    assert found.is_row.tolist() == [False, True]
    assert [one.offset for one in found.refused] == [2, 3, 4, 5]
    assert all("no number of milliseconds" in one.reason for one in found.refused[:2])
    assert "in the future" in found.refused[2].reason and [one.by_clock for one in found.refused] == [False, False, True, False]
    again = decode(records, SOURCE, READ, ahead=[4])
    assert (again.times.tolist(), [one.offset for one in again.refused]) == ([77, NOW], [2, 3, 5])


def test_topics_of_the_projects_own_pass_over_tombstones_and_unknown_fields() -> None:
    found = decode(records([None, json.dumps({**GOOD, "more": 1}).encode()]), SOURCE, json_format.decode, strict=False)
    assert not found.refused and found.table.num_rows == 1


def test_a_schema_may_ask_for_the_record_itself() -> None:
    source = Input("runs", "shop.runs", {"_value": Type.STRING, "_key": Type.STRING, "_timestamp": Type.BIGINT}, "_timestamp")
    found = decode(records([b'{"nested": {}}', None]), source, json_format.decode, strict=False)
    assert found.table.to_pylist() == [
        {"_value": '{"nested": {}}', "_key": None, "_timestamp": NOW, "_partition": 3, "_offset": 10, "_time": NOW}
    ]


@pytest.mark.parametrize("name", BAD)
def test_a_dead_letter_gives_back_what_was_refused(name: str) -> None:
    (refused,) = decode(records([BAD[name][0]]), SOURCE, READ, now=NOW).refused
    output = dead_letters.to_output([refused], 123)
    text = output.table.column("_value")[0].as_py()
    letter = dead_letters.read(text.encode(), Position("shop.dead-letters", 0, 5))
    assert (letter.value, letter.key, letter.headers, letter.reason) == (refused.value, refused.key, refused.headers, refused.reason)
    assert letter.source == Position("shop.payments", 3, 10)
    assert letter.version.startswith("driftline")
    assert letter.summary()["place"] == "shop.dead-letters[0]@5"
