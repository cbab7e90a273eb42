"""Aggregates over the frames of a store: rows in the order of the log in, one value a window, aggregate and answered row out."""

from __future__ import annotations

import math
import pickle
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

import numpy as np

from streams.features.kernel.column import FLOATS, BoolArray, Column
from streams.features.kernel.scans import Call, Row, average, exact_sum, known, scan_of
from streams.features.kernel.text import Value
from streams.features.kernel.udaf import Udaf
from streams.features.spec import Frame, Store
from streams.types import Int64, Type


class WindowKernel:
    def __init__(self, store: Store, udafs: Mapping[str, Udaf] = {}, *, timezone: str = "UTC", spill: str | None = None) -> None:  # noqa: B006
        self.store = store
        self.overflows = 0
        self._udafs = udafs
        self._zone = ZoneInfo(timezone)
        self._rows: dict[int, list[tuple[int, Row]]] = {}
        self._clock: dict[int, int] = {}
        for window in store.windows:
            for aggregate in window.aggregates:
                name = aggregate.function.removesuffix("_where")
                if not name.startswith("udaf:") and name not in SIMPLE:
                    scan_of(name)

    def process(
        self, keys: Int64, times: Int64, stored: BoolArray, answered: BoolArray, columns: Sequence[Column]
    ) -> list[list[Column]]:
        decoded = [_decode(column) for column in columns]
        rows = list(zip(*decoded, strict=True)) if decoded else [()] * len(keys)
        results: list[list[list[Value]]] = [[[] for _ in window.aggregates] for window in self.store.windows]
        for i, (key, time) in enumerate(zip(keys.tolist(), times.tolist(), strict=True)):
            ring = self._rows.setdefault(key, [])
            self._clock[key] = max(time, self._clock.get(key, time))
            place = bisect_right(ring, time, key=lambda entry: entry[0])
            before = ring[:place]
            if answered[i]:
                for window, result in zip(self.store.windows, results, strict=True):
                    past = before[: bisect_left(before, time, key=lambda e: e[0])] if window.frame.exclude_current_time else before
                    frame = _frame(window.frame, past, time, rows[i])
                    for aggregate, column in zip(window.aggregates, result, strict=True):
                        name = aggregate.function.removesuffix("_where")
                        arguments = aggregate.arguments
                        if name in ("lag", "at"):
                            k = int(aggregate.parameters[0] or 0)
                            sequence = [*(row for _, row in past), rows[i]]
                            column.append(sequence[-1 - k][arguments[0]] if 0 <= k < len(sequence) else None)
                            continue
                        values = [tuple(row[a] for a in arguments) for row in frame]
                        call = Call(aggregate, tuple(self.store.columns[a] for a in arguments), self._zone)
                        if name.startswith("udaf:"):
                            column.append(self._udafs[name[5:]].of(values))
                        elif name in SIMPLE:
                            column.append(self._fit(_simple(name, values, call), aggregate.type))
                        else:
                            column.append(scan_of(name)(values, call))
            if stored[i]:
                ring.insert(place, (time, rows[i]))
            self._evict(key)
        return [
            [_encode(values, aggregate.type) for aggregate, values in zip(window.aggregates, result, strict=True)]
            for window, result in zip(self.store.windows, results, strict=True)
        ]

    def _fit(self, value: Value, type: Type) -> Value:
        if isinstance(value, int) and type in _RANGE and not -_RANGE[type] <= value < _RANGE[type]:
            self.overflows += 1
            return None
        return value

    def _evict(self, key: int) -> None:
        pass

    def snapshot(self) -> bytes:
        return pickle.dumps((self._rows, self._clock, self.overflows))

    def restore(self, state: bytes) -> None:
        self._rows, self._clock, self.overflows = pickle.loads(state)

    def split(self, keys: Int64) -> bytes:
        chosen = set(keys.tolist())
        return pickle.dumps(({k: v for k, v in self._rows.items() if k in chosen}, {k: v for k, v in self._clock.items() if k in chosen}, 0))


_RANGE = {Type.SMALLINT: 2**15, Type.INT: 2**31, Type.BIGINT: 2**63, Type.TIMESTAMP: 2**63}
SIMPLE = ("count", "sum", "avg", "var_pop", "var_samp", "stddev_pop", "stddev_samp")


def _frame(frame: Frame, past: list[tuple[int, Row]], time: int, current: Row) -> list[Row]:
    if frame.rows:
        positions = list(range(len(past), 0, -1))
        inside = [row for p, (_, row) in zip(positions, past, strict=True) if _within(p, frame)]
    else:
        inside = [row for at, row in past if _within(time - at, frame)]
    if not frame.exclude_current_row and _within(0, frame):
        inside.append(current)
    return inside if frame.maxsize is None else inside[max(len(inside) - frame.maxsize, 0) :]


def _within(distance: int, frame: Frame) -> bool:
    if distance < frame.end or (frame.end_open and distance == frame.end):
        return False
    return frame.start is None or distance < frame.start or (distance == frame.start and not frame.start_open)


def _simple(name: str, values: list[Row], call: Call) -> Value:
    if name == "count" and not call.aggregate.arguments:
        return len(values)
    column = known(values)
    if name == "count":
        return len(column)
    if name == "sum":
        return exact_sum(column, call.types[0]) if column else None
    if name == "avg":
        return average(column, call.types[0])
    n = len(column)
    if n - name.endswith("_samp") < 1:
        return None
    from fractions import Fraction

    if any(not math.isfinite(v) for v in column):  # type: ignore[arg-type]
        return math.nan
    exact = [Fraction(v) for v in column]  # type: ignore[arg-type]
    total = sum(exact)
    variance = float((n * sum(v * v for v in exact) - total * total) / (n * (n - name.endswith("_samp"))))
    return math.sqrt(variance) if name.startswith("std") else variance


def _decode(column: Column) -> list[Value]:
    values: list[Value] = column.values.tolist()
    if column.words is not None:
        words = list(column.words)
        values = [words[int(v)] if 0 <= int(v) < len(words) else None for v in values]  # type: ignore[arg-type]
    if column.valid is not None:
        values = [v if ok else None for v, ok in zip(values, column.valid.tolist(), strict=True)]
    return values


def _encode(values: list[Value], type: Type) -> Column:
    known_ = np.array([v is not None for v in values], np.bool_)
    valid = None if known_.all() else known_
    if type is Type.STRING:
        words: dict[str, int] = {}
        codes = [0 if v is None else words.setdefault(str(v), len(words)) for v in values]
        return Column(np.array(codes, np.int64), valid, list(words))
    kind = np.float64 if type in FLOATS else np.int64
    return Column(np.array([0 if v is None else v for v in values], kind), valid)
