"""Last stage, one key a driving partition: a row whose tasks have all answered is whole and leaves, in the order of the log."""

from __future__ import annotations

import pickle
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streams.events.decode import KEY
from streams.features.distributed.arrive import written
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.messages import OUT, Base, Piece, Sent, Upto, unpack
from streams.features.distributed.split import ROWS
from streams.features.program import Answer, Program
from streams.features.step import feature_rows
from streams.types import TIME, Batch, Int64, Output
from streams.worker.write import encode


@dataclass
class _Waiting:
    """Rows that arrived together, and what each task has answered for them; `missing` counts each row's answers that are not there."""

    table: pa.Table
    offsets: Int64
    missing: Int64
    pieces: list[Piece] = field(default_factory=list)

    def split(self, count: int) -> tuple[_Waiting, _Waiting]:
        """The first `count` rows, and the others."""
        first = _Waiting(self.table.slice(0, count), self.offsets[:count], self.missing[:count])
        others = _Waiting(self.table.slice(count), self.offsets[count:], self.missing[count:])
        for piece in self.pieces:
            mine = piece.offsets < others.offsets[0]
            if mine.any():
                first.pieces.append(_of(piece, mine))
            if not mine.all():
                others.pieces.append(_of(piece, ~mine))
        return first, others


class Assemble:
    """Its state is how far it has come (`snapshot`) and the messages whose rows have not all left: `changes` holds those that are new by
    number, and None for those it has no more need of. What reads `changes` clears it; `again` takes the messages back after `restore`.
    """

    def __init__(self, job: JobPlan, key: int) -> None:
        self._job = job
        self._top = Program(job.cut.top)
        self._waiting: deque[_Waiting] = deque()
        self._early: list[Piece] = []  # answers that came before their rows did
        self._upto = 0  # all rows below this offset are taken
        self._left = 0  # all rows below this offset have left
        self._number = 0  # of the last message
        self._held: dict[int, int] = {}  # the last offset of each message that is kept
        self.changes: dict[int, bytes | None] = {}

    def receive(self, message: bytes) -> Sent:
        found = unpack(message)
        if isinstance(found, Upto):
            self._upto = max(self._upto, found.offset)
        else:
            assert isinstance(found, Base | Piece)
            self._number += 1
            self.changes[self._number] = message
            self._take(self._number, found)
        while self._waiting and (count := self._ready(self._waiting[0])):
            rows = self._waiting.popleft()
            if count < len(rows.offsets):
                rows, others = rows.split(count)
                self._waiting.appendleft(others)
            self._left = int(rows.offsets[-1]) + 1
            yield from self._leave(rows)
        for number in [number for number, last in self._held.items() if last < self._left]:
            del self._held[number]
            if self.changes.pop(number, None) is None:  # else nobody has seen it yet
                self.changes[number] = None

    def snapshot(self) -> bytes:
        return pickle.dumps((self._upto, self._left, self._number))

    def restore(self, state: bytes) -> None:
        self._upto, self._left, self._number = pickle.loads(state)

    def again(self, number: int, message: bytes) -> None:
        found = unpack(message)
        assert isinstance(found, Base | Piece)
        self._take(number, found)

    def _take(self, number: int, found: Base | Piece) -> None:
        self._held[number] = int(found.offsets.max())
        here = found.offsets >= self._left
        if isinstance(found, Piece):
            self._add(_of(found, here))
            return
        table, offsets = found.table.slice(int((~here).sum())), found.offsets[here]
        self._waiting.append(_Waiting(table, offsets, np.full(len(offsets), len(self._job.cut.tasks))))
        early, self._early = self._early, []
        for piece in early:
            self._add(piece)

    def _ready(self, rows: _Waiting) -> int:
        """How many of the first rows may leave: all together, or those that are taken while others wait for their turn."""
        if not rows.missing.any():
            return len(rows.offsets)
        taken = int(np.searchsorted(rows.offsets, self._upto))
        return 0 if rows.missing[:taken].any() else taken

    def _add(self, piece: Piece) -> None:
        left = np.ones(len(piece.offsets), bool)
        for one in self._waiting:
            if not left.any():
                return
            mine = left & (piece.offsets >= one.offsets[0]) & (piece.offsets <= one.offsets[-1])
            if mine.any():
                one.pieces.append(_of(piece, mine))
                one.missing[np.searchsorted(one.offsets, piece.offsets[mine])] -= 1
                left &= ~mine
        if left.any():
            self._early.append(_of(piece, left))

    def _leave(self, rows: _Waiting) -> Sent:
        table = rows.table
        seen: dict[str, pa.ChunkedArray] = {}
        for task in range(len(self._job.cut.tasks)):
            mine = [piece for piece in rows.pieces if piece.task == task]
            order = pa.array(np.argsort(np.concatenate([piece.offsets for piece in mine])))
            for name, column in _columns([piece.table for piece in mine], order):
                table = table.append_column(name, column)
            seen |= dict(_columns([piece.seen for piece in mine], order))
        places = np.arange(table.num_rows, dtype=np.int64)
        answer = self._top.process(Batch({ROWS: table}, {ROWS: places}))
        whole = feature_rows(Answer(answer.table, places, pa.table(seen)), table, self._job.plan)
        key = self._job.key_column
        if key is not None:
            whole = whole.append_column(KEY, rows.table.column(key))
        times = rows.table.column(TIME).to_numpy()
        keys, values = encode(Output(whole, KEY if key is not None else None, np.zeros(len(times), np.int32), times))
        yield OUT, 0, written(self._job.topics["features"], keys, values, times)


def _of(piece: Piece, mine: np.ndarray) -> Piece:
    if mine.all():
        return piece
    rows = pa.array(np.flatnonzero(mine))
    return Piece(piece.task, piece.offsets[mine], piece.table.take(rows), piece.seen.take(rows) if piece.seen.num_columns else piece.seen)


def _columns(tables: list[pa.Table], order: pa.Array) -> list[tuple[str, pa.ChunkedArray]]:
    if not tables or not tables[0].num_columns:
        return []
    whole = pa.concat_tables(tables).take(order)
    return [(name, whole.column(name)) for name in whole.column_names]
