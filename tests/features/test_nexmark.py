"""Two queries of Nexmark, in batches of any size: every row as DuckDB has it."""

from __future__ import annotations

import pytest

from benchmarks.nexmark.queries import QUERIES, Query
from benchmarks.pipeline.kernel import by_kernel

EVENTS = 100_000


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("cuts", [1, 7, 50])
def test_rows_are_those_of_duckdb(query: Query, cuts: int) -> None:
    feeds = query.feeds(EVENTS)
    answered = by_kernel(query.features, feeds, sum(map(len, feeds)) // cuts)
    assert answered.select(["i", *query.answers]).equals(query.expected(feeds))
