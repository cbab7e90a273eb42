"""What can go wrong at the edge, under the one root of streams/errors.py.

DriftlineError
└── BrokerError               the broker cannot be started or reached
    ├── ClientChangedError    the installed kafka-python is not the one these seams were written for
    ├── CorruptBatchError     a record batch cannot be decoded: its place and why
    ├── MessageFormatError    a record batch is older than message format v2
    ├── MessageTooLargeError  one record does not fit the topic's max.message.bytes
    ├── ProduceError          record batches were not written
    ├── TransactionError      a transaction could not be committed; nothing of it is visible
    │   └── FencedError       another producer took over this transactional id; stop
    └── OffsetLostError       the wanted offset is not in the log
        └── OffsetGoneError   the log begins behind it: retention took it
"""

from __future__ import annotations

import re

from streams.errors import BrokerError


class ClientChangedError(BrokerError):
    """The installed kafka-python is not the one these seams were written for."""


class CorruptBatchError(BrokerError):
    """A record batch cannot be decoded; the message carries its place and why. `after` is where to go on without it."""

    def __init__(self, message: str, topic: str, partition: int, offset: int, after: int) -> None:
        super().__init__(message)
        self.topic, self.partition, self.offset, self.after = topic, partition, offset, after


class MessageFormatError(BrokerError):
    """A record batch is older than message format v2 (Kafka 0.11); the message carries its place."""


class MessageTooLargeError(BrokerError):
    """One record does not fit the topic's max.message.bytes. `row` is its row in what was sent."""

    def __init__(self, message: str, row: int = -1) -> None:
        super().__init__(message)
        self.row = row


class ProduceError(BrokerError):
    """Record batches were not written; the message names each partition and the broker's reason."""


class TransactionError(BrokerError):
    """A transaction could not be committed; nothing of it is visible to read_committed readers."""


class FencedError(TransactionError):
    """Another producer took over this transactional id: whoever meets this must stop, not retry."""


class OffsetLostError(BrokerError):
    """The wanted offset is not in the log."""


class OffsetGoneError(OffsetLostError):
    """The log begins behind the wanted offset: retention took it. `after` is where it begins."""

    def __init__(self, message: str, topic: str, partition: int, offset: int, after: int) -> None:
        super().__init__(message)
        self.topic, self.partition, self.offset, self.after = topic, partition, offset, after


def not_in_log(topic: str, partition: int, offset: int, beginning: int, end: int) -> OffsetLostError:
    """What to raise for an offset that a log from `beginning` to `end` does not have."""
    place = f"{topic}[{partition}]@{offset}"
    if offset < beginning:
        message = f"{place} is no longer in the log, which has {beginning}..{end}: retention took it"
        return OffsetGoneError(message, topic, partition, offset, beginning)
    return OffsetLostError(f"{place} is not in the log, which has {beginning}..{end}: it was cut, or the topic was made anew")


def said(error: BaseException) -> str:
    """What a client library's error says: its name once, and no number in front."""
    name, text = type(error).__name__, re.sub(r"^\[Error \d+\] ", "", str(error)).removesuffix(": None")
    return text if text.startswith(name) else f"{name}: {text}" if text else name
