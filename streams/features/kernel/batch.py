"""A batch on its way in, each key's rows brought together, and its answers on their way out, back in the order of the log."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from streams.features.kernel.words import NAN_BITS
from streams.types import Int64

STORED, ANSWERED = 1, 2  # a row's flags


class Batch(NamedTuple):
    """One batch, rearranged so that each key's rows stand together, in log order."""

    lines: Int64  # [place, word]: the row as it will stand in the ring, then its flags
    keys: Int64  # in order of appearance
    starts: Int64  # place of the first row of each, and the end


@numba.njit(cache=True)
def arrange(keys, times, flags, masks, values, is_float, mark, found, starts, lines, places):  # type: ignore[no-untyped-def]
    """Bring the rows of each key together without sorting; gives the number of keys. places[i]: where row i went.

    masks: [word, row]; values: [column, row], floats as bits. `mark` is -1 for every key, before and after.
    """
    n = 0
    for i in range(len(keys)):
        group = mark[keys[i]]
        if group < 0:
            group = n
            mark[keys[i]] = n
            found[n] = keys[i]
            starts[n] = 0
            n += 1
        places[i] = group
        starts[group] += 1
    total = 0
    for group in range(n):
        mark[found[group]] = -1
        total += starts[group]
        starts[group] = total - starts[group]
    for i in range(len(keys)):
        group = places[i]
        place = starts[group]
        starts[group] += 1
        places[i] = place
        lines[place, 0] = times[i]
        width = 1
        for m in range(masks.shape[0]):
            lines[place, width] = masks[m, i]
            width += 1
        for c in range(values.shape[0]):
            value = values[c, i]
            if is_float[c] and value & 0x7FFFFFFFFFFFFFFF > 0x7FF0000000000000:
                value = NAN_BITS  # one NaN for all
            lines[place, width] = value
            width += 1
        lines[place, width] = flags[i]
    for group in range(n, 0, -1):
        starts[group] = starts[group - 1]
    starts[0] = 0
    return n


@numba.njit(cache=True)
def spread_out(values, valid, places, out_values, out_valid):  # type: ignore[no-untyped-def]
    """Lines of outputs back to columns: out[o, j] is output o of the row at places[j]. `all_valid[o]` of what it gives."""
    all_valid = np.ones(values.shape[1], np.bool_)
    for j in range(len(places)):
        place = places[j]
        for o in range(values.shape[1]):
            out_values[o, j] = values[place, o]
            known = valid[place, o] != 0
            out_valid[o, j] = known
            all_valid[o] = all_valid[o] and known
    return all_valid
