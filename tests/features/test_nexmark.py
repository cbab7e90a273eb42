"""Two queries of Nexmark, in batches of any size: every row as DuckDB has it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.nexmark.queries import QUERIES, Query
from benchmarks.pipeline.topics import Feed
from streams.features.plan import compile_features
from streams.features.program import Program
from streams.types import Batch, Type

EVENTS = 100_000


def _typed(feed: Feed, time: str) -> pa.Table:
    """As a source's rows come out of the merge."""
    table, places = feed.table, np.arange(len(feed))
    table = table.set_column(table.schema.get_field_index(time), time, table.column(time).cast(pa.timestamp("ms", "UTC")))
    for name in ("_partition", "_offset", "_time"):
        table = table.append_column(name, pa.array(places))
    return table


def _batches(feeds: Sequence[Feed], query: Query, cuts: int) -> list[Batch]:
    """All rows in the order of event time, cut into so many batches."""
    times = [feed.table.column(query.time[feed.source]).to_numpy() for feed in feeds]
    ends = np.linspace(min(t[0] for t in times), max(t[-1] for t in times) + 1, cuts + 1).astype(np.int64)
    found = []
    for low, high in pairwise(ends.tolist()):
        spans = [(int(np.searchsorted(t, low)), int(np.searchsorted(t, high))) for t in times]
        inside = np.concatenate([t[first:last] for t, (first, last) in zip(times, spans, strict=True)])
        place = np.argsort(np.argsort(inside, kind="stable"), kind="stable")
        tables, order, at = {}, {}, 0
        for feed, (first, last) in zip(feeds, spans, strict=True):
            if last > first:
                tables[feed.source] = _typed(feed, query.time[feed.source]).slice(first, last - first)
                order[feed.source] = place[at : at + last - first]
            at += last - first
        found.append(Batch(tables, order))
    return found


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("cuts", [1, 7, 50])
def test_rows_are_those_of_duckdb(query: Query, cuts: int) -> None:
    feeds = query.feeds(EVENTS)
    sources = tomllib.loads(query.sources)["sources"]
    schemas = {name: {field: Type(kind) for field, kind in source["fields"].items()} for name, source in sources.items()}
    program = Program(compile_features(query.features, schemas))
    answered = pa.concat_tables([program.process(batch).table for batch in _batches(feeds, query, cuts)]).sort_by("i")
    assert answered.select(["i", *query.columns]).equals(query.expected(feeds))
