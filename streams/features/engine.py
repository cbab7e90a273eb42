"""Scalar expressions over a batch: one DuckDB query for all that are not plain columns, planned once.

The table of a query is a feed whose content changes with each batch while its schema stays, so the query is bound once and run many times.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count
from typing import Any

import duckdb
import pyarrow as pa

from streams.errors import FeatureError
from streams.features.host import prepare
from streams.features.kinds import Kind
from streams.features.scalar import Scalar
from streams.features.udf import Udfs

Columns = Mapping[str, pa.Array]


class _Feed:
    """An Arrow stream that is read anew at each run."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.table = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self.schema.__arrow_c_schema__()


class Engine:
    """One connection of one thread: results do not depend on how many cores there are. Opened for the first expression to compute."""

    def __init__(self, udfs: Udfs, expressions: Iterable[Scalar]) -> None:
        self._udfs, self._sql = udfs, " ".join(scalar.sql for scalar in expressions)
        self._names = count()

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={"threads": 1})
        connection.execute("SET TimeZone = 'UTC'")
        prepare(connection, self._udfs, self._sql)
        return connection

    def query(self, scalars: Sequence[tuple[str, Scalar]], kinds: Mapping[str, Kind]) -> Query:
        """The named expressions over columns of these types."""
        return Query(lambda: self._connection, f"feed{next(self._names)}", scalars, kinds)


@dataclass(frozen=True)
class _Output:
    ref: str
    scalar: Scalar


class Query:
    """Named expressions; plain columns pass by without the engine."""

    def __init__(
        self,
        connect: Callable[[], duckdb.DuckDBPyConnection],
        feed: str,
        scalars: Sequence[tuple[str, Scalar]],
        kinds: Mapping[str, Kind],
    ) -> None:
        self.outputs = tuple(_Output(ref, scalar) for ref, scalar in scalars)
        computed = [output for output in self.outputs if output.scalar.column is None]
        self._computed: dict[str, int] = {}
        for output in computed:
            self._computed.setdefault(output.scalar.sql, len(self._computed))
        self._needed = sorted(set().union(*(output.scalar.refs for output in computed))) if computed else []
        if not computed:
            return
        self._connection = connection = connect()
        fields = [pa.field(ref, _fed(kinds[ref])) for ref in self._needed] or [pa.field("one", pa.int8())]
        self._feed = _Feed(pa.schema(fields))
        connection.register(feed, self._feed)
        listed = ", ".join(f"{sql} AS o{i}" for sql, i in self._computed.items())
        tried = ", ".join(f"TRY({sql}) AS o{i}" for sql, i in self._computed.items())
        self._statement, self._guarded = f"EXECUTE ask_{feed}", f"SELECT {tried} FROM {feed}"
        try:
            connection.execute(f"PREPARE ask_{feed} AS SELECT {listed} FROM {feed}")
        except duckdb.Error as error:
            raise FeatureError(f"An expression of the features cannot be computed: {_first(error)}") from error

    @property
    def refs(self) -> frozenset[str]:
        return frozenset().union(*(output.scalar.refs for output in self.outputs)) if self.outputs else frozenset()

    def run(self, columns: Columns, rows: int) -> dict[str, pa.Array]:
        """The outputs for `rows` rows, by name, as arrays of their types."""
        answered = self._evaluate(columns, rows)
        found: dict[str, pa.Array] = {}
        for output in self.outputs:
            scalar = output.scalar
            if scalar.column is not None:
                found[output.ref] = columns[scalar.column]
                continue
            found[output.ref] = typed(answered.column(self._computed[scalar.sql]), scalar.kind) if answered is not None else None
        return found

    def _evaluate(self, columns: Columns, rows: int) -> pa.Table | None:
        if not self._computed:
            return None
        if self._needed:
            arrays = [_feedable(columns[ref], field.type) for ref, field in zip(self._needed, self._feed.schema, strict=True)]
        else:
            arrays = [pa.nulls(rows, pa.int8())]
        self._feed.table = pa.table(arrays, schema=self._feed.schema)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")  # a relation would be planned anew at each run
            try:
                answered = self._connection.execute(self._statement).to_arrow_table()
            except duckdb.Error:  # one row's value: NULL in that row alone, as every error of a row is
                answered = self._connection.execute(self._guarded).to_arrow_table()
        self._feed.table = self._feed.schema.empty_table()
        return answered


@cache
def fault(sql: str) -> str | None:
    """What is wrong with an expression of constants; None where it can be computed."""
    try:
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute(f"SELECT {sql}")
    except duckdb.Error as error:
        return _first(error).removeprefix("Invalid Input Error: ")
    return None


def _first(error: duckdb.Error) -> str:
    return str(error).strip().splitlines()[0]


def flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One chunk."""
    if isinstance(array, pa.ChunkedArray):
        return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks() if array.num_chunks else pa.array([], array.type)
    return array


def typed(array: pa.Array | pa.ChunkedArray, kind: Kind) -> pa.Array:
    """An array of DuckDB as one of the column's type."""
    found = flat(array)
    wished = kind.arrow
    if found.type == wished:
        return found
    if kind.name == "TIMESTAMP" and found.type != pa.int64():
        found = found.cast(pa.int64())
    return found.cast(wished)


def _fed(kind: Kind) -> pa.DataType:
    if kind.name == "TIMESTAMP":
        return pa.int64()
    if kind.name == "LIST":
        return pa.list_(_fed(kind.of[0]))
    if kind.name == "MAP":
        return pa.struct([("keys", pa.list_(_fed(kind.of[0]))), ("values", pa.list_(_fed(kind.of[1])))])
    return kind.arrow


def _feedable(array: pa.Array | pa.ChunkedArray, wished: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if array.type == wished:
        return array
    if pa.types.is_timestamp(array.type) and wished == pa.int64() and isinstance(array, pa.Array):
        return array.view(pa.int64())
    return array.cast(wished)
