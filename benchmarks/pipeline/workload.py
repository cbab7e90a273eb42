"""The work every engine does: payments by card, windows of one hour, one day and three days, one row out per payment in.

Events spread over ten days, so that every window evicts; a few percent arrive out of order by up to ten minutes. Event times are distinct, so
that engines which answer in event-time order and engines which answer as of arrival each have one right answer.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.pipeline.topics import PARTITIONS, Feed
from benchmarks.pipeline.windows import LATE_MS
from streams.sections import Source
from streams.types import Type

CARDS = 10_000
DAYS = 10
START = 1_700_000_000_000  # milliseconds since the epoch
SHUFFLED = 0.03
WINDOWS = {"1h": 3_600_000, "24h": 86_400_000, "3d": 259_200_000}
PAYMENTS = Source(
    "payments", time="paid_at", key="card", partitions=PARTITIONS,
    fields={"i": Type.BIGINT, "card": Type.STRING, "paid_at": Type.TIMESTAMP, "amount": Type.DOUBLE, "merchant": Type.STRING},
)  # fmt: skip
COLUMNS = [f"{name}_{window}" for window in WINDOWS for name in ("count", "sum", "avg")]


def payments(events: int, seed: int = 7) -> pa.Table:
    """Columns i, card, paid_at (ms), amount, merchant in order of arrival; deterministic for a seed."""
    draw = np.random.default_rng(seed)
    at = START + np.arange(events, dtype=np.int64) * (DAYS * 86_400_000 // events)
    shown = at + np.where(draw.random(events) < SHUFFLED, draw.integers(0, LATE_MS, events), 0)
    arrival = np.argsort(shown, kind="stable")
    cards = draw.integers(0, CARDS, events)
    return pa.table(
        {
            "i": np.arange(events, dtype=np.int64),
            "card": pa.array([f"card-{c:05d}-{c * 7919 % 9973:04d}" for c in cards]),
            "paid_at": at[arrival],
            "amount": np.round(draw.lognormal(3.0, 1.0, events), 2),
            "merchant": pa.array(
                [f"merchant-{m:04d} of the {m % 17:02d} district, terminal {m % 97:02d}" for m in draw.integers(0, 5000, events)]
            ),
        }
    )


def fed(table: pa.Table) -> Feed:
    """The payments as they go to their topic, each to the partition of its card."""
    cards = table.column("card")
    return Feed(PAYMENTS, table, pc.utf8_slice_codeunits(cards, 5, 10).cast(pa.int64()).to_numpy() % PARTITIONS)


def expected(table: pa.Table, order: str) -> pa.Table:
    """What DuckDB says the rows are, sorted by i. `order`: "arrival" (as of the log before the event) or "event_time"."""
    frames = []
    for window, ms in WINDOWS.items():
        if order == "event_time":
            over = f"(PARTITION BY card ORDER BY paid_at RANGE BETWEEN {ms} PRECEDING AND CURRENT ROW)"
            frames.append(f'count(*) OVER {over} AS "count_{window}", sum(amount) OVER {over} AS "sum_{window}"')
        else:
            own = f"r.paid_at BETWEEN p.paid_at - {ms} AND p.paid_at"
            frames.append(f'count(*) FILTER ({own}) AS "count_{window}", sum(r.amount) FILTER ({own}) AS "sum_{window}"')
    averages = ", ".join(f'"sum_{w}" / "count_{w}" AS "avg_{w}"' for w in WINDOWS)
    ordered = ", ".join(f'"{name}"' for name in COLUMNS)
    with duckdb.connect() as connection:
        connection.register("payments", table)
        if order == "event_time":
            inner = f"SELECT i, {', '.join(frames)} FROM payments"
        else:  # rows of the card that arrived before, or it
            inner = f"""SELECT p.i, {", ".join(frames)} FROM payments p JOIN payments r
                        ON r.card = p.card AND r.i <= p.i AND r.paid_at BETWEEN p.paid_at - {max(WINDOWS.values())} AND p.paid_at GROUP BY p.i"""
        return connection.sql(f"SELECT i, {ordered} FROM (SELECT *, {averages} FROM ({inner})) ORDER BY i").to_arrow_table()


def equal(table: pa.Table, reference: pa.Table) -> tuple[bool, int]:
    """Whether `table` (any order) has the reference's rows, and how many rows differ: counts exactly, sums and averages at 1e-9 relative."""
    got = table.sort_by("i")
    if len(got) != len(reference) or not np.array_equal(got["i"].to_numpy(), reference["i"].to_numpy()):
        return False, abs(len(got) - len(reference)) or len(reference)
    wrong = np.zeros(len(reference), bool)
    for name in COLUMNS:
        have, want = got[name].to_numpy().astype(float), reference[name].to_numpy().astype(float)
        wrong |= ~np.isclose(have, want, rtol=0 if name.startswith("count") else 1e-9, atol=0 if name.startswith("count") else 1e-9)
    return not wrong.any(), int(wrong.sum())
