"""What predictions wait for, in step."""

from __future__ import annotations

import json

from streams.predictions.hold import Hold, boundary_after, first_run

DAY, HOUR = 86_400_000, 3_600_000


def test_the_first_champion_is_waited_for() -> None:
    hold = Hold(DAY, HOUR, 10 * DAY)
    assert hold.until() is None
    hold.starts(5)
    assert hold.until() == 10 * DAY + 5 + HOUR
    hold.ran(first_run(10 * DAY + 5), "training", None)
    assert hold.until() == 10 * DAY + 5 + HOUR
    hold.ran(first_run(10 * DAY + 5), "promoted", 1)
    assert hold.until() == 10 * DAY + 5 + HOUR, "its deployment has not come"
    hold.deployed(1)
    assert hold.until() == 11 * DAY + HOUR, "then the next boundary is"


def test_boundaries_and_the_runs_they_asked_for() -> None:
    hold = Hold(DAY, HOUR, None)
    hold.starts(5)
    assert hold.until() == DAY + HOUR
    hold.checked(DAY, False, None)
    assert hold.until() == DAY + HOUR, "not the last record of that boundary"
    hold.checked(DAY, True, "decay-1")
    assert hold.until() == DAY + HOUR, "the run it asked for"
    hold.ran("decay-1", "rejected", 2)
    assert hold.until() == 2 * DAY + HOUR


def test_a_run_may_be_read_before_the_check_that_announced_it() -> None:
    hold = Hold(DAY, 0, None)
    hold.starts(0)
    hold.ran("decay-1", "promoted", 3)
    hold.deployed(3)
    hold.checked(DAY, True, "decay-1")
    assert hold.until() == 2 * DAY


def test_a_run_that_waits_for_a_person_frees_predictions_only_where_people_approve() -> None:
    for by_people in (False, True):
        hold = Hold(DAY, 0, None, by_people)
        hold.starts(0)
        hold.checked(DAY, True, "decay-1")
        hold.ran("decay-1", "waiting", 2)
        assert hold.until() == (2 * DAY if by_people else DAY)


def test_its_state_can_be_written() -> None:
    hold, other = Hold(DAY, 0, DAY), Hold(DAY, 0, DAY)
    hold.starts(7)
    hold.ran("x", "failed", None)
    other.restore(json.loads(json.dumps(hold.snapshot())))
    assert other.until() == hold.until()
    assert other.snapshot() == hold.snapshot()


def test_boundaries_are_strictly_after() -> None:
    assert boundary_after(DAY, DAY) == 2 * DAY
    assert boundary_after(DAY - 1, DAY) == DAY
