"""What travels between the steps: column types, batches in log order, and the records of every topic.

A batch is columnar from end to end: Arrow tables whose rows stand in the order of the log, never a Python object per event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64 = npt.NDArray[np.int64]


class Type(StrEnum):
    """The column types of a schema, named as in the feature SQL."""

    BOOL = "BOOL"
    SMALLINT = "SMALLINT"
    INT = "INT"
    BIGINT = "BIGINT"
    FLOAT = "FLOAT"
    DOUBLE = "DOUBLE"
    STRING = "STRING"
    TIMESTAMP = "TIMESTAMP"
    DATE = "DATE"

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that holds it; TIMESTAMP is milliseconds since the epoch, UTC, without a zone."""
        return _ARROW[self]


_ARROW: dict[Type, pa.DataType] = {
    Type.BOOL: pa.bool_(),
    Type.SMALLINT: pa.int16(),
    Type.INT: pa.int32(),
    Type.BIGINT: pa.int64(),
    Type.FLOAT: pa.float32(),
    Type.DOUBLE: pa.float64(),
    Type.STRING: pa.string(),
    Type.TIMESTAMP: pa.timestamp("ms"),
    Type.DATE: pa.date32(),
}

Schema = Mapping[str, Type]

PARTITION = "_partition"  # int32: the partition a row was read from
OFFSET = "_offset"  # int64: its offset there
TIME = "_time"  # int64: its event time, milliseconds since the epoch


@dataclass(frozen=True)
class Batch:
    """Rows of several inputs in one total order.

    `tables[name]` has the input's columns and the three meta columns PARTITION, OFFSET and TIME.
    `order[name][i]` is the place of row i of that table in the merged order: over all inputs, a permutation of 0..rows-1,
    ascending within each input.
    """

    tables: Mapping[str, pa.Table]
    order: Mapping[str, Int64]

    @property
    def rows(self) -> int:
        return sum(len(places) for places in self.order.values())

    def counts(self, topics: Mapping[str, str]) -> dict[str, int]:
        """Rows by topic; `topics` has the topic of each input."""
        return {topics[name]: len(places) for name, places in self.order.items() if len(places)}


@dataclass(frozen=True)
class Output:
    """Rows to be written to one topic: `table` becomes one JSON object a row.

    `key` names the column whose text is the record's key (None: no key), `partition` and `time` have one value a row
    (time: milliseconds since the epoch, the record's timestamp). `tombstones[i]` writes row i as its key with no value.
    """

    table: pa.Table
    key: str | None
    partition: npt.NDArray[np.int32]
    time: Int64
    tombstones: npt.NDArray[np.bool_] | None = None


Outputs = Mapping[str, Output]


@dataclass(frozen=True)
class Position:
    """One record's place in the log; printed as `flights.departures[3]@1042`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True)
class OffsetRange:
    """Offsets [start, end) of one partition."""

    topic: str
    partition: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.start}..{self.end}"


@dataclass(frozen=True)
class Late:
    """Rows that came after their place in the order had gone by; they were answered, with what they missed.

    `input` names the input, `rows` index its table in the batch, `behind_ms[i]` says by how much event i was behind.
    """

    input: str
    rows: Int64
    behind_ms: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
