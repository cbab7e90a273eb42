"""The merged order against a plain sort, however the reads are cut and whoever is faster."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.step import Input
from streams.types import Type
from streams.worker.merge import Frontier, Merge, Progress, Read, Slot, Taken
from streams.worker.reorder import NEVER

Log = dict[Slot, list[tuple[int, bool]]]  # event time, is a row (else a watermark)
LATENESS = (0, 5)
INPUTS = tuple(Input(f"s{rank}", f"t.s{rank}", {"at": Type.BIGINT}, "at", lateness=LATENESS[rank]) for rank in range(2))
SLOTS: tuple[Slot, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))

logs = st.fixed_dictionaries({slot: st.lists(st.tuples(st.integers(0, 30), st.booleans() | st.just(True)), max_size=12) for slot in SLOTS})


def read(log: Log, slot: Slot, start: int, end: int) -> Read:
    part = log[slot][start:end]
    offsets = np.arange(start, start + len(part), dtype=np.int64)
    times = np.array([time for time, _ in part], np.int64)
    is_row = np.array([row for _, row in part], bool)
    table = pa.table({"_partition": np.full(is_row.sum(), slot[1], np.int32), "_offset": offsets[is_row], "_time": times[is_row]})
    return Read(*slot, table, offsets[is_row], times, is_row, start + len(part))


def rows(taken: Taken | None) -> list[tuple[int, int, int]]:
    """(rank, partition, offset) in the merged order."""
    if taken is None:
        return []
    found: dict[int, tuple[int, int, int]] = {}
    for rank, one in enumerate(INPUTS):
        if one.name in taken.batch.tables:
            table = taken.batch.tables[one.name].to_pydict()
            places = taken.batch.order[one.name].tolist()
            assert places == sorted(places)
            for at, partition, offset in zip(places, table["_partition"], table["_offset"], strict=True):
                found[at] = (rank, partition, offset)
    assert sorted(found) == list(range(taken.batch.rows))
    return [found[at] for at in sorted(found)]


def expected(log: Log) -> list[tuple[int, int, int]]:
    """The definition, row by row."""
    keyed = []
    for (rank, partition), part in log.items():
        newest = None
        for offset, (time, is_row) in enumerate(part):
            if is_row:
                key = time if newest is None else max(time, newest - LATENESS[rank])
                keyed.append((key, rank, partition, offset))
            newest = time if newest is None else max(time, newest)
    return [row[1:] for row in sorted(keyed)]


def cuts(data: st.DataObject, log: Log) -> list[tuple[Slot, int]]:
    """An interleaving of reads: each takes so many more records of one partition."""
    return data.draw(st.lists(st.tuples(st.sampled_from(SLOTS), st.integers(1, 6)), max_size=30))


@given(logs, st.data())
@settings(max_examples=300, deadline=None)
def test_the_order_does_not_depend_on_how_reads_are_cut(log: Log, data: st.DataObject) -> None:
    merge = Merge(INPUTS)
    for slot in SLOTS:
        merge.open(*slot)
    at = dict.fromkeys(SLOTS, 0)
    out = []
    for slot, count in [*cuts(data, log), *((slot, 12) for slot in SLOTS)]:
        merge.add(read(log, slot, at[slot], at[slot] + count))
        at[slot] = min(at[slot] + count, len(log[slot]))
        out += rows(merge.take(limit=data.draw(st.sampled_from([None, 1, 3]))))
    out += rows(merge.take(idle=SLOTS))
    assert out == expected(log)
    assert merge.rows == 0


@given(logs, st.data())
@settings(max_examples=300, deadline=None)
def test_a_replay_with_the_recorded_frontiers_takes_the_same_rows(log: Log, data: st.DataObject) -> None:
    """Idle partitions and holds make the order depend on the moment; what is recorded is enough to follow it."""
    merge = Merge(INPUTS)
    for slot in SLOTS:
        merge.open(*slot)
    at = dict.fromkeys(SLOTS, 0)
    commits: list[tuple[dict[Slot, Progress], Frontier, list[tuple[int, int, int]], bool]] = []
    for slot, count in cuts(data, log):
        merge.add(read(log, slot, at[slot], at[slot] + count))
        at[slot] = min(at[slot] + count, len(log[slot]))
        idle = data.draw(st.sets(st.sampled_from(SLOTS)))
        taken = merge.take(idle=idle, hold=data.draw(st.none() | st.integers(0, 30)))
        commits.append((merge.progress(), merge.frontier, rows(taken), taken is not None and taken.disordered))
    stop = data.draw(st.integers(0, len(commits)))

    again = Merge(INPUTS)
    for slot in SLOTS:
        again.open(*slot)
    at = dict.fromkeys(SLOTS, 0)
    group: list[tuple[int, int, int]] = []
    for number, (progress, frontier, took, _) in enumerate(commits[:stop]):
        for slot in SLOTS:
            again.add(read(log, slot, at[slot], progress[slot].read))
            at[slot] = progress[slot].read
        group += took
        if number + 1 < stop and not commits[number][3] and not commits[number + 1][3]:
            continue  # commits in order may be taken together
        assert rows(again.advance(frontier)) == group
        group = []
    if not stop:
        return

    progress, frontier, *_ = commits[stop - 1]
    resumed = Merge(INPUTS, frontier)
    for slot in SLOTS:
        one = progress[slot]
        resumed.open(*slot, one.low_newest, one.low)
        resumed.add(read(log, slot, one.low, one.read))
    resumed.drop_taken()
    assert resumed.rows == again.rows
    assert resumed.watermarks() == again.watermarks()
    assert rows(resumed.take(idle=SLOTS)) == rows(again.take(idle=SLOTS))


def test_a_row_behind_the_watermark_is_late_by_what_the_lateness_lacked() -> None:
    log: Log = {(1, 0): [(20, True), (17, True), (12, True), (30, True)], (0, 0): [], (0, 1): [], (1, 1): []}
    merge = Merge(INPUTS)
    merge.open(1, 0)
    merge.add(read(log, (1, 0), 0, 4))
    taken = merge.take()
    assert rows(taken) == [(1, 0, 2), (1, 0, 1), (1, 0, 0)]  # 12 comes at the watermark 15, 30 waits behind 25
    assert taken is not None and [(late.input, late.rows.tolist(), late.behind_ms.tolist()) for late in taken.late] == [("s1", [0], [3])]


def test_what_an_idle_partition_brings_later_is_late() -> None:
    log: Log = {(0, 0): [(7, True)], (0, 1): [(10, True), (11, True)], (1, 0): [], (1, 1): []}
    merge = Merge(INPUTS)
    merge.open(0, 0)
    merge.open(0, 1)
    merge.add(read(log, (0, 1), 0, 2))
    assert merge.take() is None
    assert merge.holding() == [(0, 0)]
    assert rows(merge.take(idle={(0, 0)})) == [(0, 1, 0), (0, 1, 1)]
    merge.add(read(log, (0, 0), 0, 1))
    taken = merge.take()
    assert taken is not None and taken.disordered
    assert taken.late[0].behind_ms.tolist() == [4]


def test_the_driving_input_waits_at_a_hold_while_the_others_go_on_one_key_at_a_time() -> None:
    log: Log = {(0, 0): [(5, True), (40, True), (50, True)], (1, 0): [(10, True), (20, True), (60, True)], (0, 1): [], (1, 1): []}
    merge = Merge(INPUTS)
    merge.open(0, 0)
    merge.open(1, 0)
    merge.add(read(log, (0, 0), 0, 3))
    merge.add(read(log, (1, 0), 0, 3))
    assert rows(merge.take(hold=20)) == [(0, 0, 0), (1, 0, 0)]
    held = merge.take(hold=20)
    assert rows(held) == [(0, 0, 1)] and held is not None and held.disordered
    assert rows(merge.take(hold=None)) == [(1, 0, 1), (0, 0, 2)]


def test_a_partition_without_rows_yet_has_no_watermark() -> None:
    merge = Merge(INPUTS)
    merge.open(0, 0)
    assert merge.watermarks() == {(0, 0): NEVER}
