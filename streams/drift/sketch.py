"""Counts of a column in fixed bins: mergeable by addition, so that a window is the sum of its parts, however rows were batched.

The bins of a number are the reference's quantiles, from its smallest value to its greatest, and one on either side: the counts are its
exact distribution function at those places. The bins of a word are the reference's words. Two more slots count NULL (with NaN) and what
the reference never had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streams.types import Int64

Float64 = npt.NDArray[np.float64]

BINS = 128
WORDS = 100  # beyond them, a word counts as OTHER
WORD_ROWS = 10  # of the reference that a word then has at least: among very many, those with fewer lead by chance alone
OTHER = "(other)"


@dataclass(frozen=True)
class Bins:
    """Where a column's values fall. Numbers: bin i holds edges[i-1] < v <= edges[i], the first and the last what is not in [low, high].

    Slots: the bins, then NULL, then outside. A reference without a number has no edges, and its low is above its high.
    """

    name: str
    edges: tuple[float, ...] | None
    words: tuple[str, ...] | None
    low: float = 0.0
    high: float = 0.0

    @property
    def bins(self) -> int:
        return len(self.words) if self.words is not None else len(self.edges or ()) + 1

    @property
    def slots(self) -> int:
        return self.bins + 2

    def counts(self, column: pa.ChunkedArray, group: Int64, groups: int) -> Int64:
        """Counts [groups, slots]; `group[i]` is the group of row i. A number outside [low, high] is in an end bin and in the last slot."""
        codes, outside = self._words(column) if self.words is not None else self._numbers(column)
        found = np.bincount(group * self.slots + codes, minlength=groups * self.slots).reshape(groups, self.slots).astype(np.int64)
        if outside is not None and outside.any():
            found[:, -1] += np.bincount(group[outside], minlength=groups)
        return found

    def compared(self, counts: Int64) -> Int64:
        """What a distance is taken of: all values, those that the reference never had as one more word, and no NULL."""
        return counts[: self.bins] if self.words is None else np.delete(counts, self.bins)

    def _words(self, column: pa.ChunkedArray) -> tuple[Int64, None]:
        assert self.words is not None
        text = column.cast(pa.string())
        places = pc.index_in(text, value_set=pa.array(self.words, pa.string()), skip_nulls=True)
        unknown = self.words.index(OTHER) if OTHER in self.words else self.bins + 1
        codes = pc.if_else(pc.is_null(text), self.bins, pc.fill_null(places, unknown))
        return codes.to_numpy().astype(np.int64), None

    def _numbers(self, column: pa.ChunkedArray) -> tuple[Int64, npt.NDArray[np.bool_]]:
        values = as_numbers(column)
        codes = np.searchsorted(np.array(self.edges, np.float64), values, side="left").astype(np.int64)
        missing = np.isnan(values)
        codes[missing] = self.bins
        return codes, (values < self.low) | (values > self.high)

    def value(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "edges": None if self.edges is None else list(self.edges),
            "words": None if self.words is None else list(self.words),
            "low": self.low,
            "high": self.high,
        }

    @staticmethod
    def of(value: dict[str, Any]) -> Bins:
        edges, words = value["edges"], value["words"]
        return Bins(
            value["name"],
            None if edges is None else tuple(edges),
            None if words is None else tuple(words),
            value["low"],
            value["high"],
        )


def as_numbers(column: pa.ChunkedArray) -> Float64:
    """A numeric, BOOL, DATE or TIMESTAMP column as float64, the nearest one where a BIGINT has more digits; NULL is NaN."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    elif pa.types.is_date(column.type):
        column = column.cast(pa.int32())
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def bins_of(name: str, column: pa.ChunkedArray) -> Bins:
    """The bins of a reference column."""
    if is_text(column):
        counted = pc.value_counts(pc.drop_null(column.combine_chunks())).to_pylist()
        ranked = sorted(counted, key=lambda one: (-one["counts"], one["values"]))
        if len(ranked) <= WORDS:
            return Bins(name, None, tuple(sorted(one["values"] for one in ranked)))
        words = sorted(one["values"] for one in ranked[:WORDS] if one["counts"] >= WORD_ROWS)
        return Bins(name, None, (*words, OTHER))
    values = as_numbers(column)
    values = values[np.isfinite(values)]
    if not len(values):
        return Bins(name, (), None, 0.0, -1.0)
    distinct = np.unique(values)
    if len(distinct) > BINS:
        places = np.linspace(0, len(values) - 1, BINS + 1).astype(np.int64)[1:]
        distinct = np.unique(np.sort(values)[places])
    low, high = float(values.min()), float(values.max())
    return Bins(name, (float(np.nextafter(low, -np.inf)), *distinct.tolist()), None, low, high)


def coarse(bins: Bins, counts: Int64, most: int = 20) -> dict[str, Any]:
    """A sketch small enough for every check's record: at most `most` bars, with NULL and outside, which is in no bar.

    Of the numbers outside, `below` says how many are smaller than all of the reference.
    """
    found: dict[str, Any] = {"missing": int(counts[-2]), "outside": int(counts[-1])}
    if bins.words is not None:
        inner = counts[: bins.bins]
        top = np.argsort(-inner, kind="stable")[:most]
        rest = int(inner.sum() - inner[top].sum())
        return {**found, "words": [bins.words[i] for i in top] + ["(rest)"], "counts": [int(inner[i]) for i in top] + [rest]}
    if not bins.edges:
        return {**found, "below": 0, "edges": [], "counts": []}
    inner = counts[1 : bins.bins - 1]
    ends = np.unique(np.linspace(0, len(inner), min(most, len(inner)) + 1).astype(np.int64))[1:]
    sums = np.diff(np.concatenate([[0], np.cumsum(inner)[ends - 1]]))
    edges = [bins.low, *(bins.edges[end] for end in ends)]
    return {**found, "below": int(counts[0]), "edges": edges, "counts": [int(one) for one in sums]}
