"""Read partitions as columns, over kafka-python's network: one `Records` a partition and poll, not an object a record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import kafka.errors
from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from connectors.errors import OffsetLostError, not_in_log, said
from connectors.kafka import seams
from connectors.kafka import settings as _settings
from connectors.kafka.columns import Records
from connectors.kafka.fetches import Fetches
from connectors.kafka.partition import PartitionRecords
from connectors.kafka.transport import Selector, read_large_pieces
from streams.errors import BrokerError

__all__ = ["ColumnarConsumer"]

assert seams  # imported for its check
read_large_pieces()
TopicPart = tuple[str, int]
OFFSET_ATTEMPTS = 20


class ColumnarConsumer:
    """Partitions read as columns from chosen offsets; positions are the caller's, nothing is committed by this class.

    `settings` are those of `settings_from_env`. `isolation` is "read_committed" or "read_uncommitted".
    """

    def __init__(self, settings: Mapping[str, Any], isolation: str = "read_committed") -> None:
        self.settings = dict(settings)
        options = {
            "metrics_enabled": False,
            "selector": Selector,
            "fetch_max_bytes": 16 << 20,
            "max_partition_fetch_bytes": 8 << 20,
            **_settings.client(settings, *_settings.CONSUMER),
        }
        try:
            self._consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level=isolation,
                allow_auto_create_topics=False,
                **options,
            )
        except kafka.errors.KafkaError as error:
            raise _unreachable(settings, error) from error
        self._consumer._fetcher.__class__ = Fetches
        self._consumer._fetcher.PartitionRecords = PartitionRecords
        self._isolation = isolation
        self._groups: dict[str, KafkaConsumer] = {}

    def assign(self, partitions: Iterable[TopicPart], start: Mapping[TopicPart, int] | None = None) -> None:
        """Read these partitions from the offsets of `start`, those not in it from their beginning.

        Partitions that were assigned before go on where they stood.
        """
        wanted = [TopicPartition(*part) for part in partitions]
        before = {tp: self._consumer.position(tp) for tp in self._consumer.assignment()}
        self._consumer.assign(wanted)
        unset = []
        for tp in wanted:
            if start and tuple(tp) in start:
                self._consumer.seek(tp, start[tuple(tp)])
            elif before.get(tp) is not None:
                self._consumer.seek(tp, before[tp])
            else:
                unset.append(tp)
        if unset:
            for part, offset in self.beginning_offsets([tuple(tp) for tp in unset]).items():
                self.seek(part, offset)

    def seek(self, partition: TopicPart, offset: int) -> None:
        """Go on at this offset, which may lie inside a batch."""
        self._consumer.seek(TopicPartition(*partition), offset)

    def poll(self, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]:
        """What the partitions give next, one Records each, at most `max_records` rows in all; empty after `timeout_ms` without any.

        OffsetLostError where a position is not in the log, CorruptBatchError and MessageFormatError with the batch's place.
        """
        fetcher = self._consumer._fetcher
        if fetcher._next_partition_records is not None and not fetcher._next_partition_records:
            # kafka-python takes up what it parked for a paused partition only where this is None, not where it is used up
            fetcher._next_partition_records = None
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records)
        except kafka.errors.OffsetOutOfRangeError as error:
            raise self._lost(error) from error
        except (kafka.errors.NoOffsetForPartitionError, kafka.errors.LogTruncationError) as error:
            raise OffsetLostError(f"the position of a partition is gone: {error}; seek to an offset that the log still has") from error
        except kafka.errors.KafkaError as error:
            raise BrokerError(f"reading {self._names()} failed: {said(error)}") from error
        return [Records.concat(parts) for parts in polled.values()]

    def position(self, partition: TopicPart) -> int:
        """The offset that is read next; moves past control batches and aborted transactions as they are met."""
        state = self._consumer._subscription.assignment.get(TopicPartition(*partition))
        if state is None or state.position is None:
            raise BrokerError(f"{partition[0]}[{partition[1]}] has no position; assign it first")
        return int(state.position.offset)

    def positions(self) -> dict[TopicPart, int]:
        return {tuple(tp): self.position(tuple(tp)) for tp in self._consumer.assignment()}

    def pause(self, partitions: Iterable[TopicPart]) -> None:
        """Fetch no more of these until they are resumed; the others go on."""
        self._consumer.pause(*(TopicPartition(*part) for part in partitions))

    def resume(self, partitions: Iterable[TopicPart]) -> None:
        self._consumer.resume(*(TopicPartition(*part) for part in partitions))

    def paused(self) -> set[TopicPart]:
        return {tuple(tp) for tp in self._consumer.paused()}

    def partitions(self, topic: str) -> list[int]:
        """The partition numbers of a topic; empty where there is no such topic."""
        return sorted(self._consumer.partitions_for_topic(topic))

    def beginning_offsets(self, partitions: Iterable[TopicPart]) -> dict[TopicPart, int]:
        return self._offsets(self._consumer.beginning_offsets, partitions)

    def end_offsets(self, partitions: Iterable[TopicPart] | None = None) -> dict[TopicPart, int]:
        """The offset after the last record (read_committed: after the last that belongs to no open transaction)."""
        chosen = [tuple(tp) for tp in self._consumer.assignment()] if partitions is None else partitions
        return self._offsets(self._consumer.end_offsets, chosen)

    def offsets_at(self, times: Mapping[TopicPart, int]) -> dict[TopicPart, int]:
        """The first offset whose record timestamp (ms) is at or past the given one; the end where there is none."""
        asked = {TopicPartition(*part): at for part, at in times.items()}
        found = self._consumer.offsets_for_times(asked)
        missing = [tuple(tp) for tp in asked if found.get(tp) is None]
        ends = self.end_offsets(missing) if missing else {}
        return {tuple(tp): found[tp].offset if found.get(tp) is not None else ends[tuple(tp)] for tp in asked}

    def committed(self, group: str, partitions: Iterable[TopicPart] | None = None) -> dict[TopicPart, tuple[int, str]]:
        """What a group committed: (offset, metadata) of each partition that has any; waits for a transaction that is being ended."""
        if group not in self._groups:
            self._groups[group] = KafkaConsumer(
                group_id=group,
                enable_auto_commit=False,
                isolation_level="read_committed",
                metrics_enabled=False,
                **_settings.client(self.settings),
            )
        chosen = [TopicPartition(*part) for part in partitions] if partitions is not None else list(self._consumer.assignment())
        if not chosen:
            return {}
        try:
            found = self._groups[group]._coordinator.fetch_committed_offsets(chosen, timeout_ms=60_000)
        except kafka.errors.KafkaError as error:
            raise BrokerError(f"the committed offsets of {group} cannot be read: {said(error)}") from error
        return {tuple(tp): (at.offset, at.metadata) for tp, at in found.items() if at.offset >= 0}

    def close(self) -> None:
        for other in self._groups.values():
            other.close(autocommit=False)
        self._groups.clear()
        self._consumer.close(autocommit=False)

    def __enter__(self) -> ColumnarConsumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _names(self) -> str:
        return ", ".join(sorted({tp.topic for tp in self._consumer.assignment()})) or "nothing"

    def _offsets(self, ask: Any, partitions: Iterable[TopicPart]) -> dict[TopicPart, int]:
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        for attempt in range(OFFSET_ATTEMPTS):
            try:
                return {tuple(tp): int(offset) for tp, offset in ask(asked).items()}
            except KeyError:  # kafka-python leaves out a partition whose leader did not answer in time
                time.sleep(0.1 * attempt)
            except kafka.errors.KafkaError as error:
                raise BrokerError(f"the offsets of {', '.join(map(str, asked))} cannot be read: {said(error)}") from error
        raise BrokerError(f"the offsets of {', '.join(map(str, asked))} cannot be read: the broker gave no answer for all of them")

    def _lost(self, error: kafka.errors.OffsetOutOfRangeError) -> OffsetLostError:
        ((tp, offset),) = error.args[0].items()  # kafka-python raises it partition by partition
        part = tuple(tp)
        return not_in_log(tp.topic, tp.partition, offset, self.beginning_offsets([part])[part], self.end_offsets([part])[part])


def _unreachable(settings: Mapping[str, Any], error: Exception) -> BrokerError:
    secured = settings.get("security_protocol", "PLAINTEXT") != "PLAINTEXT"
    why = "; is it running, and is the address right?"
    if secured:
        why += (
            " It also falls silent where it refuses user and password (DRIFTLINE_KAFKA_USERNAME, DRIFTLINE_KAFKA_PASSWORD) or a certificate"
        )
    return BrokerError(f"no broker answers at {settings.get('bootstrap_servers', 'localhost')}: {said(error)}{why}")
