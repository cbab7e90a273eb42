# mypy: disable-error-code="import-untyped"
"""Bytes inside compiled loops, with no look whether an index counts from the end or two arrays overlap, as numba takes at each access.

A buffer is an array of bytes, or its address (`array.ctypes.data`): an array that is handed to another compiled function has its
references counted, in two atomic steps that cost more than most of what such a function does; an address has none. Nothing here looks
at bounds, and who works with an address holds the array meanwhile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

EACH, TOP = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)  # of eight bytes the lowest bit, the highest


def _is_buffer(one: Any) -> bool:
    return isinstance(one, types.Integer) or (isinstance(one, types.Array) and one.layout == "C" and one.dtype == types.uint8)


def _place(context: Any, builder: Any, kind: Any, buffer: Any, at: Any) -> Any:
    if isinstance(kind, types.Array):
        start = context.make_array(kind)(context, builder, buffer).data
    else:
        start = builder.inttoptr(buffer, ir.IntType(8).as_pointer())
    return builder.gep(start, [at])


@intrinsic
def _copy(typingctx, out, p, source, at, size):  # type: ignore[no-untyped-def]
    if not (_is_buffer(out) and _is_buffer(source)):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        to = _place(context, builder, signature.args[0], args[0], args[1])
        cgutils.raw_memcpy(builder, to, _place(context, builder, signature.args[2], args[2], args[3]), args[4], 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.none(out, types.int64, source, types.int64, types.int64), codegen


@intrinsic
def _eight(typingctx, buffer, at):  # type: ignore[no-untyped-def]
    if not _is_buffer(buffer):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = _place(context, builder, signature.args[0], *args)
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(buffer, types.int64), codegen


@intrinsic
def _byte(typingctx, buffer, at):  # type: ignore[no-untyped-def]
    if not _is_buffer(buffer):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load(_place(context, builder, signature.args[0], *args))

    return types.uint8(buffer, types.int64), codegen


@intrinsic
def _put(typingctx, out, p, value):  # type: ignore[no-untyped-def]
    if not _is_buffer(out):
        return None

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.store(args[2], _place(context, builder, signature.args[0], args[0], args[1]))
        return context.get_dummy_value()

    return types.none(out, types.int64, types.uint8), codegen


copy: Any = _copy
"""copy(out, p, source, at, size): out[p : p + size] = source[at : at + size], which do not overlap."""
eight: Any = _eight
"""eight(buffer, at): buffer[at : at + 8] as one number, the first byte the lowest."""
byte: Any = _byte
"""byte(buffer, at): buffer[at]."""
put: Any = _put
"""put(out, p, value): out[p] = value."""
