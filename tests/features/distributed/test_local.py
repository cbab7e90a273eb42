"""The distributed stages give what the one program gives, whatever the delivery, the batches and the restarts."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.formats import json as json_format
from connectors.kafka.columns import Bytes, Headers, Records
from streams.errors import FeatureError
from streams.features.distributed.buckets import bucket_of
from streams.features.distributed.job_plan import JobPlan
from streams.features.distributed.local import Local
from streams.features.distributed.messages import Arrived, Piece, pack, unpack
from streams.features.distributed.split import cut
from streams.features.plan import compile_features
from streams.features.program import Program
from streams.features.step import Features
from streams.step import Input
from streams.types import Type
from streams.worker.merge import Merge
from streams.worker.replay import Reader
from streams.worker.write import encode

EVENTS = {"id": Type.BIGINT, "at": Type.TIMESTAMP, "a": Type.STRING, "b": Type.INT, "x": Type.DOUBLE}
PRICES = {"a": Type.STRING, "at": Type.TIMESTAMP, "price": Type.DOUBLE}
SQL = """
    SELECT id, events.a, x * 2 AS doubled, price,
           sum(x) OVER by_a AS sum_a, max(x) OVER by_a AS max_a, count(x) OVER by_b AS count_b, avg(x) OVER by_b / sum(x) OVER by_a AS both
    FROM events LAST JOIN prices ORDER BY prices.at ON events.a = prices.a
    WINDOW by_a AS (PARTITION BY events.a ORDER BY events.at ROWS_RANGE BETWEEN 20s PRECEDING AND CURRENT ROW),
           by_b AS (PARTITION BY b ORDER BY events.at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"""
STARTS = {(0, 0): 0, (1, 0): 0, (1, 1): 0}


def inputs(lateness: int) -> tuple[Input, ...]:
    return (Input("prices", "p.prices", PRICES, "at", "a"), Input("events", "p.events", EVENTS, "at", "a", lateness=lateness))


def job_of(sql: str, lateness: int = 0, buckets: int = 3) -> JobPlan:
    plan = compile_features(sql, {"events": EVENTS, "prices": PRICES})
    readers = tuple(Reader(rank, one, json_format.decode, True) for rank, one in enumerate(inputs(lateness)))
    return JobPlan(plan, readers, STARTS, {name: name for name in ("features", "commits", "dead-letters", "late")}, buckets)


def rows(count: int) -> st.SearchStrategy[list[tuple[int, int, int]]]:
    return st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 6)), max_size=count)


def records(drawn: list[tuple[int, int, int]]) -> dict[tuple[int, int], list[dict[str, object] | None]]:
    """Rows of three partitions, out of order in time, with NULL keys and values; one in a while cannot be read."""
    parts: dict[tuple[int, int], list[dict[str, object] | None]] = {slot: [] for slot in STARTS}
    for number, (which, second, kind) in enumerate(drawn):
        slot = list(STARTS)[which]
        at = (number * 3 + second) * 1000
        key = None if kind == 0 else "abc"[kind % 3]
        if kind == 6 and second % 5 == 0:
            parts[slot].append(None)
        elif slot[0] == 0:
            parts[slot].append({"a": key, "at": at, "price": second / 4})
        else:
            parts[slot].append(
                {"id": number, "at": at, "a": key, "b": kind % 2 if kind else None, "x": None if second % 7 == 0 else second / 8}
            )
    return parts


def batches(parts: dict[tuple[int, int], list[dict[str, object] | None]], size: int) -> list[Arrived]:
    found = []
    for (rank, partition), values in parts.items():
        for start in range(0, len(values), size):
            texts = [json.dumps(value).encode() if value is not None else b"no json" for value in values[start : start + size]]
            offsets = np.arange(start, start + len(texts), dtype=np.int64)
            stamps, none = np.zeros(len(texts), np.int64), Bytes.nulls(len(texts))
            end, headers = start + len(texts), Headers.none(len(texts))
            found.append(Arrived(rank, Records(f"t.{rank}", partition, offsets, stamps, none, Bytes.of(texts), headers, end)))
    return found


def whole(job: JobPlan, parts: dict[tuple[int, int], list[dict[str, object] | None]]) -> set[bytes]:
    """The rows of the embedded step over all records at once."""
    merge = Merge(job.inputs)
    for slot in STARTS:
        merge.open(*slot)
    for one in batches(parts, 10_000):
        reader = job.readers[one.rank]
        merge.add(reader.read(reader.decode(one.records), one.records.partition))
    taken = merge.take(idle=set(STARTS))
    if taken is None:
        return set()
    outputs = Features(Program(job.plan), job.plan, job.inputs, "features").process(taken.batch)
    return {value for output in outputs.values() for value in encode(output)[1].to_list() if value is not None}


@settings(max_examples=60, deadline=None)
@given(drawn=rows(60), size=st.integers(1, 20), seed=st.integers(0, 1000), lateness=st.sampled_from([0, 15_000]))
def test_the_stages_give_what_the_program_gives(drawn: list[tuple[int, int, int]], size: int, seed: int, lateness: int) -> None:
    job, parts = job_of(SQL, lateness), records(drawn)
    found = Local(job, seed, restart=0.05).run(batches(parts, size))
    features = [value for one in found if one.topic == "features" for value in one.values.to_list()]
    refused = [value for one in found if one.topic == "dead-letters" for value in one.values.to_list()]
    assert len(refused) == sum(value is None for values in parts.values() for value in values)
    assert len(features) == len(set(features))
    assert set(features) == whole(job, parts)


def test_rows_leave_in_the_order_of_their_partition() -> None:
    drawn = [(1, second % 11, 1 + second % 5) for second in range(50)]
    found = Local(job_of(SQL), seed=4).run(batches(records(drawn), 7))
    offsets = [json.loads(value or b"")["_offset"] for one in found if one.topic == "features" for value in one.values.to_list()]
    assert offsets == sorted(offsets)
    assert len(offsets) == len(set(offsets)) > 40


def test_rows_do_not_wait_for_those_that_were_read_with_them() -> None:
    prices = [{"a": "a", "at": second * 1000, "price": 1.0} for second in (0, 30)]
    events = [{"id": second, "at": second * 1000, "a": "a", "b": 1, "x": 1.0} for second in range(60)]
    job = job_of(SQL)
    for seed in range(20):
        parts = {(0, 0): prices, (1, 0): events[::2], (1, 1): events[1::2]}
        found = Local(job, seed, restart=0.1).run(batches(parts, 100), ended=False)
        written = [json.loads(value or b"")["id"] for one in found if one.topic == "features" for value in one.values.to_list()]
        assert sorted(written) == list(range(30)), seed  # those behind the newest price


def test_a_poll_of_which_where_leaves_nothing_holds_nobody_back() -> None:
    window = "WINDOW w AS (PARTITION BY a ORDER BY at ROWS_RANGE BETWEEN 20s PRECEDING AND CURRENT ROW)"
    job = job_of(f"SELECT id, sum(x) OVER w AS s FROM events WHERE x > 1 {window}")
    parts = records([(1 + second % 2, second % 11, 1 + second % 5) for second in range(80)])
    expected = whole(job, parts)
    for seed in range(5):
        found = Local(job, seed, restart=0.1).run(batches(parts, 1))
        features = [value for one in found if one.topic == "features" for value in one.values.to_list()]
        assert len(features) == len(expected) > 10
        assert set(features) == expected


def test_a_join_and_two_keys_are_three_tasks() -> None:
    tasks = cut(job_of(SQL).plan).tasks
    assert [task.routes is not None for task in tasks] == [True, True, True]
    assert sum(task.joined == "prices" for task in tasks) == 1


def test_limit_is_refused() -> None:
    with pytest.raises(FeatureError, match="met LIMIT; on flink every event gives one row"):
        cut(job_of("SELECT id FROM events LIMIT 3").plan)


def test_where_on_a_joined_column_is_refused() -> None:
    with pytest.raises(FeatureError, match="WHERE may use the driving row's own columns"):
        cut(job_of("SELECT id FROM events LAST JOIN prices ORDER BY prices.at ON events.a = prices.a WHERE price > 1").plan)


def test_bytes_of_records_keep_nulls() -> None:
    found = Bytes.of([b"a", None, b"", b"bcd", None])
    assert found.to_list() == [b"a", None, b"", b"bcd", None]
    assert found.take(np.array([4, 3, 0])).to_list() == [None, b"bcd", b"a"]
    assert Bytes.nulls(2).to_list() == [None, None] and Bytes.empty().to_list() == []


@pytest.mark.parametrize("count", [3, 5_000])
def test_a_message_is_the_same_after_its_way(count: int) -> None:
    offsets = np.arange(count, dtype=np.int64)
    table = pa.table({"a": pa.array(["x", None, "z"] * count).slice(0, count), "at": offsets})
    message = pack(Piece(1, offsets, table, table.select([])))
    found = unpack(message)
    assert isinstance(found, Piece) and found.table.equals(table) and found.offsets.tolist() == offsets.tolist()
    if count > 1000:
        assert len(message) < table.nbytes + offsets.nbytes


def test_equal_numbers_fall_into_one_bucket() -> None:
    nan = np.array([0x7FF8000000000000, 0xFFF8000000000000], np.uint64).view(np.float64)  # what is read, and what inf - inf gives
    for same in ([1, 1.0], [0.0, -0.0], nan.tolist()):
        assert len({int(bucket_of(pa.table({"k": [one]}), 1_000_000)[0]) for one in same}) == 1


def test_a_large_record_that_cannot_be_read_is_a_small_dead_letter() -> None:
    """Of one that a topic does not take nothing would be written, and the job would fail at it again and again."""
    values = Bytes.of([b"no json" * 1_000_000, b"no json"])
    offsets, none = np.arange(2, dtype=np.int64), Bytes.nulls(2)
    arrived = Arrived(1, Records("p.events", 0, offsets, offsets, none, values, Headers.none(2), 2))
    (letters,) = (one.values.to_list() for one in Local(job_of(SQL)).run([arrived]) if one.topic == "dead-letters")
    large, small = (json.loads(letter or b"") for letter in letters)
    assert (large["value"], large["left_out"]) == (None, 7_000_000)
    assert (small["value"], small["left_out"]) == ("bm8ganNvbg==", 0)
