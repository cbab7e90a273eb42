"""Rows of files in one order: what is announced has been handed out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.columns import Bytes
from streams.produce.chunk import Chunk
from streams.produce.merge import Feed, Merge


def chunk(times: list[int], before: int) -> Chunk:
    stamps, rows = np.array(times, np.int64), len(times)
    newest = np.maximum.accumulate(np.maximum(stamps, before))
    return Chunk(Bytes.of([b"x"] * rows), Bytes.nulls(rows), stamps, newest, np.arange(rows))


@given(
    st.lists(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6), max_size=4), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(1, 9), st.one_of(st.none(), st.integers(0, 40))), max_size=12),
)
def test_no_row_comes_behind_what_was_announced(files: list[list[list[int]]], asked: list[tuple[int, int | None]]) -> None:
    feeds = []
    for number, file in enumerate(files):
        chunks, before = [], 0
        for times in file:
            chunks.append(chunk(times, before))
            before = int(chunks[-1].newest[-1])
        feeds.append(Feed(f"f{number}", chunks))
    merge, announced, taken = Merge(feeds), -1, 0
    for rows, until in [*asked, *[(1000, None)] * 20]:
        flush = merge.take(rows, until)
        for part in flush.parts.values():
            # of one file several flushes may share an event time
            assert (part.newest >= announced if len(files) == 1 else part.newest > announced).all()
            assert until is None or (part.newest <= until).all()
            taken += len(part)
        announced = max(announced, flush.through if flush.through is not None else -1)
        if flush.last:
            break
    assert taken == sum(len(times) for file in files for times in file)
