"""The aggregates of a window: which types they take, what they give, and which kernel function with which arguments they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streams.features.kinds import BIGINT, BOOL, DOUBLE, NUMBERS, STRING, Kind
from streams.features.scalar import Scalar, Zone, cast, made, truth

CATEGORIES = ("SMALLINT", "INT", "BIGINT", "STRING", "DATE", "TIMESTAMP")
ORDERED = (*NUMBERS, "DATE", "TIMESTAMP", "STRING")


@dataclass(frozen=True)
class Rule:
    """`takes` are argument classes: value:CLASS, where (a condition), category, constant:CLASS.

    `gives` is a type, or None for the type of the value. `kernel` is the kernel's name.
    """

    takes: tuple[str, ...]
    gives: Kind | None
    kernel: str


def _rules() -> dict[str, tuple[Rule, ...]]:
    number, ordered, anything = "value:number", "value:ordered", "value:any"
    rules: dict[str, tuple[Rule, ...]] = {
        "count": (Rule((anything,), BIGINT, "count"),),
        "sum": (Rule(("value:summed",), None, "sum"),),
        "avg": (Rule((number,), DOUBLE, "avg"),),
        "min": (Rule((ordered,), None, "min"),),
        "max": (Rule((ordered,), None, "max"),),
        "distinct_count": (Rule((anything,), BIGINT, "distinct_count"),),
        "median": (Rule((number,), DOUBLE, "median"),),
        "entropy": (Rule((anything,), DOUBLE, "entropy"),),
        "drawdown": (Rule((number,), DOUBLE, "drawdown"),),
        "ew_avg": (Rule((number, "constant:number"), DOUBLE, "ew_avg"),),
        "top1_ratio": (Rule((ordered,), DOUBLE, "top1_ratio"),),
        "top": (Rule((ordered, "constant:integer"), STRING, "top"),),
        "topn_frequency": (Rule((ordered, "constant:integer"), STRING, "topn_frequency"),),
        "lag": (Rule((anything, "constant:integer"), None, "lag"), Rule((anything,), None, "lag")),
        "first_value": (Rule((anything,), None, "first_value"), Rule((anything, "constant:BOOL"), None, "first_value")),
        "last_value": (Rule((anything,), None, "last_value"), Rule((anything, "constant:BOOL"), None, "last_value")),
        "nth_value_where": (Rule((anything, "constant:integer", "condition"), None, "nth_value"),),
        "var_pop": (Rule((number,), DOUBLE, "var_pop"),),
        "var_samp": (Rule((number,), DOUBLE, "var_samp"),),
        "stddev_pop": (Rule((number,), DOUBLE, "stddev_pop"),),
        "stddev_samp": (Rule((number,), DOUBLE, "stddev_samp"),),
        "count_where": (Rule((anything, "where"), BIGINT, "count"),),
        "sum_where": (Rule((number, "where"), None, "sum"),),
        "avg_where": (Rule((number, "where"), DOUBLE, "avg"),),
        "min_where": (Rule((number, "where"), None, "min"),),
        "max_where": (Rule((number, "where"), None, "max"),),
    }
    for name in ("count", "sum", "avg", "min", "max"):
        value = anything if name == "count" else number
        rules[f"{name}_cate"] = (Rule((value, "category"), STRING, f"{name}_cate"),)
        rules[f"{name}_cate_where"] = (Rule((value, "where", "category"), STRING, f"{name}_cate"),)
        for by in ("key", "value"):
            takes = (value, "where", "category", "constant:integer")
            rules[f"top_n_{by}_{name}_cate_where"] = (Rule(takes, STRING, f"top_n_{by}_{name}_cate"),)
    for by in ("key", "value"):
        takes = (anything, "condition", "category", "constant:integer")
        rules[f"top_n_{by}_ratio_cate"] = (Rule(takes, STRING, f"top_n_{by}_ratio_cate"),)
    for alias, name in ALIASES.items():
        rules[alias] = rules[name]
    return rules


ALIASES = {"at": "lag", "variance": "var_samp", "stddev": "stddev_samp", "std": "stddev_samp"}
AGGREGATES: Mapping[str, tuple[Rule, ...]] = _rules()

# join, count, ... over the words of a window; the kernel does both at once
SPLITS: Mapping[str, int] = {"window_split": 1, "window_split_by_key": 2, "window_split_by_value": 2}
OVER_SPLITS: Mapping[str, Kind] = {"join": STRING, "top1_ratio": DOUBLE, "count": BIGINT, "distinct_count": BIGINT}


def fits(take: str, kind: Kind, constant: bool) -> bool:
    """Whether an argument may stand where `take` is."""
    role, _, wanted = take.partition(":")
    if role in ("where", "condition"):
        return kind in (BOOL, Kind("NULL"))
    if role == "category":
        return kind.name in CATEGORIES
    if role == "constant":
        if not constant:
            return False
        return _in(wanted, kind)
    return _in(wanted, kind)


def _in(wanted: str, kind: Kind) -> bool:
    if kind.name == "NULL":
        return True
    classes: dict[str, Sequence[str]] = {
        "number": NUMBERS,
        "integer": ("SMALLINT", "INT", "BIGINT"),
        "summed": (*NUMBERS, "TIMESTAMP"),
        "ordered": ORDERED,
    }
    if wanted == "any":
        return kind.column is not None
    return kind.name in classes.get(wanted, (wanted,))


def folded(value: Scalar, condition: Scalar, zone: Zone) -> Scalar:
    """The value where the condition holds, else NULL."""
    holds = truth(condition, zone)
    if holds.literal is True:
        return value
    return made(f"CASE WHEN {holds.sql} THEN {value.sql} END", value.kind, value, holds)


WISHES = {
    "value:number": "a number",
    "value:summed": "a number or a TIMESTAMP",
    "value:ordered": "a number, a STRING, a DATE or a TIMESTAMP",
    "value:any": "a column value",
    "where": "a condition (BOOL)",
    "condition": "a condition (BOOL)",
    "category": "a category (an integer, a STRING, a DATE or a TIMESTAMP)",
    "constant:integer": "a constant integer",
    "constant:number": "a constant number",
    "constant:BOOL": "true or false",
}

# frame aggregates that a condition on another aggregate of the same frame can be asked for: text over the list of rows `r`
OVER_ROWS: Mapping[str, Callable[[str], str]] = {
    "count": lambda values: f"CAST(len(list_filter({values}, lambda v: v IS NOT NULL)) AS BIGINT)",
    "sum": lambda values: f"list_sum({values})",
    "avg": lambda values: f"list_avg({values})",
    "min": lambda values: f"list_min({values})",
    "max": lambda values: f"list_max({values})",
    "distinct_count": lambda values: f"CAST(list_unique({values}) AS BIGINT)",
}

__all__ = ["AGGREGATES", "OVER_ROWS", "OVER_SPLITS", "SPLITS", "WISHES", "Rule", "cast", "fits", "folded"]
