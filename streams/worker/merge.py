"""All partitions of all inputs in one order, by event time: (key, rank of the input, partition, offset).

A row is taken when no partition that counts can still bring a lower one. A partition that is caught up with the broker for its
`idle_after` does not count; what it brings later is taken at once. The core has no clock: who calls says which partitions are idle.
`Taken.frontier` is written down with each commit, and with it `advance` takes the very same rows in a replay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streams.step import Input
from streams.types import Batch, Int64, Late
from streams.worker.reorder import ALWAYS, NEVER, place, watermark

Place = tuple[int, int, int]  # key (ms), rank of the input, partition: all rows at or below it are taken
START: Place = (NEVER, -1, -1)
END: Place = (ALWAYS, 1 << 30, 1 << 30)
Slot = tuple[int, int]  # rank of the input, partition


@dataclass(frozen=True)
class Frontier:
    """How far a merge has come. While the driving input is held, the others may be ahead of it."""

    others: Place = START
    driving: Place = START


@dataclass(frozen=True)
class Read:
    """Rows of one partition in log order. `times` also holds watermark records, where `is_row` is false; `table` has the rows.

    `next_offset` is the offset after the last one read, refused rows and control batches included.
    """

    rank: int
    partition: int
    table: pa.Table
    offsets: Int64
    times: Int64
    is_row: np.ndarray[tuple[int], np.dtype[np.bool_]]
    next_offset: int


@dataclass(frozen=True)
class Progress:
    """Where one partition stands: [low, read) is read but not all taken. Reading starts again at `low` with `low_newest`."""

    low: int
    read: int
    newest: int = NEVER
    low_newest: int = NEVER


@dataclass(frozen=True)
class Taken:
    """`late` and `behind` tell the rows that came after their place had gone by; `disordered`: some row is below the frontier
    that was reached before, so a replay must not put this take together with the one before."""

    batch: Batch
    late: tuple[Late, ...]
    disordered: bool = False


@dataclass
class _Pending:
    """Rows of one partition that are read and not taken, in log order, in chunks."""

    lateness: int
    newest: int = NEVER
    read: int = 0
    tables: list[pa.Table] = field(default_factory=list)
    columns: list[tuple[Int64, Int64, Int64, Int64]] = field(default_factory=list)  # key, offset, behind, before
    rows: int = 0

    def joined(self) -> tuple[Int64, Int64, Int64, Int64]:
        if len(self.columns) > 1:
            self.columns = [tuple(np.concatenate(parts) for parts in zip(*self.columns, strict=True))]  # type: ignore[list-item]
            self.tables = [pa.concat_tables(self.tables)]
        return self.columns[0]


class Merge:
    """`inputs` in order of rank, the driving one last."""

    def __init__(self, inputs: Sequence[Input], frontier: Frontier = Frontier()) -> None:
        self.inputs = tuple(inputs)
        self.driving = len(self.inputs) - 1
        self.frontier = frontier
        self._pending: dict[Slot, _Pending] = {}

    def open(self, rank: int, partition: int, newest: int = NEVER, offset: int = 0) -> None:
        """Count a partition from now on; it holds the others until it brings a row or is idle."""
        self._pending[rank, partition] = _Pending(self.inputs[rank].lateness, newest, offset)

    def knows(self, rank: int, partition: int) -> bool:
        return (rank, partition) in self._pending

    def add(self, read: Read) -> None:
        pending = self._pending[read.rank, read.partition]
        keyed = place(read.times, read.is_row, pending.newest, pending.lateness)
        pending.newest, pending.read = keyed.newest, read.next_offset
        if read.table.num_rows:
            pending.tables.append(read.table)
            pending.columns.append((keyed.key, read.offsets, keyed.behind, keyed.before))
            pending.rows += read.table.num_rows

    def reached(self, rank: int, partition: int, offset: int) -> None:
        """Reading has come to this offset, past what gives no row (control batches, the end of a range)."""
        pending = self._pending[rank, partition]
        pending.read = max(pending.read, offset)

    def drop_taken(self) -> None:
        """Forget the rows at or below the frontier: they were answered before a restart."""
        for slot, pending in self._pending.items():
            if pending.rows:
                key, *_ = pending.joined()
                _keep(pending, ~_at_or_below(key, slot, self._reached(slot[0])))

    @property
    def rows(self) -> int:
        return sum(pending.rows for pending in self._pending.values())

    def waiting(self, rank: int, partition: int) -> int:
        """Rows of a partition that are read and not taken."""
        return self._pending[rank, partition].rows

    def progress(self) -> dict[Slot, Progress]:
        found = {}
        for slot, pending in self._pending.items():
            low, before = pending.read, pending.newest
            if pending.rows:
                _, offset, _, befores = pending.joined()
                low, before = int(offset[0]), int(befores[0])
            found[slot] = Progress(low, pending.read, pending.newest, before)
        return found

    def watermarks(self) -> dict[Slot, int]:
        return {slot: watermark(pending.newest, pending.lateness) for slot, pending in self._pending.items()}

    def mark(self, ranks: Collection[int]) -> int:
        """The event time at or past which all rows to come of these inputs will be, but for late ones."""
        found = ALWAYS
        for slot, pending in self._pending.items():
            if slot[0] in ranks:
                first = int(pending.joined()[0].min()) if pending.rows else ALWAYS
                found = min(found, first, watermark(pending.newest, pending.lateness))
        return found

    def holding(self, idle: Collection[Slot] = ()) -> list[Slot]:
        """The partitions that others wait for: those whose watermark is the lowest, when rows wait at all."""
        bound = self._bound(idle, self._pending)
        if bound is END or not self.rows:
            return []
        return [slot for slot, mark in self.watermarks().items() if slot not in idle and mark == bound[0]]

    def take(self, idle: Collection[Slot] = (), hold: int | None = None, limit: int | None = None) -> Taken | None:
        """The rows that may go, or None. Driving rows with a key at or past `hold` stay, and then the others go on one by one.

        `limit` is the number of rows to stop near: whole keys are taken, so that the order does not depend on it.
        """
        bound = self._bound(idle, self._pending)
        if hold is not None:
            bound = min(bound, (hold - 1, *END[1:]))
        if limit is not None:
            bound = min(bound, self._limited(limit))
        bound = self._come_to(bound)
        taken = self._upto(Frontier(max(bound, self.frontier.others), max(bound, self.frontier.driving)))
        if taken is None and hold is not None and self._is_held(hold):
            others = [slot for slot in self._pending if slot[0] != self.driving]
            bound = self._bound(idle, others)
            first = min((int(self._pending[slot].joined()[0].min()) for slot in others if self._pending[slot].rows), default=ALWAYS)
            if first <= bound[0]:
                bound = self._come_to((first, *END[1:]), others)
                taken = self._upto(Frontier(max(bound, self.frontier.others), self.frontier.driving))
        return taken

    def advance(self, frontier: Frontier) -> Taken | None:
        """Take what a commit with this frontier took."""
        return self._upto(frontier)

    def _reached(self, rank: int) -> Place:
        return self.frontier.driving if rank == self.driving else self.frontier.others

    def _is_held(self, hold: int) -> bool:
        return any(
            pending.rows and int(pending.joined()[0].max()) >= hold for slot, pending in self._pending.items() if slot[0] == self.driving
        )

    def _bound(self, idle: Collection[Slot], slots: Collection[Slot] | Mapping[Slot, _Pending]) -> Place:
        marks = (
            (watermark(pending.newest, pending.lateness), *slot)
            for slot, pending in self._pending.items()
            if slot in slots and slot not in idle
        )
        return min(marks, default=END)

    def _come_to(self, bound: Place, slots: Collection[Slot] | None = None) -> Place:
        """A bound that no partition's watermark set is taken back to the last row below it, so that fewer rows count as late."""
        if bound[1:] != END[1:]:
            return bound
        found = START
        for slot, pending in self._pending.items():
            if pending.rows and (slots is None or slot in slots):
                key, *_ = pending.joined()
                key = key[key <= bound[0]]
                found = max(found, (int(key.max()), *slot)) if len(key) else found
        return found

    def _limited(self, limit: int) -> Place:
        if self.rows <= limit:
            return END
        keys = np.concatenate([pending.joined()[0] for pending in self._pending.values() if pending.rows])
        return (int(np.partition(keys, limit)[limit]), *END[1:])

    def _upto(self, frontier: Frontier) -> Taken | None:
        parts: dict[Slot, tuple[pa.Table, Int64, Int64]] = {}
        disordered = False
        for slot in sorted(self._pending):
            pending = self._pending[slot]
            if not pending.rows:
                continue
            key, _, behind, _ = pending.joined()
            mask = _at_or_below(key, slot, frontier.driving if slot[0] == self.driving else frontier.others)
            count = int(np.count_nonzero(mask))
            if not count:
                continue
            table = pending.tables[0]
            if count < len(mask) and not mask[:count].all():
                table, key, behind = table.filter(pa.array(mask)), key[mask], behind[mask]
            else:
                table, key, behind = table.slice(0, count), key[:count], behind[:count]
            if pending.lateness and len(key) > 1 and not (key[1:] >= key[:-1]).all():
                sorting = np.argsort(key, kind="stable")
                table, key, behind = table.take(pa.array(sorting)), key[sorting], behind[sorting]
            passed, reached = _at_or_below(key, slot, self._reached(slot[0]), strictly=True), self._reached(slot[0])[0]
            if passed.any():
                disordered = True
                behind = np.where(passed, np.maximum(behind, reached - (key - behind)), behind)
            parts[slot] = (table, key, behind)
            _keep(pending, ~mask)
        held = frontier.others != frontier.driving
        self.frontier = Frontier(max(self.frontier.others, frontier.others), max(self.frontier.driving, frontier.driving))
        return _batch(self.inputs, parts, disordered or held) if parts else None


