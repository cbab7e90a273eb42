"""Transactions of brokers that take partitions into a transaction by themselves (Kafka's transaction.version 2, KIP-890).

kafka-python speaks version 1: it asks the coordinator to take in the partitions and the group before it sends anything, two requests
a transaction. In version 2 the first records and the positions do that, and every transaction has an epoch of its own, which the
end of the one before brings: what an ended transaction still had on its way can no longer end up in the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kafka.errors
from kafka import KafkaProducer
from kafka.producer.transaction_manager import (
    EndTxnHandler,
    ProducerIdAndEpoch,
    TransactionalRequestResult,
    TransactionManager,
    TxnOffsetCommitHandler,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from connectors.kafka import seams

assert seams  # imported for its check
PRODUCE, END, POSITIONS = 12, 5, 5  # the requests' versions that mean it


def speak(producer: KafkaProducer) -> None:
    """Make a transactional producer speak version 2 from now on."""
    producer._transaction_manager.__class__ = Transactions
    build = producer._sender._produce_request

    producer._sender._produce_request = lambda *args: _at(PRODUCE, build(*args))


def _at(version: int, request: Any) -> Any:
    request._min_version = request._max_version = version
    return request


class Transactions(TransactionManager):  # type: ignore[misc,unused-ignore]
    """kafka-python's manager of a producer's transaction, without the requests that version 2 has no need of."""

    def maybe_add_partition_to_transaction(self, topic_partition: TopicPartition) -> None:
        with self._lock:
            self._fail_if_not_ready_for_send()
            self._partitions_in_transaction.add(topic_partition)
            self._transaction_started = True

    def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_metadata: str | ConsumerGroupMetadata
    ) -> TransactionalRequestResult:
        group = ConsumerGroupMetadata(group_id=group_metadata) if isinstance(group_metadata, str) else group_metadata
        with self._lock:
            self._fail_if_not_ready_for_send()
            self._pending_txn_offset_commits = dict(offsets)  # an aborted transaction's may still be there
            self._transaction_started = True
            handler = _Positions(self, group, self._pending_txn_offset_commits, None)
            self._enqueue_request(handler)
        return handler.result

    def _begin_completing_transaction(self, committed: bool) -> TransactionalRequestResult:
        handler = _End(self, committed)
        self._enqueue_request(handler)
        return handler.result


class _Positions(TxnOffsetCommitHandler):  # type: ignore[misc,unused-ignore]
    def _build_request(self) -> Any:
        return _at(POSITIONS, super()._build_request())

    def handle_response(self, response: Any) -> None:
        if any(part.error_code == kafka.errors.TransactionAbortableError.errno for topic in response.topics for part in topic.partitions):
            self.abortable_error(kafka.errors.TransactionAbortableError())
        else:
            super().handle_response(response)


class _End(EndTxnHandler):  # type: ignore[misc,unused-ignore]
    def __init__(self, manager: TransactionManager, committed: bool) -> None:
        super().__init__(manager, committed)
        _at(END, self.request)

    def handle_response(self, response: Any) -> None:
        if response.error_code == kafka.errors.TransactionAbortableError.errno:
            self.abortable_error(kafka.errors.TransactionAbortableError())
            return
        if response.error_code == 0:  # the next transaction's epoch begins its sequence numbers anew
            manager = self.transaction_manager
            manager.producer_id_and_epoch = ProducerIdAndEpoch(response.producer_id, response.producer_epoch)
            manager._sequence_numbers.clear()
            manager._last_acked_offset.clear()
        super().handle_response(response)
