"""The private parts of kafka-python 3.0.12 that the columnar client stands on, checked when this module is imported.

In:  `Fetcher.PartitionRecords` unpacks fetched batches; an instance's own class of that name yields columns instead.
Out: `RecordAccumulator` holds `ProducerBatch(MemoryRecordsBuilder)`; a builder whose buffer is already filled travels through the
ordinary sender, with its retries, sequence numbers and transactions.
Transactions: `TransactionManager` and its handlers of requests, for the protocol's second version (transactions.py).
"""

from __future__ import annotations

import inspect
from typing import Any

import kafka
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.net.transport import KafkaTCPTransport
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import EndTxnHandler, TransactionManager, TxnOffsetCommitHandler
from kafka.protocol.api_message import ApiMessage
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from connectors.errors import ClientChangedError

VERSION = "3.0.12"

# what is called or replaced, with the parameters it had when this was written
SEAMS: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (Fetcher, "fetch_records", ("self", "max_records", "update_offsets", "timeout_ms")),
    (Fetcher, "fetched_records", ("self", "max_records", "update_offsets")),
    (Fetcher, "_send_fetches_async", ("self",)),
    (Fetcher, "_append", ("self", "drained", "part", "max_records", "update_offsets")),
    (
        Fetcher.PartitionRecords,
        "__init__",
        (
            "self",
            "fetch_offset",
            "tp",
            "records",
            "key_deserializer",
            "value_deserializer",
            "check_crcs",
            "isolation_level",
            "aborted_transactions",
            "metric_aggregator",
            "on_drain",
        ),
    ),
    (Fetcher.PartitionRecords, "take", ("self", "n")),
    (KafkaTCPTransport, "_sock_recv", ("self",)),
    (Fetcher.PartitionRecords, "drain", ("self",)),
    (Fetcher.PartitionRecords, "_unpack_records", ("self", "tp", "records", "key_deserializer", "value_deserializer")),
    (Fetcher.PartitionRecords, "_maybe_raise_next_inline_exception", ("self",)),
    (ProducerBatch, "__init__", ("self", "tp", "records", "now")),
    (RecordAccumulator, "_tp_lock", ("self", "tp")),
    (Sender, "_can_split", ("self", "batch", "error")),
    (Sender, "wakeup", ("self",)),
    (Sender, "_produce_request", ("self", "node_id", "acks", "timeout", "batches")),
    (TransactionManager, "maybe_add_partition_to_transaction", ("self", "topic_partition")),
    (TransactionManager, "begin_commit", ("self",)),
    (TransactionManager, "begin_abort", ("self",)),
    (TransactionManager, "send_offsets_to_transaction", ("self", "offsets", "group_metadata")),
    (TransactionManager, "has_fatal_error", ("self",)),
    (TransactionManager, "is_bumping_epoch", ("self",)),
    (TransactionManager, "bump_producer_id_and_epoch", ("self",)),
    (TransactionManager, "transition_to_fatal_error", ("self", "exc")),
    (TransactionManager, "_restart_epoch_bump_without_producer_id", ("self", "transaction_timeout_ms", "result")),
    (TransactionManager, "_begin_completing_transaction", ("self", "committed")),
    (TransactionManager, "_fail_if_not_ready_for_send", ("self",)),
    (TransactionManager, "_enqueue_request", ("self", "request_handler")),
    (TxnOffsetCommitHandler, "__init__", ("self", "transaction_manager", "group_metadata", "offsets", "result")),
    (TxnOffsetCommitHandler, "_build_request", ("self",)),
    (TxnOffsetCommitHandler, "handle_response", ("self", "response")),
    (EndTxnHandler, "__init__", ("self", "transaction_manager", "committed")),
    (EndTxnHandler, "handle_response", ("self", "response")),
    (RecordAccumulator, "abort_undrained_batches", ("self", "error")),
    (ConsumerCoordinator, "fetch_committed_offsets", ("self", "partitions", "timeout_ms")),
    (
        MemoryRecordsBuilder,
        "__init__",
        ("self", "magic", "compression_type", "batch_size", "offset", "transactional", "producer_id", "producer_epoch", "base_sequence"),
    ),
    (DefaultRecordBatchBuilder, "build", ("self",)),
)
STATE = (  # of a TransactionManager
    "_current_state",
    "_last_error",
    "_lock",
    "_transaction_started",
    "_partitions_in_transaction",
    "_pending_txn_offset_commits",
    "_sequence_numbers",
    "_last_acked_offset",
    "producer_id_and_epoch",
)
SLOTS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (ApiMessage, ("_min_version", "_max_version")),
    (MemoryRecords, ("_buffer",)),
    (MemoryRecordsBuilder, ("_builder", "_next_offset")),
    (DefaultRecordBatchBuilder, ("_buffer", "_num_records", "_last_offset", "_first_timestamp", "_max_timestamp")),
)


def check() -> None:
    """Raise ClientChangedError where kafka-python is not the one this was written for, naming what differs."""
    differs = []
    for owner, name, wished in SEAMS:
        found = getattr(owner, name, None)
        if found is None:
            differs.append(f"{owner.__qualname__}.{name} is gone")
        elif (met := tuple(inspect.signature(found).parameters)) != wished:
            differs.append(f"{owner.__qualname__}.{name} takes ({', '.join(met)}), wished ({', '.join(wished)})")
    for owner, names in SLOTS:
        differs += [f"{owner.__qualname__} has no slot {name}" for name in names if name not in owner.__slots__]
    manager = vars(TransactionManager())
    differs += [f"TransactionManager has no {name}" for name in STATE if name not in manager]
    if kafka.__version__ != VERSION or differs:
        details = "; ".join(differs) or "its private parts look the same, but were not tried"
        raise ClientChangedError(
            f"kafka-python {kafka.__version__} is installed, the columnar client is written for {VERSION}: {details}. "
            f"Install kafka-python=={VERSION}, or run tests/connectors against the new one and raise connectors/kafka/seams.py"
        )


check()
