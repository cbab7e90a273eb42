"""The published cases, where they are: `../shared/conformance` beside the repository, or the path in DRIFTLINE_CONFORMANCE."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conformance.cases import read
from tests.conformance.run import Result, run

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(os.environ.get("DRIFTLINE_CONFORMANCE", ROOT.parent / "shared" / "conformance" / "openmldb_cases.jsonl"))
WITH_ROWS, REFUSALS = 0.97, 0.98


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["batch", "stream"])
def test_published_cases(mode: str) -> None:
    if not FILE.exists():
        pytest.skip(f"the published cases are not here: {FILE}")
    results = [run(case, mode) for case in read(FILE)]
    count = Counter(result.state for result in results)
    assert [shown(r) for r in results if r.state == "failed" and r.case.confirmed] == []
    assert count["passed"] >= WITH_ROWS * (count["passed"] + count["failed"]), [shown(r) for r in results if r.state == "failed"]
    assert count["refused"] >= REFUSALS * (count["refused"] + count["accepted"]), [shown(r) for r in results if r.state == "accepted"]


def shown(result: Result) -> str:
    return f"{result.case.id}: {result.detail}"
