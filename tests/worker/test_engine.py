"""The engine on a broker in memory: stopped anywhere and resumed, fenced, stalled, held."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import CorruptBatchError, FencedError
from connectors.kafka.columns import Bytes, Records
from connectors.memory import MemoryBroker, MemoryConsumer
from streams.sensors import Meter
from streams.testing import Connection, Crash, Faults, put, run_to_end, values, whole_equals_resumed, worker
from streams.types import Batch, Outputs
from streams.worker import engine, write
from streams.worker.connection import Part
from streams.worker.snapshots import Folder
from tests.worker.steps import INPUTS, Chain, broker, fill, row, step

crashes = st.builds(
    Faults,
    polls_to_crash=st.none() | st.integers(1, 8),
    commits_to_crash=st.none() | st.integers(0, 4),
    commits_to_lose=st.none() | st.integers(0, 4),
)


@pytest.mark.parametrize("pipelined_rows", [0, engine.PIPELINED_ROWS], ids=["written behind", "written at once"])
@given(
    times=st.lists(st.lists(st.integers(1, 400), max_size=30), min_size=3, max_size=3),
    faults=st.lists(crashes, max_size=3),
    batch_rows=st.integers(3, 60),
    positions_s=st.sampled_from([write.POSITIONS_S, 0]),
)
@settings(max_examples=25, deadline=None)
def test_whole_equals_resumed(
    times: list[list[int]], faults: list[Faults], batch_rows: int, pipelined_rows: int, positions_s: float
) -> None:
    with patch.object(engine, "PIPELINED_ROWS", pipelined_rows), patch.object(write, "POSITIONS_S", positions_s):
        whole_equals_resumed(step, lambda made: fill(made, times), ["t.out"], faults, batch_rows=batch_rows)


def told(made: MemoryBroker) -> dict[Part, tuple[int, int]]:
    """What the group has been told: offset and number of the commit, by partition."""
    found = made.consumer().committed("t.chain", [("t.a", 0), ("t.a", 1), ("t.b", 0)])
    return {part: (offset, json.loads(metadata)["n"]) for part, (offset, metadata) in found.items()}


@pytest.mark.parametrize("behind", [0, 5_000], ids=["worker's stamps", "broker's stamps"])
def test_a_restart_goes_on_by_the_commits_that_the_group_was_not_told_of(behind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = MemoryConsumer.offsets_at
    monkeypatch.setattr(MemoryConsumer, "offsets_at", lambda self, times: asked(self, {part: at + behind for part, at in times.items()}))
    made, whole = broker(), broker()
    fill(made)
    fill(whole)
    with pytest.raises(Crash):
        run_to_end(step(), Connection(made, Faults(commits_to_crash=5)), batch_rows=10)
    assert len(values(made, "t.commits")) == 5
    assert {number for _, number in told(made).values()} == {1}
    resumed = run_to_end(step(), Connection(made), batch_rows=10)
    run_to_end(step(), Connection(whole), batch_rows=10)
    assert values(made, "t.out") == values(whole, "t.out") != []
    assert len(values(made, "t.commits")) == resumed._standing.number


def test_a_commit_behind_an_open_transaction_of_another_step_is_waited_for() -> None:
    """Readers of what is committed do not see it before: going on without it would write its rows twice."""
    made, whole = broker(), broker()
    fill(made)
    fill(whole)
    worker(step(), Connection(made))  # its topics
    other = made.producer("t.other")
    other.begin()
    other.send("t.commits", 0, np.array([0]), None, Bytes.nulls(1))
    with pytest.raises(Crash):
        run_to_end(step(), Connection(made, Faults(commits_to_crash=5)), batch_rows=10)
    before = len(values(made, "t.out"))
    meter, states = Meter(), []
    meter.on_state = lambda name, state, detail="": states.append(detail)  # type: ignore[method-assign]
    driver = worker(step(), Connection(made), batch_rows=10, sensor=meter)
    thread = threading.Thread(target=driver.run, args=(driver.caught_up,))
    thread.start()
    deadline = time.monotonic() + 20
    while not any("open transaction of another step in t.commits" in detail for detail in states):
        assert time.monotonic() < deadline
    assert len(values(made, "t.out")) == before
    other.abort()
    thread.join(20)
    assert not thread.is_alive()
    run_to_end(step(), Connection(whole), batch_rows=10)
    assert values(made, "t.out") == values(whole, "t.out")


def test_the_group_is_told_when_no_commit_follows() -> None:
    made = broker()
    fill(made)
    driver = worker(step(), Connection(made), batch_rows=10)
    driver.open()
    try:
        deadline = time.monotonic() + 20
        while set(told(made).values()) != {(61, driver._standing.number)}:  # 60 rows and the mark behind them
            assert time.monotonic() < deadline
            driver.wait(0.05)
            driver.work()
        commits = len(values(made, "t.commits"))
        assert commits == driver._standing.number > 1
    finally:
        driver.close()


def test_a_damaged_batch_is_passed_over_by_a_restart_too(monkeypatch: pytest.MonkeyPatch) -> None:
    poll, damaged = MemoryConsumer.poll, range(20, 25)

    def failing(self: MemoryConsumer, timeout_ms: int = 100, max_records: int = 100_000) -> list[Records]:
        at = self._positions.get(("t.b", 0), 10**6)
        if at in damaged:
            raise CorruptBatchError(f"t.b[0]@{at}: the record batch is damaged", "t.b", 0, at, damaged.stop)
        return poll(self, timeout_ms, min(max_records, damaged.start - at) if at < damaged.start else max_records)

    monkeypatch.setattr(MemoryConsumer, "poll", failing)
    made, whole = broker(), broker()
    fill(made)
    fill(whole)
    with pytest.raises(Crash):
        run_to_end(step(), Connection(made, Faults(commits_to_crash=8)), batch_rows=10)
    run_to_end(step(), Connection(made), batch_rows=10)
    run_to_end(step(), Connection(whole), batch_rows=10)
    run_to_end(step(), Connection(whole), batch_rows=10)
    assert values(made, "t.out") == values(whole, "t.out") != []
    assert sum(b"damaged" in (value or b"") for value in values(made, "t.dead-letters")) == 1


def test_a_commit_whose_rows_may_be_lost_is_not_gone_on_by() -> None:
    """At least once, a commit's record may have arrived when its rows have not; also when it goes on exactly once."""
    made, whole = broker(), broker()
    fill(made)
    fill(whole)
    with pytest.raises(Crash):
        run_to_end(step(), Connection(made, Faults(commits_to_crash=3)), exactly_once=False, batch_rows=10)
    assert len(values(made, "t.commits")) == 4  # the last without its positions
    assert {number for _, number in told(made).values()} <= {1, 2, 3}
    run_to_end(step(), Connection(made), batch_rows=10)
    run_to_end(step(), Connection(whole), batch_rows=10)
    assert list(dict.fromkeys(values(made, "t.out"))) == values(whole, "t.out")
    assert len(values(made, "t.out")) > len(values(whole, "t.out"))


