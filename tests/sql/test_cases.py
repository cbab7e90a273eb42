"""Every file of `cases/` is one case: tables with rows, a query, and the rows it gives or the text it is refused with.

    -- table tx(card STRING, amount DOUBLE, ts TIMESTAMP)
    -- a | 1.5 | 1000
    SELECT ...
    -- gives
    -- a | 1.5

The first table drives; the others are read before it. NULL is NULL. `-- refuses: text` stands where a query is refused, and the message
must contain the text. `-- timezone +08:00` sets the time zone. Each case runs in one batch, and row by row with a restored state.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streams.errors import FeatureError
from streams.features.plan import Plan, compile_features
from streams.features.program import Program
from streams.types import OFFSET, PARTITION, TIME, Batch, Schema, Type
from tests.conformance.cases import equal_rows, rows_of

CASES = sorted((Path(__file__).parent / "cases").glob("*.sql"))


@dataclass
class Case:
    sql: str = ""
    schemas: dict[str, Schema] = field(default_factory=dict)
    rows: dict[str, list[list[str]]] = field(default_factory=dict)
    gives: list[list[str]] | None = None
    refuses: str | None = None
    timezone: str = "UTC"


def load(path: Path) -> Case:
    case, table, lines = Case(), "", []
    for line in path.read_text().splitlines():
        words = line.removeprefix("--").strip()
        if not line.startswith("--"):
            lines.append(line)
        elif found := re.fullmatch(r"table (\w+)\((.*)\)", words):
            table = found[1]
            case.schemas[table] = {c.split()[0]: Type(c.split()[1]) for c in found[2].split(",")}
            case.rows[table] = []
        elif words.startswith("refuses:"):
            case.refuses = words.removeprefix("refuses:").strip()
        elif words.startswith("timezone"):
            case.timezone = words.split()[1]
        elif words == "gives":
            case.gives = []
        elif case.gives is not None:
            case.gives.append(cells(words))
        else:
            case.rows[table].append(cells(words))
    case.sql = "\n".join(lines).strip()
    return case


def cells(words: str) -> list[str]:
    return [cell.strip() for cell in re.findall(r"\s*'[^']*'\s*|[^|]+", words)]


def value(text: str, kind: Type) -> Any:
    if text == "NULL":
        return None
    if kind in (Type.FLOAT, Type.DOUBLE):
        return float(text)
    if kind is Type.BOOL:
        return text == "true"
    if kind is Type.DATE:
        return dt.date.fromisoformat(text)
    return text.strip("'") if kind is Type.STRING else int(text)


def tables(case: Case) -> dict[str, pa.Table]:
    found = {}
    for name, schema in case.schemas.items():
        rows = case.rows[name]
        columns = {c: pa.array([value(row[i], kind) for row in rows], kind.arrow) for i, (c, kind) in enumerate(schema.items())}
        places = np.arange(len(rows), dtype=np.int64)
        found[name] = pa.table({**columns, PARTITION: pa.array(places * 0, pa.int32()), OFFSET: pa.array(places), TIME: pa.array(places)})
    return found


def batches(plan: Plan, given: dict[str, pa.Table], length: int) -> list[Batch]:
    pieces = []
    for name in plan.sources:
        table = given[name]
        for start in range(0, table.num_rows, length):
            piece = table.slice(start, length)
            pieces.append(Batch({name: piece}, {name: np.arange(piece.num_rows, dtype=np.int64)}))
    return pieces or [Batch({}, {})]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = load(path)
    if case.refuses is not None:
        with pytest.raises(FeatureError) as refused:
            compile_features(case.sql, case.schemas, timezone=case.timezone)
        assert case.refuses in refused.value.message
        return
    assert case.gives is not None, f"{path.name} has neither `gives` nor `refuses`"
    plan = compile_features(case.sql, case.schemas, timezone=case.timezone, history_ms=None)
    kinds = [kind for _, kind in plan.columns]
    wished = [tuple(value(cell, kind) for cell, kind in zip(row, kinds, strict=True)) for row in case.gives]
    given = tables(case)
    for length in (1_000_000, 2, 1):
        program, answers = Program(plan), []
        for batch in batches(plan, given, length):
            answers.append(program.process(batch).table)
            state = program.snapshot()
            program = Program(plan) if length == 1 else program
            program.restore(state)
        found = rows_of(pa.concat_tables(answers))
        assert len(found) == len(wished)
        for one, other in zip(found, wished, strict=True):
            assert equal_rows(one, other), f"batches of {length}: {one} instead of {other}"
