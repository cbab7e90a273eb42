"""Keys of any type to dense ids: the same key has the same id for as long as the index lives, and NULL is a key like any other."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streams.errors import StateError
from streams.types import Int64

_NAN = object()  # NaN equals itself here


class KeyIndex:
    """Ids 0, 1, 2, ... in order of first appearance. One or several key columns; NaN equals NaN, NULL equals NULL."""

    def __init__(self) -> None:
        self._ids: dict[object, int] = {}
        self._types: list[pa.DataType] = []

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self, columns: Sequence[pa.Array | pa.ChunkedArray], *, add: bool = True) -> Int64:
        """The id of each row. With `add` false a key not seen before gets -1 and is not kept."""
        flat = [_flat(column) for column in columns]
        if not self._types:
            self._types = [column.type for column in flat]
        codes, distinct = _encoded(flat)
        ids = self._ids
        if add:
            table = np.fromiter((ids.setdefault(key, len(ids)) for key in distinct), np.int64, len(distinct))
        else:
            table = np.fromiter((ids.get(key, -1) for key in distinct), np.int64, len(distinct))
        return table[codes]

    def snapshot(self) -> bytes:
        """The keys in order of their ids, as an Arrow stream."""
        keys = list(self._ids) if len(self._types) < 2 else list(zip(*self._ids, strict=True))
        columns: list[Sequence[object]] = [keys] if len(self._types) == 1 else [*keys] or [[] for _ in self._types]  # type: ignore[list-item]
        arrays = [_array(values, type) for values, type in zip(columns, self._types, strict=True)]
        table = pa.Table.from_arrays(arrays, [str(i) for i in range(len(arrays))])
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(table)
        return sink.getvalue()

    def restore(self, state: bytes) -> None:
        """Take the keys that `snapshot` gave, in place of those here. Raises StateError if they cannot be read."""
        try:
            with pa.ipc.open_stream(state) as reader:
                table = reader.read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise StateError(f"a snapshot of keys cannot be read ({error}); set it aside and replay the log") from error
        columns = [_flat(column) for column in table.columns]
        self._types = [column.type for column in columns]
        lists = [_keys(column) for column in columns]
        keys = lists[0] if len(lists) == 1 else list(zip(*lists, strict=True))
        self._ids = {key: i for i, key in enumerate(keys)}


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if pa.types.is_temporal(column.type):  # as numbers: Python has no date beyond the year 9999
        return column.view(pa.int64() if pa.types.is_timestamp(column.type) else pa.int32())
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _keys(column: pa.Array | pa.ChunkedArray) -> list[object]:
    values: list[object] = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [_NAN if value != value else value for value in values]
    return values


def _array(values: Sequence[object], type: pa.DataType) -> pa.Array:
    return pa.array([float("nan") if value is _NAN else value for value in values], type)


def _coded(column: pa.Array) -> tuple[Int64, pa.Array]:
    coded = pc.dictionary_encode(column, null_encoding="encode")
    codes: npt.NDArray[np.int32] = coded.indices.to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), coded.dictionary


def _encoded(columns: Sequence[pa.Array]) -> tuple[Int64, list[object]]:
    """A code for each row, and the key of each code; both in order of first appearance."""
    if not columns:
        raise StateError("a key needs at least one column")
    codes, dictionary = _coded(columns[0])
    if len(columns) == 1:
        return codes, _keys(dictionary)
    lists = [_keys(dictionary)]
    for column in columns[1:]:
        more, dictionary = _coded(column)
        size = max(len(dictionary), 1)
        codes, pairs = _coded(pa.array(codes * size + more))
        both = pairs.to_numpy(zero_copy_only=False)
        own = _keys(dictionary)
        before, here = (both // size).tolist(), (both % size).tolist()
        lists = [[known[i] for i in before] for known in lists] + [[own[i] for i in here]]
    return codes, list(zip(*lists, strict=True))
