"""Persons, auctions and bids of an auction house, after Nexmark's generator (https://github.com/nexmark/nexmark): of fifty events one is a new
person, three are new auctions and 46 are bids; every second bid goes to the auction that is hot just then, three auctions of four are of a
hot seller.

In order of time, no two at once, so that each answer is one; and so far apart that an auction is bid on for longer than query 5 looks back.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.pipeline.topics import PARTITIONS, Feed
from streams.sections import Source
from streams.types import Int64, Type

START = 1_700_000_000_000  # milliseconds since the epoch
ROUND, NEW_PERSONS, NEW_AUCTIONS, NEW_BIDS = 50, 1, 3, 46  # of so many events so many
STEP_MS = 10  # from event to event
HOT = 100  # every so many persons or auctions another one is hot
IN_FLIGHT, ACTIVE = 100, 1000  # bids go to one of the newest auctions, auctions are of one of the newest persons
BIDS = Source(
    "bids", time="placed_at", key="auction", partitions=PARTITIONS,
    fields={"i": Type.BIGINT, "auction": Type.BIGINT, "bidder": Type.BIGINT, "price": Type.BIGINT, "channel": Type.STRING, "url": Type.STRING,
            "placed_at": Type.TIMESTAMP},
)  # fmt: skip
AUCTIONS = Source(
    "auctions", time="opened_at", key="seller", partitions=PARTITIONS,
    fields={"i": Type.BIGINT, "seller": Type.BIGINT, "category": Type.BIGINT, "reserve": Type.BIGINT, "opened_at": Type.TIMESTAMP},
)  # fmt: skip
PERSONS = Source(
    "persons", time="registered_at", key="id", partitions=PARTITIONS,
    fields={"i": Type.BIGINT, "id": Type.BIGINT, "name": Type.STRING, "city": Type.STRING, "registered_at": Type.TIMESTAMP},
)  # fmt: skip
CHANNELS = ("Google", "Facebook", "Baidu", "Apple")


def bids(count: int, seed: int = 7) -> Feed:
    """The first of them; prices in cents."""
    draw = np.random.default_rng(seed)
    number = np.arange(count, dtype=np.int64)
    rounds = number // NEW_BIDS
    auction = _chosen(draw, (rounds + 1) * NEW_AUCTIONS - 1, IN_FLIGHT, 2)
    bidder = _chosen(draw, rounds, ACTIVE, 4)
    channel = draw.integers(0, len(CHANNELS), count)
    table = pa.table(
        {
            "i": number,
            "auction": auction,
            "bidder": bidder,
            "price": np.round(10 ** (draw.random(count) * 6) * 100).astype(np.int64),
            "channel": pa.array([CHANNELS[c] for c in channel]),
            "url": pa.array([f"https://www.nexmark.com/item.htm?query=1&channel_id={n}" for n in draw.integers(0, 1 << 30, count)]),
            "placed_at": START + STEP_MS * (rounds * ROUND + NEW_PERSONS + NEW_AUCTIONS + number % NEW_BIDS),
        }
    )
    return Feed(BIDS, table, auction % PARTITIONS)


def auctions(count: int, seed: int = 8) -> Feed:
    """The first of them; reserves in cents."""
    draw = np.random.default_rng(seed)
    number = np.arange(count, dtype=np.int64)
    rounds = number // NEW_AUCTIONS
    seller = _chosen(draw, rounds, ACTIVE, 4, 3)
    table = pa.table(
        {
            "i": number,
            "seller": seller,
            "category": draw.integers(10, 15, count),
            "reserve": np.round(10 ** (draw.random(count) * 6) * 100).astype(np.int64),
            "opened_at": START + STEP_MS * (rounds * ROUND + NEW_PERSONS + number % NEW_AUCTIONS),
        }
    )
    return Feed(AUCTIONS, table, seller % PARTITIONS)


def persons(count: int, seed: int = 9) -> Feed:
    """The first of them."""
    draw = np.random.default_rng(seed)
    number = np.arange(count, dtype=np.int64)
    table = pa.table(
        {
            "i": number,
            "id": number,
            "name": pa.array([f"person {n:07d} of {m:03d}" for n, m in zip(number, draw.integers(0, 1000, count), strict=True)]),
            "city": pa.array([f"city {c:02d}" for c in draw.integers(0, 60, count)]),
            "registered_at": START + STEP_MS * (number * ROUND),
        }
    )
    return Feed(PERSONS, table, number % PARTITIONS)


def _chosen(draw: np.random.Generator, newest: Int64, recent: int, of: int, hot: int = 1) -> Int64:
    """`hot` of `of` times the last that is a multiple of HOT, else one of the `recent` newest."""
    any_of_them = newest - draw.integers(0, np.minimum(newest + 1, recent))
    found: Int64 = np.where(draw.integers(0, of, len(newest)) < hot, newest // HOT * HOT, any_of_them)
    return found
