"""A store's state as bytes: live rows and deque entries packed one after the other, whatever their rings looked like."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import TYPE_CHECKING

import numba
import numpy as np
import pyarrow as pa

from streams.errors import StateError
from streams.features.kernel import rings
from streams.features.kernel.digits import WIDE, WIDE_WORDS
from streams.features.kernel.extremes import BACK, FRONT
from streams.features.kernel.layout import BASE, BOTTOM, CAPACITY, D_PLACE, DEQUE, TAIL
from streams.features.spec import Store
from streams.types import Int64, Type

if TYPE_CHECKING:
    from streams.features.kernel.memory import Keep
    from streams.features.kernel.vocabulary import Vocabulary

MAGIC = b"driftline windows 1\n"


@numba.njit(cache=True)
def _gather(state, words, keys, at, first, end, arena, width, out):  # type: ignore[no-untyped-def]
    """Copy the lines first..end-1 (places in a key's state) of each key's ring at `at` one after the other."""
    n = 0
    for key in keys:
        line = key * words
        base, capacity = state[line + at], state[line + at + 1]
        for seq in range(state[line + first], state[line + end]):
            place = (base + (seq & (capacity - 1))) * width
            for i in range(width):
                out[n + i] = arena[place + i]
            n += width


@numba.njit(cache=True)
def _scatter(state, words, keys, at, first, end, arena, ledger, width, data):  # type: ignore[no-untyped-def]
    """The way back: a run for each key, and its lines in it. The arena has room for all of them."""
    n = 0
    for key in keys:
        line = key * words
        held = state[line + end] - state[line + first]
        if state[line + at + 1] == 0:  # never had any
            continue
        capacity = rings.capacity_for(held)
        base = rings.allocate(arena, ledger, width, capacity)
        state[line + at], state[line + at + 1] = base, capacity
        for seq in range(state[line + first], state[line + end]):
            place = (base + (seq & (capacity - 1))) * width
            for i in range(width):
                arena[place + i] = data[n + i]
            n += width


@numba.njit(cache=True)
def _release(state, words, keys, at, arena, ledger, width):  # type: ignore[no-untyped-def]
    for key in keys:
        line = key * words
        if state[line + at + 1] > 0:
            rings.release(arena, ledger, width, state[line + at], state[line + at + 1])


def fingerprint(store: Store) -> str:
    return hashlib.sha256(repr((store.columns, store.windows)).encode()).hexdigest()[:16]


def _texts(store: Store) -> list[int]:
    return [c for c, type in enumerate(store.columns) if type is Type.STRING]


def _deques(keep: Keep) -> list[int]:
    return [int(place) for place in keep.plan.deques[D_PLACE::DEQUE]]


def pack(store: Store, keep: Keep, vocabulary: Vocabulary, keys: Int64 | None) -> bytes:
    keys = np.arange(keep.count) if keys is None else np.unique(np.asarray(keys, np.int64))
    keys = keys[(keys >= 0) & (keys < keep.count)]
    lines = keep.state.reshape(-1, keep.words)[keys]
    blocks: list[Int64] = [keys, lines.reshape(-1)]
    width = keep.rows.width
    rows = np.empty(int((lines[:, TAIL] - lines[:, BOTTOM]).sum()) * width, np.int64)
    _gather(keep.state, keep.words, keys, BASE, BOTTOM, TAIL, keep.rows.array, width, rows)
    words: list[str] = []
    table = rows.reshape(-1, width)
    for c in _texts(store):
        values, mask = table[:, width - len(store.columns) + c], table[:, 1 + (c >> 6)] >> (c & 63) & 1
        used, places = np.unique(np.where(mask, values, -1), return_inverse=True)
        values[:] = np.where(mask, places + len(words), 0)
        words.extend("" if code < 0 else vocabulary.words[code] for code in used.tolist())
    blocks.append(rows)
    for place in _deques(keep):
        entries = np.empty(2 * int((lines[:, place + BACK] - lines[:, place + FRONT]).sum()), np.int64)
        _gather(keep.state, keep.words, keys, place, place + FRONT, place + BACK, keep.marks.array, 2, entries)
        blocks.append(entries)
    wide = lines[:, keep.entries + WIDE].reshape(-1)
    blocks.append(keep.wide.reshape(-1, WIDE_WORDS)[wide[wide >= 0]].reshape(-1))
    body = b"".join(np.ascontiguousarray(block).tobytes() for block in blocks)
    text = json.dumps(words).encode()
    header = {
        "store": fingerprint(store),
        "blocks": [len(block) for block in blocks],
        "text": len(text),
        "sha256": hashlib.sha256(body + text).hexdigest(),
    }
    packed: bytes = pa.compress(body + text, codec="lz4", asbytes=True)
    return MAGIC + json.dumps(header).encode() + b"\n" + packed


def unpack(store: Store, keep: Keep, vocabulary: Vocabulary, state: bytes) -> None:
    blocks, words = _read(store, state)
    keys, lines = blocks[0], blocks[1].reshape(-1, keep.words).copy()
    if len(keys) == 0:
        return
    known = keys[keys < keep.count]
    _release(keep.state, keep.words, known, BASE, keep.rows.array, keep.rows.ledger, keep.rows.width)
    for place in _deques(keep):
        _release(keep.state, keep.words, known, place, keep.marks.array, keep.marks.ledger, 2)
    keep.free_wide(known)
    keep.keys(int(keys.max()) + 1)

    width = keep.rows.width
    rows = blocks[2].copy()
    table = rows.reshape(-1, width)
    codes = np.array([vocabulary.code(word) for word in words] or [0], np.int64)
    for c in _texts(store):
        values = table[:, width - len(store.columns) + c]
        values[:] = np.where(table[:, 1 + (c >> 6)] >> (c & 63) & 1, codes[values], 0)

    wide = blocks[-1].reshape(-1, WIDE_WORDS)
    places = lines[:, keep.entries + WIDE]
    places[places >= 0] = keep.take_wide(wide)
    lines[:, keep.entries + WIDE] = places
    keep.state.reshape(-1, keep.words)[keys] = lines

    keep.rows.reserve(_runs(lines, BASE, BOTTOM, TAIL))
    _scatter(keep.state, keep.words, keys, BASE, BOTTOM, TAIL, keep.rows.array, keep.rows.ledger, width, rows)
    for place, entries in zip(_deques(keep), blocks[3:-1], strict=True):
        keep.marks.reserve(_runs(lines, place, place + FRONT, place + BACK))
        _scatter(keep.state, keep.words, keys, place, place + FRONT, place + BACK, keep.marks.array, keep.marks.ledger, 2, entries)


def _runs(lines: Int64, at: int, first: int, end: int) -> int:
    """Lines that the rings take."""
    held = np.maximum(lines[:, end] - lines[:, first], rings.SMALLEST)[lines[:, at + CAPACITY] > 0]
    return int((2 ** np.ceil(np.log2(held))).sum()) if len(held) else 0


def _read(store: Store, state: bytes) -> tuple[list[Int64], list[str]]:
    try:
        end = state.index(b"\n", len(MAGIC))
        header = json.loads(state[len(MAGIC) : end])
        sizes, text = [int(n) for n in header["blocks"]], int(header["text"])
        body = pa.decompress(state[end + 1 :], decompressed_size=8 * sum(sizes) + text, codec="lz4", asbytes=True)
        whole = state.startswith(MAGIC) and hashlib.sha256(body).hexdigest() == header["sha256"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StateError(f"a snapshot of window state cannot be read ({error}); set it aside and replay the log") from error
    if not whole:
        raise StateError("a snapshot of window state is damaged: its sha256 differs; set it aside and replay the log")
    if header["store"] != fingerprint(store):
        raise StateError("a snapshot of window state is of other windows or columns than these; set it aside and replay the log")
    numbers = np.frombuffer(body, np.int64, sum(sizes))
    cuts = np.cumsum([0, *sizes])
    return [numbers[a:b] for a, b in pairwise(cuts.tolist())], json.loads(body[8 * sum(sizes) :])
