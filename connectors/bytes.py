# mypy: disable-error-code="import-untyped"
"""Several bytes at once inside compiled loops: numba's slice assignment looks for overlaps and then copies one by one."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def _copy(typingctx, out, p, source, at, size):  # type: ignore[no-untyped-def]
    if not all(isinstance(one, types.Array) and one.layout == "C" and one.dtype == types.uint8 for one in (out, source)):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        to, start = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2))
        cgutils.raw_memcpy(builder, builder.gep(to, [args[1]]), builder.gep(start, [args[3]]), args[4], 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.none(out, types.int64, source, types.int64, types.int64), codegen


copy: Any = _copy
"""copy(out, p, source, at, size): out[p : p + size] = source[at : at + size], of arrays that do not overlap; no bounds are checked."""


@intrinsic
def _eight(typingctx, source, at):  # type: ignore[no-untyped-def]
    if not (isinstance(source, types.Array) and source.layout == "C" and source.dtype == types.uint8):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(start, [args[1]]), ir.IntType(64).as_pointer())
        return builder.load(place, align=1)

    return types.uint64(source, types.int64), codegen


eight: Any = _eight
"""eight(source, at): source[at : at + 8] as one number, the first byte the lowest; no bounds are checked."""


@intrinsic
def _byte(typingctx, source, at):  # type: ignore[no-untyped-def]
    if not (isinstance(source, types.Array) and source.layout == "C" and source.dtype == types.uint8):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(start, [args[1]]))

    return types.uint8(source, types.int64), codegen


byte: Any = _byte
"""byte(source, at): source[at]; numba would look first whether `at` counts from the end, which takes as long as the rest."""
