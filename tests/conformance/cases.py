"""A case as the file gives it, its tables as Arrow, and how answers are compared with what it expects."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from streams.types import OFFSET, PARTITION, TIME, Schema, Type

ZONE = "+08:00"


@dataclass(frozen=True)
class Case:
    """One line of the file."""

    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.raw["id"])

    @property
    def category(self) -> str:
        return str(self.raw.get("category", "?"))

    @property
    def sql(self) -> str:
        return str(self.raw["sql"])

    @property
    def refused(self) -> bool:
        return not self.raw["expect"]["success"]

    @property
    def confirmed(self) -> bool:
        return bool(self.raw.get("confirmed"))

    def runs_in(self, mode: str) -> bool:
        expected = str(self.raw.get("expect_for") or "batch+request")
        return self.refused or ("batch" if mode == "batch" else "request") in expected.split("+")

    def expected(self, mode: str) -> Mapping[str, Any]:
        """What the rows must be: in a stream, those of a replay row by row where they differ."""
        base = dict(self.raw["expect"])
        other = self.raw.get("expect_request") if mode == "stream" else None
        if isinstance(other, list):
            base["rows"] = other
        elif isinstance(other, dict):
            base |= other
        return base

    @property
    def schemas(self) -> dict[str, Schema]:
        return {self._name(t): {c["name"]: Type(c["type"].upper()) for c in t["columns"]} for t in self.raw["tables"]}

    def tables(self) -> dict[str, pa.Table]:
        """Each table with the three meta columns, rows in arrival order."""
        found: dict[str, pa.Table] = {}
        for number, t in enumerate(self.raw["tables"]):
            columns = t["columns"]
            arrays = {}
            for i, column in enumerate(columns):
                values = [value(row[i], column["type"]) for row in t["rows"]]
                if self.raw.get("backslash") and column["type"] == "string":  # rows of these were written as SQL literals
                    values = [re.sub(r"\\(.)", r"\1", v) if v is not None else None for v in values]
                arrays[column["name"]] = pa.array(values, Type(column["type"].upper()).arrow)
            count = len(t["rows"])
            arrays |= {
                PARTITION: pa.array(np.full(count, number, np.int32)),
                OFFSET: pa.array(np.arange(count, dtype=np.int64)),
                TIME: pa.array(np.zeros(count, np.int64)),
            }
            found[self._name(t)] = pa.table(arrays)
        return found

    def _name(self, table: Mapping[str, Any]) -> str:
        return f"{table['db']}.{table['name']}" if table.get("db") else str(table["name"])


def read(path: Path) -> Iterator[Case]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield Case(json.loads(line))


def value(given: Any, kind: str) -> Any:
    """A value of the file as Python's."""
    if given is None:
        return None
    kind = kind.lower()
    if kind in ("float", "double"):
        return float(given)
    if kind == "date":
        return dt.date.fromisoformat(str(given))
    return bool(given) if kind == "bool" else str(given) if kind == "string" else int(given)


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows as the file writes them: timestamps in milliseconds, dates as dates."""
    columns = []
    for column in table.columns:
        kind = column.type
        columns.append(column.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(kind) else column.to_pylist())
    return list(zip(*columns, strict=True)) if columns else []


def same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is None and right is None
    if isinstance(left, float) or isinstance(right, float):
        try:
            a, b = float(left), float(right)
        except (TypeError, ValueError):
            return False
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b or math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-6 if abs(a) < 1e-3 and abs(b) < 1e-3 else 0.0)
    return bool(left == right)


def equal_rows(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))


def difference(expected: Mapping[str, Any], table: pa.Table) -> str | None:
    """None where the answer is as expected, else what differs first."""
    columns, rows = expected.get("columns"), expected.get("rows")
    if columns is None or rows is None:
        return None
    names = [c["name"] for c in columns]
    types = [Type(str(c["type"]).upper()).arrow for c in columns]
    if [n.lower() for n in table.column_names] != [str(n).lower() for n in names]:
        return f"columns {table.column_names}, expected {names}"
    for name, kind, wished in zip(names, table.schema.types, types, strict=True):
        if kind != wished:
            return f"column {name} is {kind}, expected {wished}"
    wished_rows = [tuple(value(v, c["type"]) for v, c in zip(row, columns, strict=True)) for row in rows]
    found = rows_of(table)
    if len(found) != len(wished_rows):
        return f"{len(found)} rows, expected {len(wished_rows)}"
    order = expected.get("order")
    if order is not None and order in names:
        at = names.index(order)
        found, wished_rows = _sorted(found, at), _sorted(wished_rows, at)
    if all(equal_rows(a, b) for a, b in zip(found, wished_rows, strict=True)):
        return None
    left = list(found)
    for row in wished_rows:
        hit = next((i for i, other in enumerate(left) if equal_rows(other, row)), None)
        if hit is None:
            return f"expected {row}, not among {found[:8]}"
        del left[hit]
    return None


def limited(expected: Mapping[str, Any], table: pa.Table, unlimited: pa.Table) -> str | None:
    """None where the answer has as many rows as expected, and all of both are among those without LIMIT."""
    wished = [tuple(value(v, c["type"]) for v, c in zip(row, expected["columns"], strict=True)) for row in expected["rows"]]
    if len(wished) != table.num_rows:
        return f"{table.num_rows} rows, expected {len(wished)}"
    for chosen in (wished, rows_of(table)):
        left = rows_of(unlimited)
        for row in chosen:
            hit = next((i for i, other in enumerate(left) if equal_rows(other, row)), None)
            if hit is None:
                return f"{row} is not among the rows without LIMIT"
            del left[hit]
    return None


def _sorted(rows: list[tuple[Any, ...]], at: int) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: (row[at] is not None, str(type(row[at])), row[at] if row[at] is not None else 0))
