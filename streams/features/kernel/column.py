"""One value column as the kernel sees it: numbers, or codes into a dictionary of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streams.types import Type

BoolArray = npt.NDArray[np.bool_]

FLOATS = (Type.FLOAT, Type.DOUBLE)


@dataclass(frozen=True)
class Column:
    """`values`: int64 (BOOL as 0/1, DATE as days, TIMESTAMP as milliseconds since the epoch), float64 (FLOAT, DOUBLE), or int64
    codes into `words` (STRING). `valid`: where it is not NULL; None means everywhere. What stands in `values` at a NULL has no meaning.
    """

    values: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    valid: BoolArray | None = None
    words: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def from_arrow(cls, array: pa.Array | pa.ChunkedArray, type: Type) -> Column:
        """The column of an Arrow array whose type is `type.arrow` (or casts to it without loss)."""
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
        valid = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
        if type is Type.STRING:
            coded = array if pa.types.is_dictionary(array.type) else array.cast(pa.string()).dictionary_encode()
            codes = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
            return cls(codes, valid, coded.dictionary.to_pylist())
        if array.type != type.arrow:
            array = array.cast(type.arrow)
        if type in FLOATS:
            return cls(_filled(array, 0.0).to_numpy(zero_copy_only=False).astype(np.float64), valid)
        if type is Type.DATE:
            array = array.cast(pa.int32())
        elif type is Type.BOOL:
            array = array.cast(pa.int8())
        elif type is Type.TIMESTAMP:
            array = array.cast(pa.int64())
        return cls(_filled(array, 0).to_numpy(zero_copy_only=False).astype(np.int64), valid)

    def to_arrow(self, type: Type) -> pa.Array:
        """The Arrow array of `type.arrow`."""
        mask = None if self.valid is None else ~self.valid
        if type is Type.STRING:
            words = pa.array(self.words or (), pa.string())
            return words.take(pa.array(self.values, mask=mask))
        if type is Type.BOOL:
            return pa.array(self.values != 0, mask=mask)
        if type is Type.DATE:
            return pa.array(self.values.astype(np.int32), mask=mask).cast(pa.date32())
        if type is Type.TIMESTAMP:
            return pa.array(self.values, mask=mask).cast(pa.timestamp("ms"))
        return pa.array(self.values.astype(type.arrow.to_pandas_dtype()), mask=mask)


def _filled(array: pa.Array, value: float) -> pa.Array:
    return pc.fill_null(array, value) if array.null_count else array
