"""One case through the plan and the program: all rows at once, or in random batches with the state moved to a new program now and then."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from streams.errors import FeatureError
from streams.features.plan import Limit, Plan, compile_features
from streams.features.program import Program
from streams.types import Batch
from tests.conformance.cases import ZONE, Case, difference, limited


@dataclass(frozen=True)
class Result:
    """`state` is passed, failed, refused (rightly), accepted (wrongly) or skipped."""

    case: Case
    state: str
    detail: str = ""


def run(case: Case, mode: str) -> Result:
    """Run one case. Whatever a case does is a result of it, so any exception is a failure with its text."""
    if not case.runs_in(mode):
        return Result(case, "skipped")
    try:
        plan = compile_features(case.sql, case.schemas, timezone=ZONE, database=case.raw.get("db"), history_ms=None, overflow="wrap")
    except FeatureError as error:
        return Result(case, "refused", error.message) if case.refused else Result(case, "failed", error.message)
    except Exception as error:
        return Result(case, "failed", f"compile: {type(error).__name__}: {error}")
    if case.refused:
        return Result(case, "accepted", plan.hash[:12])
    try:
        answer = whole if mode == "batch" else streamed
        table = answer(plan, case)
        found = difference(case.expected(mode), table)
        if found is not None and isinstance(plan.root, Limit):  # LIMIT without an order may give any rows
            found = limited(case.expected(mode), table, answer(replace(plan, root=plan.root.child), case))
    except Exception as error:
        return Result(case, "failed", f"{type(error).__name__}: {error}")
    return Result(case, "passed") if found is None else Result(case, "failed", found)


def whole(plan: Plan, case: Case) -> pa.Table:
    """All rows in one batch, other tables first."""
    return Program(plan, finished=True).process(_batch(plan, case.tables())).table


def streamed(plan: Plan, case: Case) -> pa.Table:
    """Other tables first, then the driving rows as they arrive, cut into random batches; the state changes hands now and then."""
    chance = random.Random(zlib.crc32(case.id.encode()))
    tables = case.tables()
    program = Program(plan)
    answers = []
    others = [name for name in plan.sources if name != plan.driving and name in tables]
    pieces: list[dict[str, pa.Table]] = []
    for name in others:
        pieces += [{name: piece} for piece in _cut(tables[name], chance)]
    if plan.driving is None:
        pieces.append({})
    else:
        pieces += [{plan.driving: piece} for piece in _cut(tables[plan.driving], chance)]
    for piece in pieces:
        answers.append(program.process(_batch(plan, piece)).table)
        if chance.random() < 0.3:
            state = program.snapshot()
            program = Program(plan)
            program.restore(state)
    return pa.concat_tables(answers) if answers else pa.table({})


def _cut(table: pa.Table, chance: random.Random) -> Iterator[pa.Table]:
    start = 0
    while start < table.num_rows:
        length = chance.randint(1, 3)
        yield table.slice(start, length)
        start += length


def _batch(plan: Plan, tables: dict[str, pa.Table]) -> Batch:
    """The tables one after the other, in the order of their rank."""
    order, start = {}, 0
    for name in plan.sources:
        if name in tables:
            order[name] = np.arange(start, start + tables[name].num_rows, dtype=np.int64)
            start += tables[name].num_rows
    return Batch({name: tables[name] for name in order}, order)
