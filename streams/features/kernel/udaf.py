"""Aggregates that users write in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streams.features.kernel.text import Value


@dataclass(frozen=True)
class Udaf:
    """`update(state, *values)` and `revert(state, *values)` give the new state; `result(state)` the value.

    Without `revert` the frame is recomputed for each row. `merge(a, b)` joins two states; the kernel does not need it.
    """

    initial: Callable[[], Any]
    update: Callable[..., Any]
    result: Callable[[Any], Value]
    revert: Callable[..., Any] | None = None
    merge: Callable[[Any, Any], Any] | None = None

    def of(self, rows: Sequence[tuple[Value, ...]]) -> Value:
        """The value over these rows, oldest first."""
        state = self.initial()
        for row in rows:
            state = self.update(state, *row)
        return self.result(state)
