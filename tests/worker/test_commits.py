"""The log of commits as it is read back: whole and in order, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.kafka.admin import TopicSettings
from connectors.kafka.columns import Bytes
from connectors.memory import MemoryBroker
from streams.errors import StateError
from streams.types import OffsetRange
from streams.worker.commits import Commit
from streams.worker.connection import Consumer
from streams.worker.merge import Frontier
from streams.worker.recovery import commits_of, read_commits, refuse_doubling

TOPIC = "t.commits"


def log(*numbers: int) -> Consumer:
    made = MemoryBroker()
    made.ensure_topics({TOPIC: TopicSettings(1)})
    commits = [
        Commit("features", number, (OffsetRange("t.a", 0, number, number + 1),), Frontier(), at=at) for at, number in enumerate(numbers)
    ]
    written = Bytes.of([commit.to_json().encode() for commit in commits])
    if commits:
        made.producer().send(TOPIC, 0, np.zeros(len(commits), np.int64), Bytes.of([b"features"] * len(commits)), written)
    return made.consumer()


def read(*numbers: int) -> list[tuple[int, int]]:
    return [(commit.number, commit.at) for commit in read_commits(log(*numbers), TOPIC, 0, "features")]


def test_a_commit_written_twice_counts_as_it_was_written_last() -> None:
    assert read(1, 2, 2, 3) == [(1, 0), (2, 2), (3, 3)]


def test_a_log_may_begin_later() -> None:
    assert [number for number, _ in read(7, 8, 9)] == [7, 8, 9]


@pytest.mark.parametrize(
    ("numbers", "place"), [((1, 3, 2, 4), "commit 3 .* its commit 1:"), ((1, 2, 4), "4 .* 2:"), ((1, 2, 3, 1), "1 .* 3:")]
)
def test_one_that_is_missing_or_behind_its_next_is_told(numbers: tuple[int, ...], place: str) -> None:
    with pytest.raises(StateError, match=f"t.commits has .*{place}"):
        read(*numbers)


def test_what_a_replay_wants_must_be_there() -> None:
    assert [commit.number for commit in commits_of(log(1, 2, 3), TOPIC, "features", 2)] == [1, 2]
    with pytest.raises(StateError, match="has no commit 1 of features"):
        list(commits_of(log(2, 3), TOPIC, "features", 3))


def test_a_start_from_the_beginning_is_refused_where_rows_are() -> None:
    refuse_doubling(log(), TOPIC, "features", "no position")
    refuse_doubling(log(1), TOPIC, "features", "no position")  # at least once: written, its positions lost
    with pytest.raises(StateError, match="but no position: going on would write the rows a second time"):
        refuse_doubling(log(1, 2), TOPIC, "features", "no position")


def test_another_steps_commits_are_no_matter() -> None:
    refuse_doubling(log(1, 2), TOPIC, "drift", "no position")
