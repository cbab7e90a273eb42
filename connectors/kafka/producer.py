"""Write columns as record batches, through kafka-python's own sender: its retries, idempotence and transactions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import kafka.errors
import numpy as np
from kafka import KafkaProducer
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.transaction_manager import TransactionState
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import OffsetAndMetadata, TopicPartition

from connectors.errors import FencedError, MessageTooLargeError, ProduceError, TransactionError, said
from connectors.kafka import batches as wire
from connectors.kafka import seams
from connectors.kafka import settings as _settings
from connectors.kafka.admin import transaction_version
from connectors.kafka.buffers import Buffers
from connectors.kafka.columns import Bytes, UInt8
from connectors.kafka.consumer import TopicPart, _unreachable
from connectors.kafka.limits import Limits
from connectors.kafka.transactions import speak
from connectors.kafka.transport import Selector
from streams.errors import BrokerError
from streams.types import Int64

__all__ = ["ColumnarProducer"]

assert seams  # imported for its check
RecordHeaders = Sequence[list[tuple[str, bytes | None]] | None]

_FENCED = (
    kafka.errors.ProducerFencedError,
    kafka.errors.InvalidProducerEpochError,
    kafka.errors.InvalidProducerIdMappingError,
    kafka.errors.FencedInstanceIdError,
    kafka.errors.TransactionCoordinatorFencedError,
)
SMALL = 256 << 10  # bytes
_STALE_GROUP = (kafka.errors.IllegalGenerationError, kafka.errors.UnknownMemberIdError, kafka.errors.CommitFailedError)


class ColumnarProducer:
    """Columns written in order, each partition's records in the order they were sent.

    With a `transactional_id` everything between `begin` and `commit` becomes visible at once, with the committed positions, or not at
    all; without one records are written as they come, in order and without doubles (idempotent), and `flush` waits for them.
    Not for use by several threads at once. After FencedError the producer is done for: another one has taken over.
    """

    def __init__(self, settings: Mapping[str, Any], transactional_id: str | None = None) -> None:
        self.settings = dict(settings)
        self.transactional_id = transactional_id
        self._codec = settings.get("compression_type")
        if self._codec not in wire.CODECS:
            raise BrokerError(f"compression_type {self._codec!r} is unknown; known are none, gzip, snappy, lz4, zstd")
        self._batch_bytes = int(settings.get("batch_bytes", 1_000_000))
        self._max_pending = int(settings.get("max_pending_bytes", 64 << 20))
        self._timeout_s = int(settings.get("delivery_timeout_ms", 120_000)) / 1000 + 10
        self._sent: deque[tuple[ProducerBatch, int, UInt8]] = deque()
        self._buffers = Buffers(self._max_pending)
        self._pending_bytes = 0
        self._failures: list[tuple[TopicPartition, int, Exception]] = []
        self._open = False
        self._told: Any = None  # the answer to the positions of the open transaction
        self._torn = False  # a batch failed: the sequence numbers have a hole
        self._fenced: FencedError | None = None
        self._start()

    def begin(self) -> None:
        """Begin a transaction."""
        self._usable(transactional=True)
        try:
            self._producer.begin_transaction()
        except Exception as error:
            raise self._typed(error, "a transaction could not begin") from error
        self._open, self._told = True, None

    def send(
        self,
        topic: str,
        partition: int,
        timestamps: Int64,
        keys: Bytes | None,
        values: Bytes,
        headers: RecordHeaders | None = None,
    ) -> None:
        """Hand over the records of one partition; waits only while `max_pending_bytes` are on their way.

        timestamps: milliseconds since the epoch, one a record. headers: None, or a list a record (None or [] for none).
        A null value is a tombstone. MessageTooLargeError, with the row, before anything of this call was written.
        """
        if not len(values):
            return
        self._usable(transactional=self.transactional_id is not None)
        if self.transactional_id is not None and not self._open:
            raise TransactionError("send outside a transaction; call begin() first")
        keys = Bytes.nulls(len(values)) if keys is None else keys
        timestamps = np.ascontiguousarray(timestamps, np.int64)
        if not len(keys) == len(values) == len(timestamps):
            raise ValueError(f"{len(timestamps)} timestamps, {len(keys)} keys and {len(values)} values: these must be as many")
        limit = self._limits.of(topic, partition)
        heads, head_at, head_len = wire.encode_headers(None if headers is None else list(headers), len(values))
        cuts, sizes, large = wire.cut(timestamps, keys.length, values.length, head_len, min(self._batch_bytes, limit), limit)
        if large >= 0:
            size = int(max(keys.length[large], 0) + max(values.length[large], 0) + head_len[large])
            raise MessageTooLargeError(
                f"record {large} for {topic}[{partition}] has {size:,} bytes, the topic takes {limit:,} a batch; "
                f"raise max.message.bytes of {topic} or send less",
                int(large),
            )
        tp = TopicPartition(topic, partition)
        for (first, last), size in zip(pairwise([*cuts.tolist(), len(values)]), sizes.tolist(), strict=True):
            out = self._buffers.take(size)
            end, newest = wire.encode(
                out, wire.HEADER, timestamps, keys.buffer, keys.start, keys.length, values.buffer, values.start, values.length,
                heads, head_at, head_len, first, last,
            )  # fmt: skip
            self._hand_over(tp, out, int(end), last - first, int(timestamps[first]), int(newest))

    def send_positions(self, positions: Mapping[TopicPart, tuple[int, str]], group: str) -> None:
        """Send the group's positions (offset, metadata), which become visible with the transaction; `commit` waits for the answer.

        They travel while the caller works. Records that are handed over meanwhile leave when they have arrived: each of the two makes
        the coordinator take something in, and both at once would have to be tried again.
        """
        self._usable(transactional=True)
        if not self._open:
            raise TransactionError("positions outside a transaction; call begin() first")
        offsets = {TopicPartition(*part): OffsetAndMetadata(*at, -1) for part, at in positions.items()}
        try:
            self._told = self._producer._transaction_manager.send_offsets_to_transaction(offsets, group)
        except Exception as error:
            raise self._typed(error, "the positions could not be sent") from error
        self._producer._sender.wakeup()

    def flush(self) -> None:
        """Wait until everything sent has arrived; ProduceError (in a transaction TransactionError) names what has not, and why."""
        self._usable(transactional=self.transactional_id is not None)
        if self._told is not None:
            told, self._told = self._told, None
            self._answered(told, "the positions could not be sent")
        self._wait(0)
        self._raise_failures()

    def commit(self) -> None:
        """End the transaction: what was sent, records and positions, becomes visible together.

        TransactionError where it could not be (nothing is visible; call `abort`, then begin again), FencedError where another
        producer took over.
        """
        self._usable(transactional=True)
        if not self._open:
            raise TransactionError("commit without a transaction; call begin() first")
        self.flush()
        try:
            ending = self._producer._transaction_manager.begin_commit()
        except Exception as error:
            raise self._typed(error, "the transaction could not be committed") from error
        self._answered(ending, "the transaction could not be committed")
        self._open = False

    def abort(self) -> None:
        """Give up the transaction; nothing of it becomes visible. Does nothing where none is open.

        Also the way on after TransactionError. FencedError where another producer took over.
        """
        if not self._open:
            return
        self._open = False
        manager, aborted = self._producer._transaction_manager, kafka.errors.TransactionAbortedError()
        try:
            self._settle()
            if manager._current_state != TransactionState.READY:
                self._answered(manager.begin_abort(), "the transaction could not be aborted")
            # batches that never left would travel in the next transaction
            self._producer._accumulator.abort_undrained_batches(aborted)
            self._wait(0, raising=False)
            if self._torn:
                # kafka-python leaves a hole in the sequence numbers where a batch failed; a new epoch begins them again. By this
                # request, not by a new producer: the broker refuses it where another one has taken over in the meantime
                manager.bump_producer_id_and_epoch()
                self._producer._sender.wakeup()
                self._settle()
        except BrokerError:
            raise
        except Exception as error:
            raise self._typed(error, "the transaction could not be aborted") from error
        self._torn = False
        self._failures.clear()

    def close(self) -> None:
        """Abort what is open and close the connection."""
        try:
            if self._open and self._fenced is None:
                self.abort()
        except BrokerError:
            pass  # closing anyway: the broker aborts it after transaction_timeout_ms at the latest
        finally:
            self._producer.close(timeout=5)

    def __enter__(self) -> ColumnarProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def learn(self, topic: str) -> None:
        """Ask now for what the first `send` to this topic would ask. BrokerError where there is no such topic."""
        self._limits.of(topic, 0)

    def _connect(self) -> KafkaProducer:
        options = {
            "linger_ms": 0,
            "metrics_enabled": False,
            "selector": Selector,
            # also what the sender sleeps when the broker is still ending the transaction before: 20 ms here is 20 ms a commit
            "retry_backoff_ms": 5,
            "max_request_size": 16 << 20,
            **_settings.client(
                self.settings, "compression_type", "max_request_size", "delivery_timeout_ms", "transaction_timeout_ms", "max_block_ms"
            ),
        }
        if options.get("compression_type") == "none":
            options["compression_type"] = None
        try:
            producer = KafkaProducer(
                transactional_id=self.transactional_id, enable_idempotence=True, allow_auto_create_topics=False, **options
            )
        except kafka.errors.KafkaError as error:
            raise _unreachable(self.settings, error) from error
        # kafka-python halves a batch that is too large and gives no word of the second half to whoever sent the whole one;
        # batches are cut to the topic's limit before, so this is an error
        producer._sender._can_split = lambda batch, error: False
        if self.transactional_id is not None:
            manager = producer._transaction_manager
            # where an older broker says that our epoch is out of date, kafka-python would take a new producer id for the same
            # transactional id: a zombie would fence its heir
            manager._restart_epoch_bump_without_producer_id = lambda _, result: _fence(manager, result)
            try:
                if transaction_version(self.settings) >= 2:
                    speak(producer)
                producer.init_transactions()
            except Exception as error:
                producer.close(timeout=0)
                raise self._typed(error, f"transactional id {self.transactional_id} cannot be taken over") from error
        return producer

    def _start(self) -> None:
        self._producer = self._connect()
        self._limits = Limits(self.settings, self._producer.partitions_for)  # a new sender has to learn the topics' leaders

    def _restart(self) -> None:
        self._producer.close(timeout=0)
        self._start()

    def _settle(self) -> None:
        """Wait for a new epoch that is being asked for; the manager's error where it is beyond help."""
        manager = self._producer._transaction_manager
        deadline = time.monotonic() + self._timeout_s
        while manager.is_bumping_epoch():
            if time.monotonic() > deadline:
                raise TransactionError(f"the broker gave no new epoch for {self.transactional_id} in {self._timeout_s:.0f} s")
            time.sleep(0.002)
        if manager.has_fatal_error():
            raise manager.last_error or TransactionError(f"the producer {self.transactional_id} failed")

    def _hand_over(self, tp: TopicPartition, out: UInt8, size: int, count: int, first: int, newest: int) -> None:
        self._wait(max(self._max_pending - size, 0))
        producer = self._producer
        records = MemoryRecordsBuilder(2, producer.config["compression_attrs"], size)
        builder = records._builder
        # kafka-python puts a compressed batch back in place, which takes an array that can shrink
        builder._buffer = bytearray(out[:size].data) if producer.config["compression_attrs"] else out[:size].data
        builder._num_records = records._next_offset = count
        builder._last_offset = count - 1
        builder._first_timestamp, builder._max_timestamp = first, newest
        batch = ProducerBatch(tp, records)
        accumulator = producer._accumulator
        try:
            if self.transactional_id is not None:
                producer._transaction_manager.maybe_add_partition_to_transaction(tp)
        except Exception as error:
            raise self._typed(error, f"{tp.topic}[{tp.partition}] cannot join the transaction") from error
        with accumulator._tp_lock(tp):
            accumulator._batches[tp].append(batch)
            accumulator._incomplete.add(batch)
        self._sent.append((batch, size, out))
        self._pending_bytes += size
        if self._pending_bytes > SMALL or not self._open:  # little of it travels in one request, when the caller waits for it
            producer._sender.wakeup()

    def _answered(self, result: Any, failed: str) -> None:
        """Wait for a request of the transaction; its error typed, and TransactionError where the broker gives no answer."""
        self._producer._sender.wakeup()
        try:
            is_there = result.wait(self._timeout_s * 1000)
        except Exception as error:
            raise self._typed(error, failed) from error
        if not is_there:
            raise TransactionError(f"no answer from the broker in {self._timeout_s:.0f} s; whether the transaction has ended is not known")

    def _wait(self, pending: int, raising: bool = True) -> None:
        """Wait, oldest first, until at most `pending` bytes are on their way; failures are kept for the next flush or commit."""
        deadline = time.monotonic() + self._timeout_s
        if self._pending_bytes > pending:
            self._producer._sender.wakeup()
        while self._sent and (self._pending_bytes > pending or self._sent[0][0].is_done):
            batch, size, out = self._sent[0]
            while not batch.produce_future.wait(0.2):
                if raising and self._open and self._producer._transaction_manager._current_state == TransactionState.READY:
                    self._torn = True
                    raise TransactionError(
                        "the broker gave up the transaction and the producer began a new epoch; abort, and do the work again"
                    )
                if time.monotonic() > deadline:
                    if raising:
                        part = batch.topic_partition
                        raise ProduceError(f"{part.topic}[{part.partition}]: no answer from the broker in {self._timeout_s:.0f} s")
                    self._sent.clear()
                    self._pending_bytes = 0
                    return
            self._sent.popleft()
            self._pending_bytes -= size
            _, _, wrong = batch.produce_future.value
            if wrong is None:
                self._buffers.give(out)
            else:
                self._torn = True
                self._failures.append((batch.topic_partition, batch.record_count, wrong(0)))
                self._limits.forget(batch.topic_partition.topic)

    def _raise_failures(self) -> None:
        if not self._failures:
            return
        failures, self._failures = self._failures, []
        what = "; ".join(f"{count} records for {tp.topic}[{tp.partition}]: {said(error)}" for tp, count, error in failures[:5])
        more = f" and {len(failures) - 5} more batches" if len(failures) > 5 else ""
        for _, _, error in failures:
            if isinstance(error, _FENCED):
                raise self._typed(error, what) from error
        if self.transactional_id is None:
            self._restart()  # as in abort: the sequence numbers have a hole
            self._torn = False
        raise (ProduceError if self.transactional_id is None else TransactionError)(f"not written: {what}{more}") from failures[0][2]

    def _usable(self, transactional: bool) -> None:
        if self._fenced is not None:
            raise self._fenced
        if transactional and self.transactional_id is None:
            raise TransactionError("this producer has no transactional_id; transactions need one")

    def _typed(self, error: Exception, what: str) -> BrokerError:
        causes: list[BaseException | None] = [error, *error.args, error.__cause__]
        if self.transactional_id is not None:
            causes.append(getattr(getattr(getattr(self, "_producer", None), "_transaction_manager", None), "last_error", None))
        if any(isinstance(cause, _FENCED) for cause in causes):
            self._fenced = FencedError(
                f"{what}: another producer has taken over the transactional id {self.transactional_id} ({said(error)}); "
                "this one is out of date and writes no more. (Or its transaction was open longer than transaction_timeout_ms, and the broker ended it)"
            )
            return self._fenced
        if any(isinstance(cause, _STALE_GROUP) for cause in causes):
            return FencedError(f"{what}: this worker is no longer the group's member that it was ({said(error)})")
        return TransactionError(f"{what}: {said(error)}")


def _fence(manager: Any, result: Any) -> None:
    error = kafka.errors.ProducerFencedError("the epoch is out of date")
    manager.transition_to_fatal_error(error)
    result.done(error)
