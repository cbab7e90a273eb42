"""The feature SQL of the flights project, over four days of flights, gives what DuckDB gives by another way."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from streams.demo import data
from streams.features.plan import compile_features
from streams.features.program import Program
from streams.project import load_project
from streams.types import OFFSET, PARTITION, TIME, Batch
from tests.journey import referee

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"


@pytest.fixture(scope="module")
def four_days() -> data.Flights:
    return data.load().between("2013-01-05", "2013-01-09")


def batches(flights: data.Flights, cuts: int) -> list[Batch]:
    """The streams merged by event time, cut into batches of about equal rows. At equal times the flights come last."""
    tables = {}
    for name, table in flights.tables.items():
        times = table.column(data.TIMES[name]).cast(pa.int64())
        table = table.append_column(PARTITION, pa.array(np.zeros(len(table), np.int32)))
        tables[name] = table.append_column(OFFSET, pa.array(np.arange(len(table)))).append_column(TIME, times)
    time = np.concatenate([table.column(TIME).to_numpy() for table in tables.values()])
    rank = np.concatenate([np.full(len(table), rank) for rank, table in enumerate(tables.values())])
    places = np.empty(len(time), np.int64)
    places[np.lexsort((rank, time))] = np.arange(len(time))
    order = {name: places[rank == at] for at, name in enumerate(tables)}
    edges = np.linspace(0, len(time), cuts + 1).astype(int)
    found = []
    for low, high in pairwise(edges):
        rows = {name: np.searchsorted(order[name], [low, high]) for name in tables}
        cut = {name: tables[name].slice(first, last - first) for name, (first, last) in rows.items()}
        found.append(Batch(cut, {name: order[name][first:last] - low for name, (first, last) in rows.items()}))
    return found


@pytest.mark.parametrize("cuts", [1, 7])
def test_features_equal_the_referee(four_days: data.Flights, cuts: int) -> None:
    project = load_project(FLIGHTS)
    plan = compile_features(project.features_sql, project.schemas)
    assert plan.driving == "flights"
    program = Program(plan)
    answers = [program.process(batch).table for batch in batches(four_days, cuts)]
    answer = pa.concat_tables(answers).combine_chunks()
    expected = referee.features(four_days.tables)
    assert answer.num_rows == expected.num_rows == four_days.flights.num_rows
    assert len(answer.column_names) > 50
    for name in answer.column_names:
        has, wants = answer.column(name), expected.column(name)
        assert has.is_valid().to_pylist() == wants.is_valid().to_pylist(), name
        if pa.types.is_string(has.type):
            assert has.to_pylist() == wants.to_pylist(), name
        else:
            left, right = (column.fill_null(0).cast(pa.float64()).to_numpy() for column in (has, wants))
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12, err_msg=name)


def test_nothing_that_happens_later_is_in_a_feature(four_days: data.Flights) -> None:
    """Cut the streams at any moment: the features of the flights announced before it stay as they are."""
    project = load_project(FLIGHTS)
    plan = compile_features(project.features_sql, project.schemas)
    whole = Program(plan).process(batches(four_days, 1)[0]).table
    for cut in ("2013-01-06 13:07", "2013-01-07 22:00"):
        short = Program(plan).process(batches(four_days.between("2013-01-05", cut), 1)[0]).table
        assert 0 < short.num_rows < whole.num_rows
        assert short.equals(whole.slice(0, short.num_rows))