def test_at_least_once_goes_on_where_exactly_once_stood() -> None:
    made, whole = broker(), broker()
    fill(made)
    fill(whole)
    with pytest.raises(Crash):
        run_to_end(step(), Connection(made, Faults(commits_to_crash=5)), batch_rows=10)
    run_to_end(step(), Connection(made), batch_rows=10, exactly_once=False)
    run_to_end(step(), Connection(whole), batch_rows=10)
    assert values(made, "t.out") == values(whole, "t.out") != []


def test_who_waits_is_told_nothing_while_the_work_looks_for_itself() -> None:
    made = broker()
    fill(made)
    held, at_work, going_on = step(), threading.Event(), threading.Event()
    process = held.process

    def slow(batch: Batch) -> Outputs:
        at_work.set()
        assert going_on.wait(20)
        return process(batch)

    held.process = slow  # type: ignore[method-assign]
    driver = worker(held, Connection(made), batch_rows=10)
    driver.open()
    try:
        assert driver.wait(5)
        assert driver.wait(0.01)  # it was told, and nobody works: it may have been lost on the way, so once more
        thread = threading.Thread(target=driver.work)
        thread.start()
        assert at_work.wait(20)
        assert not driver.wait(0.01)
        going_on.set()
        thread.join(20)
        assert not thread.is_alive()
        assert driver.wait(0.01)
        assert values(made, "t.out")
    finally:
        going_on.set()
        driver.close()


def test_dead_letters_and_late_rows_are_written_once_too() -> None:
    made = broker()
    fill(made)
    for _ in range(3):
        with pytest.raises(Crash):
            run_to_end(step(), Connection(made, Faults(commits_to_lose=1)), batch_rows=10)
    meter = Meter()
    run_to_end(step(), Connection(made), batch_rows=10, sensor=meter)
    letters = [json.loads(value or b"")["source"] for value in values(made, "t.dead-letters")]
    late = [json.loads(value or b"")["place"] for value in values(made, "t.late")]
    assert len(letters) == len(set(letters)) == sum(at * n % 400 % 50 == 0 for n in (7, 11, 5) for at in range(60))
    assert late and len(late) == len(set(late))


def test_a_zombie_is_fenced_and_writes_nothing() -> None:
    made = broker()
    fill(made)
    first = worker(step(), Connection(made), batch_rows=5)
    failures: list[BaseException] = []

    def drive() -> None:
        try:
            first.run()
        except FencedError as error:
            failures.append(error)

    thread = threading.Thread(target=drive)
    thread.start()
    deadline = time.monotonic() + 20
    while not values(made, "t.out"):
        assert time.monotonic() < deadline
    run_to_end(step(), Connection(made))
    expected = values(made, "t.out")
    put(made, "t.b", 0, [row(600)], watermark=900)
    for partition in range(2):
        put(made, "t.a", partition, [], watermark=900)
    thread.join(20)
    assert [type(error) for error in failures] == [FencedError]
    assert values(made, "t.out") == expected


