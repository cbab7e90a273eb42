"""Last stage, one key a driving partition: a row whose tasks have all answered is whole and leaves, in the order of the log."""

from __future__ import annotations

import pickle
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streams.features.distributed.arrive import written
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.messages import OUT, Base, Piece, Sent, Upto, unpack
from streams.features.distributed.split import ROWS
from streams.features.program import Answer, Program
from streams.features.step import feature_rows
from streams.types import OFFSET, TIME, Batch, Int64, Output
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
    def __init__(self, job: JobPlan, key: int) -> None:
        self._job, self._partition = job, key
        self._top = Program(job.cut.top)
        self._waiting: deque[_Waiting] = deque()
        self._early: list[Piece] = []  # answers that came before their rows did
        self._upto = 0  # all rows below this offset are taken

    def receive(self, message: bytes) -> Sent:
        found = unpack(message)
        if isinstance(found, Base):
            offsets = found.table.column(OFFSET).to_numpy()
            self._waiting.append(_Waiting(found.table, offsets, np.full(len(offsets), len(self._job.cut.tasks))))
            early, self._early = self._early, []
            for piece in early:
                self._add(piece)
        elif isinstance(found, Upto):
            self._upto = max(self._upto, found.offset)
        else:
            assert isinstance(found, Piece)
            self._add(found)
        while self._waiting and (count := self._ready(self._waiting[0])):
            rows = self._waiting.popleft()
            if count < len(rows.offsets):
                rows, left = rows.split(count)
                self._waiting.appendleft(left)
            yield from self._leave(rows)

    def snapshot(self) -> bytes:
        return pickle.dumps((self._waiting, self._early, self._upto))

    def restore(self, state: bytes) -> None:
        self._waiting, self._early, self._upto = pickle.loads(state)

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
        keyed = self._job.inputs[-1].key is not None
        if keyed:
            whole = whole.append_column("_key", rows.table.column("_key"))
        times = rows.table.column(TIME).to_numpy()
        keys, values = encode(Output(whole, "_key" if keyed else None, np.zeros(len(times), np.int32), times))
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
