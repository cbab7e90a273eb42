"""Two queries of Nexmark as features: one row out per bid, one row out per auction.

Query 5 asks which items are hot; here each bid is answered with how many its auction has had in the last ten seconds. (The greatest of all
auctions is not one row per event, and not in the dialect.) Query 8 asks who sells soon after having registered; here each auction is
answered with its seller's name where that was in the ten seconds before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from benchmarks.nexmark.events import AUCTIONS, PERSONS, ROUND, auctions, bids, persons
from benchmarks.pipeline.topics import Feed

SPAN_MS = 10_000


@dataclass(frozen=True)
class Query:
    """`feeds(events)`: what goes in for so many of Nexmark's events, the driving one last. `sources` is TOML, `features` our SQL, `flink`
    the peer's SELECT, `reference` DuckDB's."""

    name: str
    feeds: Callable[[int], Sequence[Feed]]
    time: dict[str, str]  # by source
    sources: str
    features: str
    flink: str
    reference: str
    columns: tuple[str, ...]
    share: int = 1  # a query of few of the events gets so many times as many

    def expected(self, feeds: Sequence[Feed]) -> pa.Table:
        """What DuckDB says the rows are, sorted by i."""
        with duckdb.connect() as connection:
            for feed in feeds:
                connection.register(feed.source, feed.table)
            return connection.sql(f"SELECT i, {', '.join(self.columns)} FROM ({self.reference}) ORDER BY i").to_arrow_table()


Q5 = Query(
    "q5",
    lambda events: [bids(events * (ROUND - PERSONS - AUCTIONS) // ROUND)],
    {"bids": "placed_at"},
    """
[sources.bids]
key = "auction"
time = "placed_at"
partitions = 4
[sources.bids.fields]
i = "BIGINT"
auction = "BIGINT"
bidder = "BIGINT"
price = "BIGINT"
channel = "STRING"
url = "STRING"
placed_at = "TIMESTAMP"
""",
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
    ("auction", "price", "bids", "highest"),
)

Q8 = Query(
    "q8",
    lambda events: [persons(events * PERSONS // ROUND), auctions(events * AUCTIONS // ROUND)],
    {"persons": "registered_at", "auctions": "opened_at"},
    """
[sources.persons]
key = "id"
time = "registered_at"
partitions = 4
[sources.persons.fields]
i = "BIGINT"
id = "BIGINT"
name = "STRING"
city = "STRING"
registered_at = "TIMESTAMP"

[sources.auctions]
key = "seller"
time = "opened_at"
partitions = 4
[sources.auctions.fields]
i = "BIGINT"
seller = "BIGINT"
category = "BIGINT"
reserve = "BIGINT"
opened_at = "TIMESTAMP"
""",
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
    ("seller", "name"),
    share=5,
)

QUERIES = {query.name: query for query in (Q5, Q8)}