def test_a_stalled_partition_holds_the_order_only_until_it_is_idle() -> None:
    made = broker()
    put(made, "t.b", 0, [row(at) for at in range(1, 200, 2)])
    put(made, "t.a", 0, [row(at) for at in range(1, 200, 2)])
    meter = Meter()
    run_to_end(step(), Connection(made), sensor=meter)  # t.a[1] has nothing at all
    assert len(values(made, "t.out")) == 100


def test_a_partition_that_is_not_caught_up_is_waited_for() -> None:
    made = broker()
    put(made, "t.b", 0, [row(at) for at in range(1, 200, 2)])
    for partition in range(2):
        put(made, "t.a", partition, [row(at) for at in range(1, 200, 2)])
    faults = Faults(paused={("t.a", 1)})
    driver = worker(step(), Connection(made, faults))
    thread = threading.Thread(target=driver.run)
    thread.start()
    time.sleep(0.5)
    assert values(made, "t.out") == []  # though far longer than idle_after: it has unread records
    faults.paused.clear()
    deadline = time.monotonic() + 20
    while len(values(made, "t.out")) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    driver.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_a_partition_with_much_waiting_is_paused_and_the_others_go_on() -> None:
    made = broker()
    put(made, "t.b", 0, [row(at) for at in range(1000)])
    put(made, "t.a", 0, [row(at) for at in range(1000)])
    put(made, "t.a", 1, [row(at) for at in range(1000)])
    driver = worker(step(), Connection(made), limit_rows=50, batch_rows=40)
    driver.run(until=driver.caught_up)
    assert len(values(made, "t.out")) == 1000


def test_at_least_once_writes_all_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    made = broker()
    fill(made)
    with pytest.raises(Crash):
        run_to_end(step(), Connection(made, Faults(commits_to_crash=3)), exactly_once=False, batch_rows=10)
    resumed = run_to_end(step(), Connection(made), exactly_once=False, batch_rows=10, snapshots=Folder(tmp_path))
    written = [json.loads(value or b"")["_offset"] for value in values(made, "t.out")]
    assert set(written) == {offset for offset in range(60) if offset * 5 % 400 % 50}
    undisturbed = broker()
    fill(undisturbed)
    whole = run_to_end(step(), Connection(undisturbed), exactly_once=False)
    assert isinstance(resumed.step, Chain) and isinstance(whole.step, Chain)
    assert resumed.step.link == whole.step.link  # rows may be there twice, the state has taken each once
    before = len(values(made, "t.out"))
    run_to_end(step(), Connection(made), exactly_once=False, snapshots=Folder(tmp_path))
    assert len(values(made, "t.out")) == before


def test_an_answer_that_cannot_be_encoded_stops_the_worker_after_the_commits_before_it() -> None:
    class Keyless(Chain):
        """From the fourth answer on the key is a column that is not there."""

        answers = 0

        def process(self, batch):  # type: ignore[no-untyped-def]
            found = super().process(batch)
            self.answers += bool(found)
            return {topic: replace(output, key="absent") for topic, output in found.items()} if self.answers > 3 else found

    made, undisturbed = broker(), broker()
    for one in (made, undisturbed):
        fill(one)
    broken = Keyless(INPUTS, "t.out")
    with pytest.raises(KeyError, match="absent"):
        run_to_end(broken, Connection(made), batch_rows=10)
    run_to_end(step(), Connection(undisturbed), batch_rows=10)
    whole, before = values(undisturbed, "t.out"), values(made, "t.out")
    assert before and before == whole[: len(before)] and len(before) < len(whole)
    run_to_end(step(), Connection(made), batch_rows=10)
    assert values(made, "t.out") == whole


def test_a_held_step_waits_for_another_input() -> None:
    class Held(Chain):
        """Driving rows at or past 100 wait until a row of `a` at 150 or later has come."""

        def hold(self) -> int | None:
            return 100 if self.seen < 150 else None

        seen = 0

        def process(self, batch):  # type: ignore[no-untyped-def]
            if "a" in batch.tables:
                self.seen = max(self.seen, *batch.tables["a"].column("_time").to_pylist())
            return super().process(batch)

    made = broker()
    put(made, "t.b", 0, [row(at) for at in range(0, 300, 10)], watermark=1000)
    put(made, "t.a", 0, [row(50)], watermark=1000)
    put(made, "t.a", 1, [], watermark=1000)
    held = Held(INPUTS, "t.out")
    driver = worker(held, Connection(made))
    thread = threading.Thread(target=driver.run)
    thread.start()
    deadline = time.monotonic() + 20
    while len(values(made, "t.out")) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    assert len(values(made, "t.out")) == 10  # 0, 10, .. 90
    put(made, "t.a", 0, [row(160)])
    while len(values(made, "t.out")) < 30:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    driver.stop()
    thread.join(20)
    expected = values(made, "t.out")
    resumed = Held(INPUTS, "t.out")
    put(made, "t.b", 0, [row(2000)])
    run_to_end(resumed, Connection(made))  # from the log alone: the commits say what was taken before what
    assert values(made, "t.out")[:30] == expected and resumed.link != 0
