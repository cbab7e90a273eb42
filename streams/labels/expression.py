"""The label as SQL over the label source's columns, evaluated by DuckDB on whole batches."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from streams.errors import ProjectError
from streams.types import Schema


class Expression:
    """`sql` gives true, false or NULL (no label in this event) for each row; refused at once when it does not fit the columns.

    NULL too where it fails on a row, as a CAST of a text that is no number does: the other rows have their labels.

    >>> from streams.types import Type
    >>> late = Expression("arr_delay > 15", {"arr_delay": Type.DOUBLE}, "arrivals")
    >>> late.values(pa.table({"arr_delay": [20.0, 3.0, None]})).to_pylist()
    [True, False, None]
    """

    def __init__(self, sql: str, schema: Schema, source: str) -> None:
        self.sql = sql
        self._connection = duckdb.connect(":memory:", config={"enable_external_access": "false", "threads": "1"})
        self._query = f"SELECT TRY(({sql})) AS label FROM events"
        self._names = list(schema)
        empty = pa.schema([pa.field(name, kind.arrow) for name, kind in schema.items()]).empty_table()
        try:
            kind = self.values(empty).type
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ProjectError(f"[model] labels: value = {sql!r} is no condition over {source} ({', '.join(schema)}): {reason}") from error
        if not pa.types.is_boolean(kind):
            raise ProjectError(
                f"[model] labels: value = {sql!r} gives {kind}, and true or false is wished: write a condition, such as delay > 15 or verdict = 'fraud'."
            )

    def values(self, rows: pa.Table) -> pa.ChunkedArray:
        """One boolean or NULL a row."""
        self._connection.register("events", rows.select(self._names))
        try:
            found = self._connection.sql(self._query).to_arrow_table()
        finally:
            self._connection.unregister("events")
        return found.column("label")
