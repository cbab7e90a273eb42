"""One partition of one fetch response as columns: batches are checked, filtered, decompressed and decoded as they are taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import crc32c
import numpy as np
import numpy.typing as npt
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.structs import TopicPartition

from connectors.errors import CorruptBatchError, MessageFormatError
from connectors.kafka import batches as wire
from connectors.kafka import seams
from connectors.kafka.columns import Bytes, Headers, Records
from streams.types import Int64

assert seams  # imported for its check
_GROUP_BYTES = 16 << 20  # batches are decoded together up to this many bytes


class _Columns(list[Records]):
    """What one partition gives to a poll; counted by kafka-python as the records in it, not as the parts."""

    def __len__(self) -> int:
        return sum(len(part) for part in self)

    def __bool__(self) -> bool:
        return any(len(part) for part in self)


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Takes the place of kafka-python's class of that name, which gives an object a record."""

    _ahead: Records | None = None

    def _maybe_skip_record(self, record: Records) -> bool:
        return False

    def take(self, n: int | None = None) -> _Columns:
        """Up to n records; `next_fetch_offset` moves past them, and past what no reader may see behind them."""
        taken = _Columns()
        left = 2**62 if n is None else n
        try:
            self._maybe_raise_next_inline_exception()
            while True:
                if self._ahead is None:
                    # None: drained; the iterator has moved the position over trailing control batches
                    self._ahead = next(self.record_iterator, None) if self.record_iterator is not None else None
                    if self._ahead is None:
                        break
                if left <= 0:
                    break
                part = self._ahead
                if len(part) > left:
                    following = int(part.offsets[left])
                    self._ahead = part.take(slice(left, None))
                    part = part.take(slice(None, left), following)
                else:
                    self._ahead = None
                left -= len(part)
                taken.append(part)
                self.next_fetch_offset = part.next_offset
        except Exception as error:  # whatever it is, what came before it is given first
            if not taken:
                self.drain()  # kafka-python would ask a generator that has ended for ever
                raise
            self._next_inline_exception = error
        return taken

    def _unpack_records(self, tp: TopicPartition, records: Any, *_: Any) -> Iterator[Records]:
        buffer = np.frombuffer(records._buffer, np.uint8)
        found = np.zeros((min(max(len(buffer) // 61, 1), 65536), 12), np.int64)
        at = 0
        while True:
            count, end = wire.scan(buffer[at:], found)
            if not count:
                break
            rows = found[:count].copy()
            rows[:, wire.POSITION] += at
            at += int(end)
            yield from self._decode(tp, buffer, rows)
        self.drain()

    def _decode(self, tp: TopicPartition, buffer: npt.NDArray[np.uint8], rows: Int64) -> Iterator[Records]:
        place = f"{tp.topic}[{tp.partition}]"
        group: list[list[int]] = []
        size = 0
        view = buffer.data
        for row in rows.tolist():
            if row[wire.MAGIC] != 2:
                raise MessageFormatError(
                    f"{place}@{row[wire.BASE_OFFSET]}: message format v{row[wire.MAGIC]}, wished v2 (Kafka 0.11 and later); "
                    "rewrite the topic with a newer client"
                )
            last = row[wire.BASE_OFFSET] + row[wire.LAST_DELTA]
            start, end = row[wire.POSITION], row[wire.POSITION] + row[wire.SIZE]
            if self.check_crcs and crc32c.crc32c(view[start + 21 : end]) != row[wire.CRC]:
                if group:
                    yield from self._columns(tp, buffer, group)
                raise _corrupt(tp, row[wire.BASE_OFFSET], last + 1, "its checksum differs; the log or the network damaged it")
            self.leader_epoch = row[wire.EPOCH]
            if self._visible(row, last, view):
                group.append(row)
                size += row[wire.SIZE]
                if size >= _GROUP_BYTES:
                    yield from self._columns(tp, buffer, group)
                    group, size = [], 0
            elif group:
                group.append([last + 1])  # moves the position only
            else:
                self.next_fetch_offset = max(self.next_fetch_offset, last + 1)
        if group:
            yield from self._columns(tp, buffer, group)

    def _visible(self, row: list[int], last: int, view: memoryview) -> bool:
        control = bool(row[wire.ATTRIBUTES] & wire.CONTROL)
        producer = row[wire.PRODUCER]
        if self.isolation_level == IsolationLevel.READ_COMMITTED and producer >= 0:
            self._consume_aborted_transactions_up_to(last)
            if control:
                if producer in self.aborted_producer_ids and self._is_abort(row, view):
                    self.aborted_producer_ids.discard(producer)
            elif row[wire.ATTRIBUTES] & wire.TRANSACTIONAL and producer in self.aborted_producer_ids:
                return False
        return not control

    @staticmethod
    def _is_abort(row: list[int], view: memoryview) -> bool:
        """The key of a control record is (version int16, type int16); type 0 is an abort."""
        at = row[wire.POSITION] + wire.HEADER
        data = np.frombuffer(view[at : row[wire.POSITION] + row[wire.SIZE]], np.uint8)
        one = [np.empty(1, np.int64) for _ in range(7)]
        segment = np.array([[0, len(data), 1, 0, 0, 0]], np.int64)
        if wire.decode(data, segment, *one, np.empty(1, np.int32)) >= 0:  # type: ignore[call-arg]
            return False
        key = int(one[2][0])
        return bytes(data[key + 2 : key + 4]) == b"\x00\x00"

    def _columns(self, tp: TopicPartition, buffer: npt.NDArray[np.uint8], group: list[list[int]]) -> Iterator[Records]:
        """The batches of a group as one Records; rows of one number only move the position."""
        segments, parts, shift, following = [], [], 0, 0
        plain = not any(row[wire.ATTRIBUTES] & 7 for row in group if len(row) > 1)
        source = buffer
        for place, row in enumerate(group):
            if len(row) == 1:
                following = row[0]
                continue
            following = row[wire.BASE_OFFSET] + row[wire.LAST_DELTA] + 1
            start, end = row[wire.POSITION] + wire.HEADER, row[wire.POSITION] + row[wire.SIZE]
            if not plain:
                data: Any = source.data[start:end]
                if codec := row[wire.ATTRIBUTES] & 7:
                    try:
                        data = wire.decompress(codec, data)
                    except ValueError as error:
                        if place:
                            yield from self._columns(tp, source, group[:place])
                        raise _corrupt(tp, row[wire.BASE_OFFSET], following, f"it cannot be decompressed: {error}") from error
                parts.append(data)
                start, end = shift, shift + len(data)
                shift = end
            append_time = row[wire.MAX_TIME] if row[wire.ATTRIBUTES] & wire.LOG_APPEND_TIME else -1
            count = row[wire.COUNT] if row[wire.COUNT] <= (end - start) // 7 else -1  # a record has 7 bytes or more
            segments.append((start, end, count, row[wire.BASE_OFFSET], row[wire.FIRST_TIME], append_time, place))
        if not plain:
            buffer = np.frombuffer(b"".join(parts), np.uint8)
        table = np.array(segments, np.int64)
        count = int(np.maximum(table[:, 2], 0).sum())
        offsets, timestamps, key_at, key_len, value_at, value_len, header_at = (np.empty(count, np.int64) for _ in range(7))
        header_count = np.empty(count, np.int32)
        wrong = wire.decode(buffer, table, offsets, timestamps, key_at, key_len, value_at, value_len, header_at, header_count)
        if wrong >= 0:
            place = int(table[wrong, 6])
            if place:
                yield from self._columns(tp, source, group[:place])
            row = group[place]
            raise _corrupt(
                tp, row[wire.BASE_OFFSET], row[wire.BASE_OFFSET] + row[wire.LAST_DELTA] + 1, "its records break off or have bytes left over"
            )
        records = Records(
            tp.topic,
            tp.partition,
            offsets,
            timestamps,
            Bytes(buffer, key_at, key_len),
            Bytes(buffer, value_at, value_len),
            Headers(buffer, header_at, header_count),
            following,
        )
        self.records_read += count
        self.bytes_read += int((table[:, 1] - table[:, 0]).sum())
        if count and offsets[0] < self.fetch_offset:  # a fetch may begin inside a batch
            records = records.take(offsets >= self.fetch_offset)
        if len(records):
            yield records
        else:
            self.next_fetch_offset = max(self.next_fetch_offset, following)


def _corrupt(tp: TopicPartition, offset: int, after: int, reason: str) -> CorruptBatchError:
    return CorruptBatchError(
        f"{tp.topic}[{tp.partition}]@{offset}: the record batch is damaged: {reason}", tp.topic, tp.partition, offset, after
    )
