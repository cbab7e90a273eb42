"""What the worker asks of Kafka; connectors/memory.py keeps the same promises without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kafka import KafkaConsumer
from kafka.structs import OffsetAndMetadata, TopicPartition

from connectors.kafka.columns import Bytes, Records
from connectors.kafka.consumer import ColumnarConsumer
from connectors.kafka.producer import ColumnarProducer
from streams.types import Int64

Part = tuple[str, int]  # topic, partition
Header = tuple[str, bytes | None]


class Consumer(Protocol):
    def assign(self, partitions: Iterable[Part], start: Mapping[Part, int] | None = None) -> None: ...
    def seek(self, partition: Part, offset: int) -> None: ...
    def poll(self, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]: ...
    def position(self, partition: Part) -> int: ...
    def pause(self, partitions: Iterable[Part]) -> None: ...
    def resume(self, partitions: Iterable[Part]) -> None: ...
    def partitions(self, topic: str) -> list[int]: ...
    def beginning_offsets(self, partitions: Iterable[Part]) -> dict[Part, int]: ...
    def end_offsets(self, partitions: Iterable[Part] | None = None) -> dict[Part, int]: ...
    def offsets_at(self, times: Mapping[Part, int]) -> dict[Part, int]: ...
    def committed(self, group: str, partitions: Iterable[Part] | None = None) -> dict[Part, tuple[int, str]]: ...
    def close(self) -> None: ...


class Producer(Protocol):
    def begin(self) -> None: ...
    def send(
        self,
        topic: str,
        partition: int,
        timestamps: Int64,
        keys: Bytes | None,
        values: Bytes,
        headers: Sequence[list[Header] | None] | None = None,
    ) -> Any: ...
    def send_positions(self, positions: Mapping[Part, tuple[int, str]], group: str) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Connection(Protocol):
    """Opens clients. A producer with a transactional id fences the one that had it before."""

    def consumer(self, isolation: str = "read_committed") -> Consumer: ...
    def producer(self, transactional_id: str | None = None) -> Producer: ...
    def commit(self, positions: Mapping[Part, tuple[int, str]], group: str) -> None:
        """Commit a group's positions outside a transaction."""
        ...


@dataclass
class KafkaConnection:
    """A real broker; `settings` as `Project.kafka()` gives them."""

    settings: Mapping[str, Any]
    _groups: dict[str, KafkaConsumer] = field(default_factory=dict, repr=False)

    def consumer(self, isolation: str = "read_committed") -> Consumer:
        return ColumnarConsumer(self.settings, isolation)

    def producer(self, transactional_id: str | None = None) -> Producer:
        return ColumnarProducer(self.settings, transactional_id)

    def commit(self, positions: Mapping[Part, tuple[int, str]], group: str) -> None:
        if group not in self._groups:
            self._groups[group] = KafkaConsumer(group_id=group, enable_auto_commit=False, metrics_enabled=False, **self.settings)
        offsets = {TopicPartition(*part): OffsetAndMetadata(offset, metadata, -1) for part, (offset, metadata) in positions.items()}
        self._groups[group].commit(offsets)
