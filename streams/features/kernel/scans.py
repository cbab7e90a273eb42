"""Aggregates that Python computes from every row of their frame: text and categories. (Those of numbers: outputs.py.)

A scan takes the rows of the frame, oldest first, as one tuple of argument values a row (None for NULL), and gives one value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from zoneinfo import ZoneInfo

from streams.features.kernel.text import Value, number, render
from streams.features.spec import Aggregate
from streams.types import Type

Row = tuple[Value, ...]


@dataclass(frozen=True)
class Call:
    """One aggregate with what its arguments are."""

    aggregate: Aggregate
    types: tuple[Type, ...]
    zone: ZoneInfo

    @property
    def parameters(self) -> tuple[Value, ...]:
        return self.aggregate.parameters

    def integer(self, index: int, default: int) -> int:
        value = self.parameters[index] if len(self.parameters) > index else default
        return default if value is None else int(value)


Scan = Callable[[Sequence[Row], Call], Value]


def known(rows: Iterable[Row], index: int = 0) -> list[Value]:
    return [row[index] for row in rows if row[index] is not None]


def order(value: Value) -> tuple[bool, Value]:
    """A total order: NaN is greater than every number, as in DuckDB."""
    return (isinstance(value, float) and math.isnan(value), value)


def exact_sum(values: Sequence[Value], type: Type) -> Value:
    """The true sum: of integers exactly, of floats rounded once."""
    if type not in (Type.FLOAT, Type.DOUBLE):
        return sum(values)  # type: ignore[arg-type]
    floats = [float(v) for v in values]  # type: ignore[arg-type]
    infinite = {v for v in floats if math.isinf(v)}
    if any(math.isnan(v) for v in floats) or len(infinite) == 2:
        return math.nan
    if infinite:
        return infinite.pop()
    try:
        return math.fsum(floats)
    except OverflowError:
        total = sum(map(Fraction, floats))
        try:
            return float(total)
        except OverflowError:
            return math.inf if total > 0 else -math.inf


def average(values: Sequence[Value], type: Type) -> Value:
    return float(exact_sum(values, type)) / len(values) if values else None  # type: ignore[arg-type]


# ---------------------------------------------------------------- by category


def _groups(rows: Sequence[Row]) -> dict[Value, list[Value]]:
    groups: dict[Value, list[Value]] = {}
    for value, category, *_ in rows:
        if value is not None and category is not None:
            groups.setdefault(category, []).append(value)
    return groups


def _reduced(kind: str, values: list[Value], call: Call) -> Value:
    if kind == "count":
        return len(values)
    if kind == "sum":
        return exact_sum(values, call.types[0])
    if kind == "avg":
        return average(values, call.types[0])
    return (min if kind == "min" else max)(values, key=order)


def _value_text(kind: str, value: Value, call: Call) -> str:
    if kind == "count":
        return str(value)
    return number(float(value)) if kind == "avg" else render(value, call.types[0], call.zone)  # type: ignore[arg-type]


def _pairs(kind: str, chosen: Iterable[tuple[Value, Value]], call: Call) -> str:
    return ",".join(f"{render(key, call.types[1], call.zone)}:{_value_text(kind, value, call)}" for key, value in chosen)


def _cate(kind: str) -> Scan:
    def scan(rows: Sequence[Row], call: Call) -> Value:
        groups = _groups(rows)
        return _pairs(kind, ((key, _reduced(kind, groups[key], call)) for key in sorted(groups, key=order)), call)

    return scan


def _top_key(kind: str) -> Scan:
    def scan(rows: Sequence[Row], call: Call) -> Value:
        groups = _groups(rows)
        keys = sorted(groups, key=order, reverse=True)[: max(call.integer(0, 0), 0)]
        return _pairs(kind, ((key, _reduced(kind, groups[key], call)) for key in keys), call)

    return scan


def _top_value(kind: str) -> Scan:
    def scan(rows: Sequence[Row], call: Call) -> Value:
        reduced = {key: _reduced(kind, values, call) for key, values in _groups(rows).items()}
        best = sorted(reduced.items(), key=lambda pair: (order(pair[1]), order(pair[0])), reverse=True)
        return _pairs(kind, best[: max(call.integer(0, 0), 0)], call)

    return scan


def _ratios(rows: Sequence[Row]) -> dict[Value, float]:
    """(value, condition, category): of the rows of a category, the share where the condition holds."""
    total: Counter[Value] = Counter()
    matched: Counter[Value] = Counter()
    for value, condition, category in rows:
        if value is not None and category is not None:
            total[category] += 1
            matched[category] += bool(condition)
    return {key: matched[key] / n for key, n in total.items()}


def _ratio(by_value: bool) -> Scan:
    def scan(rows: Sequence[Row], call: Call) -> Value:
        def rank(pair: tuple[Value, float]) -> tuple[object, ...]:
            return (pair[1], order(pair[0])) if by_value else (order(pair[0]),)

        best = sorted(_ratios(rows).items(), key=rank, reverse=True)[: max(call.integer(0, 0), 0)]
        return ",".join(f"{render(key, call.types[2], call.zone)}:{number(value)}" for key, value in best)

    return scan


# ---------------------------------------------------------------- of one column


def _top(rows: Sequence[Row], call: Call) -> Value:
    values = sorted(known(rows), key=order, reverse=True)[: max(call.integer(0, 0), 0)]
    return ",".join(render(value, call.types[0], call.zone) for value in values)


def _by_frequency(values: Sequence[Value]) -> list[tuple[Value, int]]:
    return sorted(Counter(values).items(), key=lambda pair: (-pair[1], order(pair[0])))


def _top_frequency(rows: Sequence[Row], call: Call) -> Value:
    """The n commonest values (ties: the lesser first), padded with "NULL"."""
    n = max(call.integer(0, 0), 0)
    words = [render(value, call.types[0], call.zone) for value, _ in _by_frequency(known(rows))[:n]]
    return ",".join(words + ["NULL"] * (n - len(words)))


# ---------------------------------------------------------------- lists of words, newest row first


def _words(kind: str) -> Callable[[Sequence[Row], Call], tuple[list[str], tuple[Value, ...]]]:
    """The words of the frame, and the parameters left for what takes them."""

    def split(rows: Sequence[Row], call: Call) -> tuple[list[str], tuple[Value, ...]]:
        texts = [str(v) for v in known(rows[::-1])]
        if kind == "":
            return texts, call.parameters
        taken = 1 if kind == "window_split" else 2
        separators = [str(p) if p is not None else "" for p in call.parameters[:taken]]
        rest = call.parameters[taken:]
        if "" in separators:
            return [], rest
        parts = [part for text in texts for part in text.split(separators[0])]
        if taken == 1:
            return parts, rest
        pairs = [part.split(separators[1]) for part in parts]
        return [pair[kind == "window_split_by_value"] for pair in pairs if len(pair) == 2], rest

    return split


def _join(kind: str) -> Scan:
    words = _words(kind)

    def scan(rows: Sequence[Row], call: Call) -> Value:
        found, rest = words(rows, call)
        return str(rest[0] if rest and rest[0] is not None else "").join(found)

    return scan


def _share_of(kind: str) -> Scan:
    words = _words(kind)

    def scan(rows: Sequence[Row], call: Call) -> Value:
        found, _ = words(rows, call)
        return Counter(found).most_common(1)[0][1] / len(found) if found else 0.0

    return scan


def _count_of(kind: str) -> Scan:
    words = _words(kind)
    return lambda rows, call: len(words(rows, call)[0])


def _distinct_of(kind: str) -> Scan:
    words = _words(kind)
    return lambda rows, call: len(set(words(rows, call)[0]))


SCANS: dict[str, Scan] = {
    "min": lambda rows, call: min(known(rows), key=order, default=None),
    "max": lambda rows, call: max(known(rows), key=order, default=None),
    "top": _top,
    "topn_frequency": _top_frequency,
    "top_n_key_ratio_cate": _ratio(by_value=False),
    "top_n_value_ratio_cate": _ratio(by_value=True),
    "join": _join(""),
}
for _kind in ("count", "sum", "avg", "min", "max"):
    SCANS[f"{_kind}_cate"] = _cate(_kind)
    SCANS[f"top_n_key_{_kind}_cate"] = _top_key(_kind)
    SCANS[f"top_n_value_{_kind}_cate"] = _top_value(_kind)
for _kind in ("window_split", "window_split_by_key", "window_split_by_value"):
    SCANS[f"join:{_kind}"] = _join(_kind)
    SCANS[f"top1_ratio:{_kind}"] = _share_of(_kind)
    SCANS[f"count:{_kind}"] = _count_of(_kind)
    SCANS[f"distinct_count:{_kind}"] = _distinct_of(_kind)
