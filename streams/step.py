"""The contract between a step and what drives it: columns in, columns out, state that can be written down.

A step has no IO, no clock and no Kafka. A driver (the embedded worker, a table, a test) gives it batches in the order of the log
and writes what it answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from streams.types import Batch, Outputs, Schema


def signed(*definition: object) -> str:
    """A step's `signature` from what defines its state."""
    return hashlib.sha256(repr(definition).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Input:
    """One topic a step reads, in order of rank: at equal event times an earlier input comes first, the driving one last.

    `time` names the event-time column (TIMESTAMP or BIGINT, milliseconds). `lateness` is the patience of this source in
    milliseconds; `idle_after` how long it holds the others back, in wall-clock milliseconds, once it is caught up.
    """

    name: str
    topic: str
    schema: Schema
    time: str
    key: str | None = None
    lateness: int = 0
    idle_after: int = 1000
    max_ahead: int = 86_400_000  # a time further ahead of the wall clock is refused


class Step(Protocol):
    """A stream processor without IO. The same batches in the same order give the same outputs, however they are cut.

    Three things a step may have beside: `signature`, which says what its snapshots depend on (those of another one are not used);
    `marked`, topics of its outputs that are told how far event time has come, also when there are no rows; and
    `frontier(time) -> Outputs`, which tells the step itself: all rows to come are at or past `time` (late ones apart).
    """

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[Input, ...]: ...

    def process(self, batch: Batch) -> Outputs:
        """Answer the rows of one batch; the keys of the result are full topic names."""
        ...

    def hold(self) -> int | None:
        """Event time (ms) at or past which the driving input must wait for another input, or None for no wait."""
        ...

    def snapshot(self) -> Mapping[str, bytes]:
        """The state as named byte strings."""
        ...

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take a state that `snapshot` gave."""
        ...
