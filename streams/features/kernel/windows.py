"""Aggregates over the frames of a store: rows in the order of the log in, one value a window, aggregate and answered row out.

The values depend on each key's own rows in their order, and on nothing else: not on where batches were cut, on other keys, or on a
snapshot in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

import numpy as np

from streams.errors import FeatureError
from streams.features.kernel import snapshot
from streams.features.kernel.answer import Answers
from streams.features.kernel.batch import ANSWERED, STORED, Batch, arrange, spread_out
from streams.features.kernel.column import FLOATS, BoolArray, Column
from streams.features.kernel.engine import EMITTED_ROOM, run
from streams.features.kernel.layout import P_EMISSIONS, P_EMITTED, P_MASK, P_OUTPUTS, P_WIDTH, layout_of, name_of
from streams.features.kernel.memory import Keep, Usage
from streams.features.kernel.scans import SCANS, Call, Scan
from streams.features.kernel.text import Value
from streams.features.kernel.udaf import Udaf
from streams.features.kernel.vocabulary import Vocabulary
from streams.features.spec import Aggregate, Store
from streams.types import Int64, Type

_CHUNK = 65_536  # rows taken at a time; fewer where Python looks at every frame
_WORDS = 100_000  # of text, before it is looked at which are still in use


class WindowKernel:
    """One store and its windows. `spill` names a folder: the rows of the windows then live in files there, not in RAM."""

    def __init__(
        self,
        store: Store,
        udafs: Mapping[str, Udaf] = MappingProxyType({}),
        *,
        timezone: str = "UTC",
        spill: Path | None = None,
    ) -> None:
        self.store = store
        self._layout = layout_of(store)
        self._spill = spill
        self._keep = Keep(self._layout, spill)
        self._vocabulary = Vocabulary()
        self._words_allowed = _WORDS
        self._udafs = udafs
        self._zone = ZoneInfo(timezone)
        self._chunk = 256 if self._layout.scanned else _CHUNK
        self._overflows: Int64 = np.zeros(int(self._layout.plan.shape[P_OUTPUTS]), np.int64)
        for scanned in self._layout.scanned:
            if scanned.aggregate.function.startswith("udaf:") and scanned.aggregate.function[5:] not in udafs:
                raise FeatureError(
                    f"no aggregate `{scanned.aggregate.function[5:]}` is registered; there are {', '.join(sorted(udafs)) or 'none'}"
                )

    @property
    def overflows(self) -> int:
        """How many sums were NULL because their type could not hold them, since the kernel was made."""
        return int(self._overflows.sum())

    def memory(self) -> Usage:
        """What the state takes."""
        return self._keep.usage()

    def process(self, keys: Int64, times: Int64, stored: BoolArray, answered: BoolArray, columns: Sequence[Column]) -> list[list[Column]]:
        """`result[w][a]` has one row for each answered row, in their order.

        keys: dense ids >= 0. times: milliseconds. stored: whether the row is kept for later ones. answered: false for a row of a UNION.
        """
        rows = len(keys)
        if len(self._vocabulary.words) > self._words_allowed:
            self._compact()
        flags = stored * STORED + answered * ANSWERED
        values = np.empty((len(columns), rows), np.int64)
        masks = np.zeros((int(self._layout.plan.shape[P_MASK]), rows), np.int64)
        for c, column in enumerate(columns):
            if self.store.columns[c] is Type.STRING:
                values[c] = self._vocabulary.codes(column)
            elif self.store.columns[c] in FLOATS:
                values[c] = np.asarray(column.values, np.float64).view(np.int64)
            else:
                values[c] = column.values
            masks[c >> 6] |= (np.int64(1) if column.valid is None else column.valid.astype(np.int64)) << np.int64(c & 63)
        parts: list[list[list[Column]]] = []
        begin = 0
        while begin < rows or not parts:
            end = min(begin + self._chunk, rows)
            part = slice(begin, end)
            parts.append(self._take(keys[part], times[part], flags[part], masks[:, part], values[:, part]))
            begin = end
        if len(parts) == 1:
            return parts[0]
        return [
            [_joined([part[w][a] for part in parts]) for a in range(len(window.aggregates))] for w, window in enumerate(self.store.windows)
        ]

    def _take(self, keys: Int64, times: Int64, flags: Int64, masks: Int64, values: Int64) -> list[list[Column]]:
        rows, plan = len(keys), self._layout.plan
        self._keep.keys(int(keys.max()) + 1 if rows else 0)
        width = int(plan.shape[P_WIDTH]) + 1
        found, starts, places = np.empty(rows, np.int64), np.zeros(rows + 1, np.int64), np.empty(rows, np.int64)
        lines = np.empty((rows, width), np.int64)
        n = arrange(
            np.array(keys, np.int64),
            np.array(times, np.int64),
            np.array(flags, np.int64),
            np.ascontiguousarray(masks),
            np.ascontiguousarray(values),
            plan.is_float,
            self._keep.mark,
            found,
            starts,
            lines,
            places,
        )
        batch = Batch(lines, found[:n], starts[: n + 1])
        outputs, emissions = int(plan.shape[P_OUTPUTS]), int(plan.shape[P_EMISSIONS])
        answers = Answers(
            np.empty((rows, outputs), np.int64),
            np.empty((rows, outputs), np.uint8),
            self._overflows,
            np.empty((rows, emissions, 2), np.int64),
            np.empty(4096 if emissions else 0, np.int64),
            np.zeros(1, np.int64),
        )
        progress = np.array([0, -1, 0], np.int64)
        while True:
            run(plan, self._keep.memory, batch, answers, progress, self._keep.spare_needed)
            group, room = int(progress[0]), int(progress[2])
            if room == EMITTED_ROOM:
                more = int(plan.shape[P_EMITTED]) * (self._keep.held(int(found[group])) + 1)
                larger = np.empty(2 * len(answers.emitted) + more, np.int64)
                larger[: answers.used[0]] = answers.emitted[: answers.used[0]]
                answers = answers._replace(emitted=larger)
            elif room:
                self._keep.grow(room, int(found[group]), int(starts[group + 1] - starts[group]))
            else:
                break
        if self._layout.scanned:
            self._chunk = max(16, self._chunk // 2) if answers.used[0] > 4_000_000 else min(4096, 2 * self._chunk)
        return self._columns(answers, places[(flags & ANSWERED) != 0])

    def _compact(self) -> None:
        """Forget the words that no row has any more, and with them the room that rings have over."""
        state = self.snapshot()
        self._keep, self._vocabulary = Keep(self._layout, self._spill), Vocabulary()
        self.restore(state)
        self._words_allowed = max(_WORDS, 2 * len(self._vocabulary.words))

    # ---------------------------------------------------------------- results

    def _columns(self, answers: Answers, chosen: Int64) -> list[list[Column]]:
        outputs = answers.values.shape[1]
        values = np.empty((outputs, len(chosen)), np.int64)
        valid = np.empty((outputs, len(chosen)), np.bool_)
        complete = spread_out(answers.values, answers.valid, chosen, values, valid)
        result = []
        for window, places in zip(self.store.windows, self._layout.columns, strict=True):
            result.append(
                [
                    self._column(aggregate, values[place], None if complete[place] else valid[place])
                    if place >= 0
                    else Column(np.empty(0, np.int64))
                    for aggregate, place in zip(window.aggregates, places, strict=True)
                ]
            )
        for scanned in self._layout.scanned:
            first, last = self._layout.plan.emissions[2 * scanned.emission : 2 * scanned.emission + 2]
            width = 2 * int(last - first)
            call = Call(scanned.aggregate, tuple(self.store.columns[a] for a in scanned.aggregate.arguments), self._zone)
            scan = self._scan(scanned.aggregate)
            spans = answers.spans[chosen, scanned.emission].tolist()
            found: list[Value] = []
            for start, length in spans:
                block = answers.emitted[start : start + length * width].reshape(length, width)
                arguments = [self._values(block, place, t) for place, t in zip(scanned.places, call.types, strict=True)]
                found.append(scan(list(zip(*arguments, strict=True)), call))
            result[scanned.window][scanned.place] = _encoded(found, scanned.aggregate.type)
        return result

    def _scan(self, aggregate: Aggregate) -> Scan:
        if aggregate.function.startswith("udaf:"):
            udaf = self._udafs[aggregate.function[5:]]
            return lambda rows, call: udaf.of(rows)
        return SCANS[name_of(aggregate)]

    def _values(self, block: Int64, place: int, type: Type) -> list[Value]:
        raw = np.ascontiguousarray(block[:, 2 * place + 1])
        values: list[Value] = (raw.view(np.float64) if type in FLOATS else raw).tolist()
        if type is Type.STRING:
            words = self._vocabulary.words
            return [words[code] if ok else None for code, ok in zip(raw.tolist(), block[:, 2 * place].tolist(), strict=True)]
        return [v if ok else None for v, ok in zip(values, block[:, 2 * place].tolist(), strict=True)]

    def _column(self, aggregate: Aggregate, values: Int64, known: BoolArray | None) -> Column:
        name = name_of(aggregate)
        if name in ("sum", "min", "max", "lag", "first_value", "last_value", "nth_value"):
            source = self.store.columns[aggregate.arguments[0]]
            if source is Type.STRING:
                return self._vocabulary.column(values, known)
            floats = source in FLOATS
        else:
            floats = name not in ("count", "distinct_count")
        return Column(_canonical(values.view(np.float64)) if floats else values, known)

    # ---------------------------------------------------------------- state

    def snapshot(self) -> bytes:
        """The state of all keys."""
        return snapshot.pack(self.store, self._keep, self._vocabulary, None)

    def split(self, keys: Int64) -> bytes:
        """The state of these keys only, under the same ids."""
        return snapshot.pack(self.store, self._keep, self._vocabulary, keys)

    def restore(self, state: bytes) -> None:
        """Take the keys of a state that `snapshot` or `split` gave, beside those already here (of the same id: instead).

        Raises StateError if it cannot be read, or is of another store.
        """
        snapshot.unpack(self.store, self._keep, self._vocabulary, state)


def _canonical(values: np.ndarray) -> np.ndarray:
    odd = np.isnan(values)
    if odd.any():
        values[odd] = np.nan
    return values


def _joined(parts: Sequence[Column]) -> Column:
    values = np.concatenate([part.values for part in parts])
    valid = None
    if any(part.valid is not None for part in parts):
        valid = np.concatenate([np.ones(len(part), np.bool_) if part.valid is None else part.valid for part in parts])
    if all(part.words is None for part in parts):
        return Column(values, valid)
    words: dict[str, int] = {}
    codes = [np.array([words.setdefault(word, len(words)) for word in part.words or ()] or [0], np.int64)[part.values] for part in parts]
    return Column(np.concatenate(codes), valid, list(words))


def _encoded(values: list[Value], type: Type) -> Column:
    known = np.array([v is not None for v in values], np.bool_)
    valid = None if known.all() else known
    if type is Type.STRING:
        words: dict[str, int] = {}
        codes = [0 if v is None else words.setdefault(str(v), len(words)) for v in values]
        return Column(np.array(codes, np.int64), valid, list(words))
    if type in FLOATS:
        return Column(np.array([0.0 if v is None else v for v in values], np.float64), valid)
    return Column(np.array([0 if v is None else v for v in values], np.int64), valid)
