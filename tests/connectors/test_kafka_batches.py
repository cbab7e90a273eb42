"""Record batches as columns against kafka-python's own decoder and encoder, on random batches."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.structs import TopicPartition

from connectors.errors import CorruptBatchError, MessageFormatError
from connectors.kafka import Bytes, Records
from connectors.kafka import batches as wire
from connectors.kafka.partition import PartitionRecords

TP = TopicPartition("events", 3)
TEXT = st.one_of(st.none(), st.binary(max_size=12), st.binary(min_size=60, max_size=200))
HEADER = st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=5)))


@dataclass
class Spec:
    """One batch to be built: records (time, key, value, headers), offsets left out by compaction, codec, producer."""

    records: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]
    codec: int = 0
    producer: int = -1
    transactional: bool = False
    gap: int = 0  # offsets missing behind it
    dropped: list[int] = field(default_factory=list)
    append_time: bool = False
    control: bool | None = None  # True commit, False abort


def build(spec: Spec, base: int) -> tuple[bytes, int]:
    """The bytes of a batch at this offset, and the offset after it."""
    builder = DefaultRecordBatchBuilder(2, spec.codec, spec.transactional, spec.producer, 0 if spec.producer >= 0 else -1, 0, 1 << 30)
    if spec.control is not None:
        builder.append(0, 1, struct.pack(">hh", 0, int(spec.control)), struct.pack(">hi", 0, 0), [])
    for delta, (at, key, value, headers) in enumerate(spec.records):
        if delta not in spec.dropped:
            builder.append(delta, at, key, value, headers)
    builder._last_offset = max(len(spec.records) - 1, 0)
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    attributes = struct.unpack_from(">h", data, 21)[0] | (0x20 if spec.control is not None else 0) | (0x08 if spec.append_time else 0)
    struct.pack_into(">h", data, 21, attributes)
    struct.pack_into(">I", data, 17, crc32c.crc32c(bytes(data[21:])))
    return bytes(data), base + builder._last_offset + 1 + spec.gap


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, list[SimpleNamespace], int, int]:
    """A fetch response: batches of several producers with their ends, the aborted transactions, the first and last offset."""
    base = first = draw(st.integers(0, 1000))
    out, aborted, opened = b"", [], {}
    for _ in range(draw(st.integers(0, 14))):
        record = st.tuples(st.integers(-1, 2**41), TEXT, TEXT, st.lists(HEADER, max_size=2))
        if opened and draw(st.booleans()):
            producer = draw(st.sampled_from(sorted(opened)))
            begun, commits = opened.pop(producer)
            if not commits:
                aborted.append(SimpleNamespace(producer_id=producer, first_offset=begun))
            spec = Spec([], producer=producer, transactional=True, control=commits)
        else:
            producer = draw(st.sampled_from([6, 6, 7, 5, -1]))
            transactional = producer >= 6
            records = draw(st.lists(record, min_size=1, max_size=3))
            dropped = draw(st.lists(st.integers(0, len(records) - 1), max_size=len(records) - 1, unique=True))
            spec = Spec(records, draw(st.integers(0, 4)), producer, transactional, draw(st.integers(0, 3)), dropped, draw(st.booleans()))
            if transactional and producer not in opened:
                opened[producer] = (base, draw(st.booleans()))
        data, base = build(spec, base)
        out += data
    for producer, (begun, commits) in opened.items():  # a reader sees only what is decided
        if not commits:
            aborted.append(SimpleNamespace(producer_id=producer, first_offset=begun))
    out += draw(st.sampled_from([b"", out[:40], out[:60], b"\0" * 5]))  # cut off at the end
    return out, aborted, first, base


def drain(kind: Any, data: bytes, at: int, aborted: list[SimpleNamespace], isolation: Any, sizes: list[int]) -> tuple[list[Any], int]:
    part = kind(at, TP, MemoryRecords(data), check_crcs=True, isolation_level=isolation, aborted_transactions=list(aborted))
    rows: list[Any] = []
    turn = 0
    while part:
        taken = part.take(sizes[turn % len(sizes)])
        turn += 1
        for records in taken:
            if isinstance(records, tuple):  # kafka-python's
                rows.append((records.offset, records.timestamp, records.key, records.value, records.headers))
            else:
                rows += [
                    (int(records.offsets[i]), int(records.timestamps[i]), records.keys[i], records.values[i], records.headers[i])
                    for i in range(len(records))
                ]
        if rows:
            assert part.next_fetch_offset > rows[-1][0]
    return rows, part.next_fetch_offset


@given(logs(), st.data(), st.lists(st.integers(1, 7), min_size=1, max_size=3))
def test_fetches_decode_as_kafka_python_does(log: Any, data: st.DataObject, sizes: list[int]) -> None:
    out, aborted, first, last = log
    at = data.draw(st.integers(first, max(last - 1, first)))
    isolation = data.draw(st.sampled_from([IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED]))
    rows, after = drain(Fetcher.PartitionRecords, out, at, aborted, isolation, [10_000])
    # kafka-python goes back where the fetch ends before it was to begin, which no broker does
    assert drain(PartitionRecords, out, at, aborted, isolation, sizes) == (rows, max(after, at))


@given(
    st.lists(st.tuples(st.integers(-1, 2**50), TEXT, TEXT, st.lists(HEADER, max_size=3)), min_size=1, max_size=40), st.integers(100, 4000)
)
def test_batches_are_cut_and_encoded_as_kafka_python_reads_them(rows: Any, target: int) -> None:
    times = np.array([row[0] for row in rows], np.int64)
    keys, values = Bytes.of([row[1] for row in rows]), Bytes.of([row[2] for row in rows])
    heads, head_at, head_len = wire.encode_headers([row[3] for row in rows], len(rows))
    cuts, sizes, large = wire.cut(times, keys.length, values.length, head_len, target, 1 << 20)
    assert large == -1
    found = []
    for first, last, size in zip(cuts.tolist(), [*cuts[1:].tolist(), len(rows)], sizes.tolist(), strict=True):
        out = np.empty(size, np.uint8)
        end, newest = wire.encode(
            out, 61, times, keys.buffer, keys.start, keys.length, values.buffer, values.start, values.length,
            heads, head_at, head_len, first, last,
        )  # fmt: skip
        assert newest == max(times[first:last])
        assert end <= size and (size <= target or last - first == 1)
        builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
        builder._buffer = bytearray(out[:end])
        builder._num_records, builder._last_offset = last - first, last - first - 1
        builder._first_timestamp, builder._max_timestamp = int(times[first]), int(newest)
        for record in next(iter(MemoryRecords(builder.build()))):
            assert record.offset == len(found) - first
            found.append((record.timestamp, record.key, record.value, record.headers))
    assert found == [(at, key, value, headers) for at, key, value, headers in rows]


@pytest.mark.parametrize("magic", [0, 1])
def test_older_message_formats_are_refused(magic: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
    builder.append(0, timestamp=1, key=b"k", value=b"v")
    part = PartitionRecords(0, TP, MemoryRecords(bytes(builder.build())))
    with pytest.raises(MessageFormatError, match=rf"events\[3\]@0: message format v{magic}, wished v2 \(Kafka 0.11 and later\)"):
        part.take(10)


def three() -> tuple[bytes, int, int]:
    """Three batches of two records, and where the second begins and ends."""
    out, base, ends = b"", 0, []
    for i in range(3):
        data, base = build(Spec([(i, b"k", b"v%d" % i, []), (i, b"k", b"w%d" % i, [])]), base)
        out += data
        ends.append(len(out))
    return out, ends[0], ends[1]


@pytest.mark.parametrize("at", [61, 64, -1])
def test_a_damaged_batch_is_named_and_can_be_passed_over(at: int) -> None:
    out, begin, end = three()
    damaged = bytearray(out)
    damaged[begin + at if at > 0 else end - 1] ^= 0xFF
    part = PartitionRecords(0, TP, MemoryRecords(bytes(damaged)))
    assert [records.values.to_list() for records in part.take(100)] == [[b"v0", b"w0"]]
    assert part.next_fetch_offset == 2
    with pytest.raises(CorruptBatchError, match=r"events\[3\]@2: the record batch is damaged: its checksum differs") as met:
        part.take(100)
    assert met.value.after == 4
    assert not part  # asked again, it fetches again
    part = PartitionRecords(met.value.after, TP, MemoryRecords(out[end:]))
    assert [records.values.to_list() for records in part.take(100)] == [[b"v2", b"w2"]]


@given(st.data())
def test_no_damage_is_worse_than_an_error(data: st.DataObject) -> None:
    """Without checksums: whatever the bytes are, records or CorruptBatchError, never a read past the end."""
    specs = [
        Spec([(1, b"key", b"value" * 5, [("h", b"x")])] * 3, data.draw(st.integers(0, 4))),
        Spec([(1, None, b"v", [])], data.draw(st.integers(0, 4))),
    ]
    out, base = b"", 0
    for spec in specs:
        body, base = build(spec, base)
        out += body
    damaged = bytearray(out)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(17, len(out) - 1))] = data.draw(st.integers(0, 255))
    part = PartitionRecords(0, TP, MemoryRecords(bytes(damaged)), check_crcs=False, isolation_level=IsolationLevel.READ_COMMITTED)
    try:
        while part:
            for records in part.take(100):
                records.keys.to_list(), records.values.to_list(), [records.headers[i] for i in range(len(records))]
    except (CorruptBatchError, MessageFormatError):
        pass


@given(
    st.lists(st.lists(st.tuples(st.just(1), TEXT, TEXT, st.lists(HEADER, max_size=2)), min_size=1, max_size=6), min_size=1, max_size=4),
    st.data(),
)
def test_parts_of_a_partition_join(batches: Any, data: st.DataObject) -> None:
    parts, wished, base = [], [], 0
    for rows in batches:
        body, following = build(Spec(rows), base)
        records = PartitionRecords(base, TP, MemoryRecords(body)).take(100)[0]
        first = data.draw(st.integers(0, len(rows)))
        last = data.draw(st.integers(first, len(rows)))
        parts.append(records.take(slice(first, last)))
        wished += rows[first:last]
        base = following
    joined = Records.concat(parts)
    assert [(1, joined.keys[i], joined.values[i], joined.headers[i]) for i in range(len(joined))] == wished
    assert joined.next_offset == base