def _at_or_below(key: Int64, slot: Slot, bound: Place, strictly: bool = False) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """`strictly` leaves out the rows of the slot that is the bound itself: they are still in order."""
    mine = slot < bound[1:] if strictly else slot <= bound[1:]
    return key <= bound[0] if mine else key < bound[0]


def _keep(pending: _Pending, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    kept = int(np.count_nonzero(mask))
    if kept == len(mask):
        return
    if not kept:
        pending.tables, pending.columns = [], []
    elif mask[len(mask) - kept :].all():
        pending.tables = [pending.tables[0].slice(len(mask) - kept)]
        pending.columns = [tuple(column[len(mask) - kept :] for column in pending.columns[0])]  # type: ignore[list-item]
    else:
        pending.tables = [pending.tables[0].filter(pa.array(mask))]
        pending.columns = [tuple(column[mask] for column in pending.columns[0])]  # type: ignore[list-item]
    pending.rows = kept


def _batch(inputs: Sequence[Input], parts: Mapping[Slot, tuple[pa.Table, Int64, Int64]], disordered: bool) -> Taken:
    """The slots come in order of rank and partition and each is sorted, so one stable sort by key is the whole merge."""
    slots = list(parts)
    keys = np.concatenate([parts[slot][1] for slot in slots])
    if len(slots) > 1:
        sorting = np.argsort(keys, kind="stable")
        places = np.empty(len(sorting), np.int64)
        places[sorting] = np.arange(len(sorting))
    else:
        places = np.arange(len(keys))
    tables, order, late, start = {}, {}, [], 0
    for name, group in _by_input(inputs, slots):
        found = [parts[slot] for slot in group]
        rows = sum(len(part[1]) for part in found)
        table = found[0][0] if len(found) == 1 else pa.concat_tables([part[0] for part in found])
        behind = found[0][2] if len(found) == 1 else np.concatenate([part[2] for part in found])
        mine = places[start : start + rows]
        start += rows
        if len(found) > 1 and not (mine[1:] > mine[:-1]).all():
            within = np.argsort(mine)
            mine, behind, table = mine[within], behind[within], table.take(pa.array(within))
        tables[name], order[name] = table, mine
        rows_late = np.flatnonzero(behind > 0)
        if len(rows_late):
            late.append(Late(name, rows_late, behind[rows_late]))
    return Taken(Batch(tables, order), tuple(late), disordered)


def _by_input(inputs: Sequence[Input], slots: Sequence[Slot]) -> Iterator[tuple[str, list[Slot]]]:
    for rank, one in enumerate(inputs):
        if group := [slot for slot in slots if slot[0] == rank]:
            yield one.name, group
