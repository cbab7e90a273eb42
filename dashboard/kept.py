"""Kafka clients that are kept open between clicks: opening one takes longer than what a click asks of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from streams.project import Project
from streams.worker.connection import Connection, Consumer, KafkaConnection, Part, Producer

MOST = 2  # idle clients of each kind


class Kept:
    """A connection whose clients go back on a shelf when they are closed; one that met an error is closed indeed.

    For short work by any thread: a client belongs to whoever took it until it is closed. Where the broker has another address by now,
    what was on the shelf is left behind.
    """

    def __init__(self, project: Project, connect: Callable[[Mapping[str, Any]], Connection] = KafkaConnection) -> None:
        self._project = project
        self._connect = connect
        self._lock = threading.Lock()
        self._settings: Mapping[str, Any] = {}
        self._consumers: list[Consumer] = []
        self._producers: list[Producer] = []

    def consumer(self, isolation: str = "read_committed") -> Consumer:
        if isolation != "read_committed":
            return self._open().consumer(isolation)
        return _Consumer(self, self._taken(self._consumers) or self._open().consumer())

    def producer(self, transactional_id: str | None = None) -> Producer:
        if transactional_id is not None:
            return self._open().producer(transactional_id)
        return _Producer(self, self._taken(self._producers) or self._open().producer())

    def commit(self, positions: Mapping[Part, tuple[int, str]], group: str) -> None:
        self._open().commit(positions, group)

    def warm(self, *topics: str) -> None:
        """Open one client of each kind and let them learn these topics, so that the first click finds them. BrokerError."""
        consumer, producer = self.consumer(), self.producer()
        try:
            for topic in topics:
                consumer.partitions(topic)
                if isinstance(producer, _Producer):
                    producer.learn(topic)
        finally:
            producer.close()
            consumer.close()

    def close(self) -> None:
        with self._lock:
            idle: list[Any] = [*self._consumers, *self._producers]
            self._consumers.clear()
            self._producers.clear()
        for client in idle:
            client.close()

    def _open(self) -> Connection:
        return self._connect(self._project.kafka())

    def _taken(self, shelf: list[Any]) -> Any:
        settings = self._project.kafka()
        if settings != self._settings:
            self.close()
            self._settings = settings
        with self._lock:
            return shelf.pop() if shelf else None

    def back(self, client: Any, shelf: str, sound: bool) -> None:
        with self._lock:
            kept: list[Any] = getattr(self, shelf)
            if sound and len(kept) < MOST:
                kept.append(client)
                return
        client.close()


class _Client:
    """Hands every call on, and remembers whether one failed."""

    shelf = ""

    def __init__(self, kept: Kept, client: Any) -> None:
        self._kept, self._client, self._sound = kept, client, True

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return found(*arguments, **named)
            except BaseException:
                self._sound = False
                raise

        return call


class _Consumer(_Client):
    def close(self) -> None:
        if self._sound:
            self.assign([])
        self._kept.back(self._client, "_consumers", self._sound)


class _Producer(_Client):
    def close(self) -> None:
        self._kept.back(self._client, "_producers", self._sound)
