"""A window engine in the plainest Python, one row at a time and every frame from scratch: what the kernel is held against."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from streams.features.kernel.layout import name_of, retention
from streams.features.spec import Aggregate, Frame, Store
from streams.types import Type

Value = int | float | str | None


@dataclass(frozen=True)
class Event:
    key: int
    time: int
    values: tuple[Value, ...]
    stored: bool = True
    answered: bool = True


@dataclass
class Referee:
    store: Store
    rows: dict[int, list[Event]] = field(default_factory=dict)
    clock: dict[int, int] = field(default_factory=dict)

    def answer(self, event: Event) -> list[list[Value]] | None:
        held = self.rows.setdefault(event.key, [])
        late = event.time < self.clock.get(event.key, event.time)
        self.clock[event.key] = max(event.time, self.clock.get(event.key, event.time))
        past = [row for row in (self._visible(event.key) if late else held) if row.time <= event.time]
        result = [self._window(w, past, event) for w in range(len(self.store.windows))] if event.answered else None
        if event.stored:
            place = sum(row.time <= event.time for row in held)
            held.insert(place, event)
        return result

    def _visible(self, key: int) -> list[Event]:
        """Rows within the retention, and the newest few before it."""
        keep, few = retention(self.store)
        held = self.rows[key]
        if keep < 0:
            return held
        before = [row for row in held if row.time < self.clock[key] - keep]
        return (before[-few:] if few else []) + held[len(before) :]

    def _window(self, w: int, past: list[Event], event: Event) -> list[Value]:
        window = self.store.windows[w]
        if window.frame.exclude_current_time:
            past = [row for row in past if row.time < event.time]
        inside = frame_rows(window.frame, past, event)
        return [self._value(aggregate, inside, past, event) for aggregate in window.aggregates]

    def _value(self, aggregate: Aggregate, inside: list[Event], past: list[Event], event: Event) -> Value:
        name = name_of(aggregate)
        if name == "lag":
            sequence = [*past, event]
            k = int(aggregate.parameters[0] or 0)
            return sequence[-1 - k].values[aggregate.arguments[0]] if k < len(sequence) else None
        if not aggregate.arguments:
            return len(inside)
        type = self.store.columns[aggregate.arguments[0]]
        values = [row.values[aggregate.arguments[0]] for row in inside]
        if name == "nth_value":
            n = int(aggregate.parameters[0] or 0)
            if len(aggregate.arguments) > 1:
                values = [row.values[aggregate.arguments[0]] for row in inside if row.values[aggregate.arguments[1]]]
            return None if n == 0 or abs(n) > len(values) else values[n - 1 if n > 0 else n]
        if name in ("first_value", "last_value"):
            if aggregate.parameters:
                values = [v for v in values if v is not None]
            return (values[0] if name == "first_value" else values[-1]) if values else None
        return of_values(name, [v for v in values if v is not None], type, aggregate)


def frame_rows(frame: Frame, past: list[Event], event: Event) -> list[Event]:
    def within(distance: int) -> bool:
        if distance < frame.end or (frame.end_open and distance == frame.end):
            return False
        return frame.start is None or distance < frame.start or (distance == frame.start and not frame.start_open)

    if frame.rows:
        inside = [row for position, row in zip(range(len(past), 0, -1), past, strict=True) if within(position)]
    else:
        inside = [row for row in past if within(event.time - row.time)]
    if not frame.exclude_current_row and within(0):
        inside.append(event)
    return inside if frame.maxsize is None else inside[max(len(inside) - frame.maxsize, 0) :]


def rank(value: Value) -> tuple[bool, Value, float]:
    """Numbers by size, NaN last, -0.0 before 0.0."""
    if isinstance(value, float):
        return (math.isnan(value), 0.0 if math.isnan(value) else value, math.copysign(1.0, value))
    return (False, value, 0.0)


def of_values(name: str, values: list[Value], type: Type, aggregate: Aggregate) -> Value:
    floats = type in (Type.FLOAT, Type.DOUBLE)
    n = len(values)
    if name == "count":
        return n
    if name == "distinct_count":
        return len({"nan" if v != v else v for v in values})
    if name == "top1_ratio":
        return max(Counter("nan" if v != v else v for v in values).values()) / n if n else 0.0
    if n == 0:
        return None
    if name == "sum":
        total = float_sum(values) if floats else sum(values)  # type: ignore[arg-type]
        limit = {Type.SMALLINT: 2**15, Type.INT: 2**31}.get(aggregate.type, 2**63)
        return total if floats or -limit <= total < limit else None
    if name == "avg":
        return (float_sum(values) if floats else float(sum(values))) / n  # type: ignore[arg-type]
    if name in ("min", "max"):
        return (min if name == "min" else max)(values, key=rank)
    if name[:3] in ("var", "std"):
        sample = name.endswith("_samp")
        if n <= sample:
            return None
        if not all(math.isfinite(v) for v in values):  # type: ignore[arg-type]
            return math.nan
        exact = [Fraction(v) for v in values]  # type: ignore[arg-type]
        spread = n * sum(v * v for v in exact) - sum(exact) ** 2
        variance = as_float(spread) / (float(n) * float(n - sample))
        return math.sqrt(variance) if name.startswith("std") else variance
    if name == "median":
        ordered = sorted(values, key=rank)
        low, high = float(ordered[(n - 1) // 2]), float(ordered[n // 2])  # type: ignore[arg-type]
        if not floats:
            return low / 2 + high / 2
        return low / 2 + high / 2 if math.isinf((low + high) / 2) else (low + high) / 2
    if name == "entropy":
        return -sum(c / n * math.log2(c / n) for c in Counter("nan" if v != v else v for v in values).values())
    raise AssertionError(name)


def as_float(value: Fraction | int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def float_sum(values: Sequence[Value]) -> float:
    floats = [float(v) for v in values]  # type: ignore[arg-type]
    if any(math.isnan(v) for v in floats) or {math.inf, -math.inf} <= set(floats):
        return math.nan
    infinite = [v for v in floats if math.isinf(v)]
    return infinite[0] if infinite else as_float(sum(map(Fraction, floats), Fraction(0)))
