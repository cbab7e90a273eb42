"""Who drives a step: one active member of a consumer group; the others stand by and take over when it leaves or dies.

The group only elects. Positions are committed under a group of their own, and a member that lost the election without knowing is
fenced by its transactional id.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka.errors
from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor, ConsumerProtocolAssignment, ConsumerProtocolSubscription

from connectors.kafka.admin import admin
from streams.errors import BrokerError

log = logging.getLogger(__name__)
SESSION_MS = 10_000  # a member that was killed is replaced after this long; compiling may keep a busy one silent for seconds
HEARTBEAT_MS = 2_000
REST_S = 0.25  # between two looks at what the heartbeats were told


class OneMember(AbstractPartitionAssignor):  # type: ignore[misc]
    """All topics to one member: to the one that has them, else to the first by name. Of each one partition stands for it, since a member
    that has just started knows of no others."""

    name = "driftline-one"
    version = 0
    active = False

    def assign(self, cluster: Any, members: Sequence[Any]) -> dict[str, ConsumerProtocolAssignment]:
        topics = sorted({topic for member in members for topic in member.metadata.topics})
        having = [member.member_id for member in members if member.metadata.user_data == b"active"]
        chosen = min(having or [member.member_id for member in members])
        everything = [(topic, [0]) for topic in topics]
        return {
            member.member_id: ConsumerProtocolAssignment(self.version, everything if member.member_id == chosen else [], b"")
            for member in members
        }

    def metadata(self, topics: set[str]) -> ConsumerProtocolSubscription:
        return ConsumerProtocolSubscription(self.version, sorted(topics), b"active" if self.active else b"")

    def on_assignment(self, assignment: Any, generation: int) -> None:
        self.active = bool(assignment.partitions())


class Membership:
    """Joins the group in a thread of its own. `is_active` says whether this member is the one that drives.

    With an `instance` (see `seat`) a member that was killed and starts again takes its old place at once.
    """

    def __init__(self, settings: Mapping[str, Any], group: str, topics: Sequence[str], instance: str | None = None) -> None:
        self._settings, self._group, self._topics, self._instance = settings, group, list(topics), instance
        self._active = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{group}-member", daemon=True)

    @property
    def is_active(self) -> bool:
        return self._active.is_set()

    def start(self) -> None:
        self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Wait to become the active one."""
        return self._active.wait(timeout)

    def stop(self) -> None:
        """Leave the group, so that another one takes over at once."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._stay()
            except kafka.errors.KafkaError as error:
                log.warning("%s: the group cannot be reached, trying again: %s: %s", self._group, type(error).__name__, error)
                self._set(False)
                self._stopping.wait(1.0)
        if self._instance is not None:
            self._leave(self._instance)

    def _leave(self, instance: str) -> None:
        """A member with an instance stays in its group when it closes, and another one would wait its session out."""
        try:
            with admin(self._settings) as opened:
                opened.remove_group_members(self._group, [MemberToRemove(group_instance_id=instance)])
        except (BrokerError, kafka.errors.KafkaError) as error:
            log.warning("%s: could not leave the group, another worker takes over in %s s: %s", self._group, SESSION_MS // 1000, error)

    def _stay(self) -> None:
        # a class per member: kafka-python wants assignor classes and asks them, not instances
        assignor = type("One", (OneMember,), {})()
        consumer = KafkaConsumer(
            group_id=self._group,
            group_instance_id=self._instance,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            partition_assignment_strategy=[assignor],
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=300_000,
            metrics_enabled=False,
            allow_auto_create_topics=False,
            **self._settings,
        )
        try:
            consumer.subscribe(self._topics, listener=_Listener(consumer, self._set))
            while not self._stopping.is_set():
                consumer.poll(timeout_ms=100)
                self._stopping.wait(REST_S)
        finally:
            self._set(False)
            consumer.close(autocommit=False)

    def _set(self, active: bool) -> None:
        if active != self._active.is_set():
            self._active.set() if active else self._active.clear()


@contextmanager
def seat(folder: Path, group: str) -> Iterator[str]:
    """A name for this process among those that share the folder: the first one whose lock is free. A kill frees it."""
    folder.mkdir(parents=True, exist_ok=True)
    origin = hashlib.sha256(f"{socket.gethostname()}:{folder.resolve()}".encode()).hexdigest()[:12]
    for number in range(1000):
        with open(folder / f"{group}.{number}.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"{origin}-{number}"
            return
    raise BrokerError(f"{folder}: a thousand workers stand by for {group}; that cannot be meant.")


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """A rebalance takes everything back for a moment; the member stays active through it unless another one is chosen."""

    def __init__(self, consumer: KafkaConsumer, tell: Callable[[bool], None]) -> None:
        self._consumer, self._tell = consumer, tell

    def on_partitions_revoked(self, revoked: Any) -> None:
        pass

    def on_partitions_lost(self, lost: Any) -> None:
        self._tell(False)

    def on_partitions_assigned(self, assigned: Any) -> None:
        if assigned:
            self._consumer.pause(*assigned)  # membership only: the records are read elsewhere
        self._tell(bool(assigned))
