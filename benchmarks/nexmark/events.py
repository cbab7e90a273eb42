"""Persons, auctions and bids of an auction house, after Nexmark's generator (https://github.com/nexmark/nexmark): of fifty events one is a new
person, three are new auctions and 46 are bids; every second bid goes to the auction that is hot just then, three auctions of four are of a
hot seller.

One event a millisecond in order of time, so that no two are equal in it and each answer is one.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.pipeline.topics import PARTITIONS, Feed
from streams.types import Int64

START = 1_700_000_000_000  # milliseconds since the epoch
ROUND, PERSONS, AUCTIONS = 50, 1, 3  # of so many events so many
HOT = 100  # every so many persons or auctions another one is hot
IN_FLIGHT, ACTIVE = 100, 1000  # bids go to one of the newest auctions, auctions are of one of the newest persons
CHANNELS = ("Google", "Facebook", "Baidu", "Apple")


def bids(count: int, seed: int = 7) -> Feed:
    """Columns i, auction, bidder, price (cents), channel, url, placed_at; keyed by auction."""
    draw = np.random.default_rng(seed)
    share = ROUND - PERSONS - AUCTIONS
    number = np.arange(count, dtype=np.int64)
    rounds = number // share
    auction = _chosen(draw, (rounds + 1) * AUCTIONS - 1, IN_FLIGHT, 2)
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
            "placed_at": START + rounds * ROUND + PERSONS + AUCTIONS + number % share,
        }
    )
    return Feed("bids", table, "auction", auction % PARTITIONS)


def auctions(count: int, seed: int = 8) -> Feed:
    """Columns i, seller, category, reserve (cents), opened_at; keyed by seller."""
    draw = np.random.default_rng(seed)
    number = np.arange(count, dtype=np.int64)
    rounds = number // AUCTIONS
    seller = _chosen(draw, rounds, ACTIVE, 4, 3)
    table = pa.table(
        {
            "i": number,
            "seller": seller,
            "category": draw.integers(10, 15, count),
            "reserve": np.round(10 ** (draw.random(count) * 6) * 100).astype(np.int64),
            "opened_at": START + rounds * ROUND + PERSONS + number % AUCTIONS,
        }
    )
    return Feed("auctions", table, "seller", seller % PARTITIONS)


def persons(count: int, seed: int = 9) -> Feed:
    """Columns i, id, name, city, registered_at; keyed by id."""
    draw = np.random.default_rng(seed)
    number = np.arange(count, dtype=np.int64)
    table = pa.table(
        {
            "i": number,
            "id": number,
            "name": pa.array([f"person {n:07d} of {m:03d}" for n, m in zip(number, draw.integers(0, 1000, count), strict=True)]),
            "city": pa.array([f"city {c:02d}" for c in draw.integers(0, 60, count)]),
            "registered_at": START + number * ROUND,
        }
    )
    return Feed("persons", table, "id", number % PARTITIONS)


def _chosen(draw: np.random.Generator, newest: Int64, recent: int, of: int, hot: int = 1) -> Int64:
    """`hot` of `of` times the last that is a multiple of HOT, else one of the `recent` newest."""
    any_of_them = newest - draw.integers(0, np.minimum(newest + 1, recent))
    found: Int64 = np.where(draw.integers(0, of, len(newest)) < hot, newest // HOT * HOT, any_of_them)
    return found
