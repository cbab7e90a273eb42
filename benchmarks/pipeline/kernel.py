"""The rows as the kernel alone gives them, with the merge before it: no broker, no worker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from benchmarks.pipeline.topics import Feed
from streams.features.offline import Engine
from streams.features.plan import compile_features
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME
from streams.worker.feeds import merged
from streams.worker.merge import Read


def by_kernel(features: str, feeds: Sequence[Feed], batch_rows: int = 100_000) -> pa.Table:
    """The feature rows of the feeds, sorted by i; the driving one last, each as one partition in the order it has."""
    sources = [feed.source for feed in feeds]
    plan = compile_features(features, {source.name: source.fields for source in sources})
    inputs = [Input(source.name, source.name, source.fields, source.time, source.key) for source in sources]
    engine = Engine(plan, inputs)
    reads = {(rank, 0): iter([_read(rank, feed)]) for rank, feed in enumerate(feeds)}
    return pa.concat_tables([engine.rows(taken.batch) for taken in merged(inputs, reads, batch_rows)]).sort_by("i")


def _read(rank: int, feed: Feed) -> Read:
    table, places = feed.table.select(list(feed.source.fields)), np.arange(len(feed))
    times = table.column(feed.source.time).to_numpy()
    table = table.cast(pa.schema([(name, kind.arrow) for name, kind in feed.source.fields.items()]))
    for name, column in ((PARTITION, np.zeros(len(feed), np.int32)), (OFFSET, places), (TIME, times)):
        table = table.append_column(name, pa.array(column))
    return Read(rank, 0, table, places, times, np.ones(len(feed), np.bool_), len(feed))
