"""Keys of any type to dense ids: the same key has the same id for as long as the index lives, and NULL is a key like any other."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.errors import StateError
from streams.types import Int64


class KeyIndex:
    """Ids 0, 1, 2, ... in order of first appearance. One or several key columns; NaN equals NaN, NULL equals NULL."""

    def __init__(self) -> None:
        self._ids: dict[object, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self, columns: Sequence[pa.Array | pa.ChunkedArray], *, add: bool = True) -> Int64:
        """The id of each row. With `add` false a key not seen before gets -1 and is not kept."""
        codes, firsts = _encode(columns)
        table = np.empty(len(firsts), np.int64)
        picked = [_flat(column).take(pa.array(firsts)).to_pylist() for column in columns]
        for code, key in enumerate(picked[0] if len(picked) == 1 else zip(*picked, strict=True)):
            table[code] = self._ids.setdefault(key, len(self._ids)) if add else self._ids.get(key, -1)
        return table[codes] if len(firsts) else np.empty(0, np.int64)

    def snapshot(self) -> bytes:
        """The keys in order of their ids."""
        import pickle

        return pickle.dumps(list(self._ids))

    def restore(self, state: bytes) -> None:
        import pickle

        self._ids = {key: i for i, key in enumerate(pickle.load(io.BytesIO(state)))}


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column


def _encode(columns: Sequence[pa.Array | pa.ChunkedArray]) -> tuple[Int64, Int64]:
    """A code for each row, and for each code a row that has it."""
    if not columns:
        raise StateError("a key needs at least one column")
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        part = pc.dictionary_encode(_flat(column), null_encoding="encode")
        codes = codes * max(len(part.dictionary), 1) + part.indices.to_numpy(zero_copy_only=False)
        _, firsts, codes = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(firsts, kind="stable")  # ids in order of appearance
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], firsts[order]
