"""Aggregates that users write in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streams.features.kernel.text import Value


@dataclass(frozen=True)
class Udaf:
    """`update(state, *values)` and `revert(state, *values)` give the new state; `result(state)` the value.

    The kernel computes each frame afresh, so that a value never depends on what went before, however well `revert` undoes; it costs
    one `update` a row of the frame. `revert` and `merge(a, b)`, which joins two states, are for engines that keep states of their own.
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
