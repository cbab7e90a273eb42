"""What a backfill on Flink refused of files has its place in the file, not in the topic it was sent through."""

from __future__ import annotations

from streams.events.dead_letters import DeadLetter
from streams.features.distributed.backfill import _of_files
from streams.types import Position

BEGINS = [("side.visits", 0, "a.jsonl"), ("side.visits", 3, "empty.jsonl"), ("side.visits", 3, "b.jsonl"), ("side.rates", 0, "c.jsonl")]


def letter(topic: str, offset: int) -> DeadLetter:
    return DeadLetter(Position(topic, 0, offset), f"no JSON at {offset}", b"{", None, (), 0, 0, "0")


def test_a_refused_row_is_told_with_its_file_and_row() -> None:
    for stood, said in [
        (("side.visits", 0), "a.jsonl, row 1: no JSON at 0"),
        (("side.visits", 2), "a.jsonl, row 3: no JSON at 2"),
        (("side.visits", 3), "b.jsonl, row 1: no JSON at 3"),  # an empty file between has no row
        (("side.visits", 503), "b.jsonl, row 501: no JSON at 503"),
        (("side.rates", 1), "c.jsonl, row 2: no JSON at 1"),
    ]:
        found = _of_files([letter(*stood)], BEGINS)
        assert (found.count, found.first) == (1, said)


def test_all_are_counted_and_the_first_is_told() -> None:
    found = _of_files([letter("side.visits", 4), letter("side.rates", 0)], BEGINS)
    assert (found.count, found.first) == (2, "b.jsonl, row 2: no JSON at 4")


def test_of_the_log_nothing_is_told_here() -> None:
    assert _of_files([letter("visits", 4)], []).count == 0
