"""Machine words for compiled code: leading zeros, the full product of two words, floats and their bits."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # what it makes is called by compiled code, with one argument less
MASK = np.uint64(0xFFFFFFFF)
U0, U1, U11, U32, U63, U64 = (np.uint64(n) for n in (0, 1, 11, 32, 63, 64))
NAN_BITS = 0x7FF8000000000000
MAX = 0x7FFFFFFFFFFFFFFF
MIN = -MAX - 1


@intrinsic
def leading_zeros(typingctx, word):  # type: ignore[no-untyped-def]
    """Of a uint64; 64 for zero."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@intrinsic
def product(typingctx, a, b):  # type: ignore[no-untyped-def]
    """(high, low) words of the product of two uint64."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        wide = ir.IntType(128)
        full = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        low = builder.trunc(full, ir.IntType(64))
        high = builder.trunc(builder.lshr(full, ir.Constant(wide, 64)), ir.IntType(64))
        return cgutils.pack_array(builder, [high, low])

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), codegen


@intrinsic
def float_of(typingctx, bits):  # type: ignore[no-untyped-def]
    """The float64 with these bits (an int64)."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def bits_of(typingctx, value):  # type: ignore[no-untyped-def]
    """The bits of a float64, as an int64."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def pointer(typingctx, array):  # type: ignore[no-untyped-def]
    """Where an array's data begins: passed about for nothing, where an array costs seven words and a reference count.

    The caller keeps the array alive.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def offset(typingctx, data, index):  # type: ignore[no-untyped-def]
    """The pointer to data[index]."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.gep(args[0], [args[1]])

    return data(data, types.int64), codegen


@intrinsic
def fetch_ahead(typingctx, data, index):  # type: ignore[no-untyped-def]
    """Ask for the cache line of data[index], which will be wanted soon. Any index will do."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        place = builder.bitcast(builder.gep(args[0], [args[1]]), byte)
        builder.call(prefetch, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(data, types.int64), codegen


@numba.njit(inline="always")
def power(exponent):  # type: ignore[no-untyped-def]
    """2 ** exponent, for -1022 <= exponent <= 1023."""
    return float_of((np.int64(exponent) + 1023) << 52)


@numba.njit(inline="always")
def rank_of(bits):  # type: ignore[no-untyped-def]
    """Float bits to an int64 of the same order: -inf < ... < -0.0 < 0.0 < ... < inf < NaN. It is its own inverse."""
    return bits ^ ((bits >> 63) & MAX)
