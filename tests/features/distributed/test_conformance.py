"""The published cases through the distributed stages: each gives what the embedded stream gives, or is refused for a declared reason."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pytest

from connectors.formats import json
from connectors.formats.cells import Read
from connectors.kafka.columns import Bytes, Headers, Records
from streams.errors import FeatureError
from streams.events.decode import TIMESTAMP
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.local import Local
from streams.features.distributed.messages import Arrived
from streams.features.distributed.split import cut
from streams.features.plan import Plan, compile_features
from streams.step import Input
from streams.types import Schema
from streams.worker.replay import Reader
from tests.conformance.cases import ZONE, Case, difference, read
from tests.conformance.run import run
from tests.conformance.test_published import FILE

DECLARED = {  # what the driver refuses, by a piece of its message
    "LIMIT": "met LIMIT; on flink",
    "no FROM": "met no FROM; on flink",
    "WHERE on joined or windowed columns": "on flink WHERE may use the driving row's own columns",
    "a value without a plain type between tasks": "on flink a column has a plain type there",
}


def through_stages(plan: Plan, case: Case) -> pa.Table:
    """Other tables first, then the driving rows, by the records' own times; batches, delivery and restarts drawn."""
    tables = case.tables()
    names = [*(name for name in plan.sources if name != plan.driving), str(plan.driving)]
    readers, records, at = [], [], 0
    for rank, name in enumerate(names):
        table = tables[name]

        def of_case(values: Bytes, schema: Schema, table: pa.Table = table, required: Collection[str] = (), strict: bool = False) -> Read:
            rows = np.array([int(value or b"") for value in values.to_list()], np.int64)
            return Read(table.select(list(schema)).take(pa.array(rows)), np.arange(len(rows), dtype=np.int64), [])

        readers.append(Reader(rank, Input(name, f"t.{name}", case.schemas[name], TIMESTAMP), of_case, True))
        for start in range(0, table.num_rows, 3):
            rows = np.arange(start, min(start + 3, table.num_rows), dtype=np.int64)
            values = Bytes.of([str(row).encode() for row in rows])
            none = Headers.none(len(rows))
            records.append(Arrived(rank, Records(f"t.{name}", 0, rows, at + rows, Bytes.nulls(len(rows)), values, none, int(rows[-1]) + 1)))
        at += table.num_rows
    topics = {name: name for name in ("features", "commits", "dead-letters", "late")}
    job = JobPlan(plan, tuple(readers), {(rank, 0): 0 for rank in range(len(names))}, topics, 3)
    found = Local(job, zlib.crc32(case.id.encode()), restart=0.1).run(records)
    return json.decode(Bytes.of([value for one in found if one.topic == "features" for value in one.values.to_list()]), plan.schema).table


def result(case: Case) -> tuple[str, str]:
    try:
        plan = compile_features(case.sql, case.schemas, timezone=ZONE, database=case.raw.get("db"), history_ms=None, overflow="wrap")
        cut(plan)
    except FeatureError as error:
        reason = next((name for name, text in DECLARED.items() if text in str(error)), None)
        return (f"declared: {reason}", "") if reason else ("undeclared", str(error))
    names = [name for name, _ in plan.columns]
    if len(set(names)) < len(names):
        return "declared: two columns of one name", ""  # a record has but one
    try:
        found = difference(case.expected("stream"), through_stages(plan, case))
    except Exception as error:  # whatever a case does is a result of it
        return "failed", f"{type(error).__name__}: {error}"
    return ("passed", "") if found is None else ("failed", found)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_published_cases_through_the_stages() -> None:
    if not FILE.exists():
        pytest.skip(f"the published cases are not here: {FILE}")
    cases = [case for case in read(FILE) if not case.refused and case.runs_in("stream")]
    results = [(case, *result(case)) for case in cases]
    count = Counter(state for _, state, _ in results)
    wrong = [one for one in results if one[1] in ("failed", "undeclared")]
    assert [(case.id, *told) for case, *told in wrong if run(case, "stream").state == "passed"] == []
    assert count["passed"] >= 0.9 * len(cases), count
