"""Two queries of Nexmark as features: one row out per bid, one row out per auction.

Query 5 asks which items are hot; here each bid is answered with how many its auction has had in the last ten seconds. (The greatest of all
auctions is not one row per event, and not in the dialect.) Query 8 asks who sells soon after having registered; here each auction is
answered with its seller's name where that was in the ten seconds before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from benchmarks.nexmark.events import AUCTIONS, BIDS, NEW_AUCTIONS, NEW_BIDS, NEW_PERSONS, PERSONS, ROUND, auctions, bids, persons
from benchmarks.pipeline.topics import Feed
from streams.sections import Source

SPAN_MS = 10_000


@dataclass(frozen=True)
class Query:
    """`feeds(events)`: what goes in for so many of Nexmark's events, a feed a source, the driving one last. `features` is our SQL, `flink`
    the peer's SELECT, `reference` DuckDB's; `answers` their columns beside i, with the peer's types."""

    name: str
    sources: Sequence[Source]
    feeds: Callable[[int], Sequence[Feed]]
    features: str
    flink: str
    reference: str
    answers: Mapping[str, str]
    share: int = 1  # a query of few of the events gets so many times as many

    def expected(self, feeds: Sequence[Feed]) -> pa.Table:
        """What DuckDB says the rows are, sorted by i."""
        with duckdb.connect() as connection:
            for feed in feeds:
                connection.register(feed.source.name, feed.table)
            return connection.sql(f"SELECT i, {', '.join(self.answers)} FROM ({self.reference}) ORDER BY i").to_arrow_table()


Q5 = Query(
    "q5",
    [BIDS],
    lambda events: [bids(events * NEW_BIDS // ROUND)],
    """
SELECT i, auction, price, count(*) OVER w AS bids, max(price) OVER w AS highest
FROM bids
WINDOW w AS (PARTITION BY auction ORDER BY placed_at ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW)
""",
    """
SELECT i, auction, price, COUNT(*) OVER w AS bids, MAX(price) OVER w AS highest
FROM bids
WINDOW w AS (PARTITION BY auction ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW)
""",
    f"""
SELECT i, auction, price, count(*) OVER w AS bids, max(price) OVER w AS highest
FROM bids
WINDOW w AS (PARTITION BY auction ORDER BY placed_at RANGE BETWEEN {SPAN_MS} PRECEDING AND CURRENT ROW)
""",
    dict.fromkeys(("auction", "price", "bids", "highest"), "BIGINT"),
)

Q8 = Query(
    "q8",
    [PERSONS, AUCTIONS],
    lambda events: [persons(events * NEW_PERSONS // ROUND), auctions(events * NEW_AUCTIONS // ROUND)],
    f"""
SELECT auctions.i AS i, seller,
       CASE WHEN persons.registered_at >= auctions.opened_at - {SPAN_MS} THEN persons.name END AS name
FROM auctions LAST JOIN persons ORDER BY persons.registered_at ON auctions.seller = persons.id
""",
    """
SELECT auctions.i AS i, seller, persons.name AS name
FROM auctions LEFT JOIN persons ON auctions.seller = persons.id AND persons.ts BETWEEN auctions.ts - INTERVAL '10' SECOND AND auctions.ts
""",
    f"""
SELECT auctions.i AS i, seller, persons.name AS name
FROM auctions LEFT JOIN persons ON auctions.seller = persons.id AND persons.registered_at BETWEEN auctions.opened_at - {SPAN_MS} AND auctions.opened_at
""",
    {"seller": "BIGINT", "name": "STRING"},
    share=5,
)

QUERIES = {query.name: query for query in (Q5, Q8)}
