"""Python functions of a project: scalar ones over Arrow arrays, aggregates over frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from streams.errors import FeatureError
from streams.features.farm import signed
from streams.features.plan import compile_features
from streams.features.program import Program
from streams.features.udf import Udfs, load
from streams.types import Batch, Type

MODULE = """
import pyarrow as pa
import pyarrow.compute as pc

from streams.features.udf import aggregate, scalar


@scalar(takes=["DOUBLE", "DOUBLE"], gives="DOUBLE")
def distance(a, b):
    return pc.abs(pc.subtract(a, b))


@aggregate(takes=["DOUBLE"], gives="DOUBLE")
class spread:
    def initial(self):
        return []

    def update(self, state, value):
        return state if value is None else [*state, value]

    def result(self, state):
        return max(state) - min(state) if state else None
"""
SCHEMA = {"k": Type.STRING, "x": Type.DOUBLE, "n": Type.INT, "ts": Type.TIMESTAMP}


@pytest.fixture
def udfs(tmp_path: Path) -> Udfs:
    (tmp_path / "mine.py").write_text(MODULE)
    return load(tmp_path, ["mine.py"])


def test_a_project_calls_its_own_functions(udfs: Udfs) -> None:
    sql = "SELECT distance(x, n) AS d, spread(x) OVER w AS s FROM t WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    plan = compile_features(sql, {"t": SCHEMA}, udfs=udfs)
    rows = pa.table(
        {
            "k": ["a", "a", "a"],
            "x": pa.array([1.0, 4.0, None]),
            "n": pa.array([3, 3, 3], pa.int32()),
            "ts": pa.array([1, 2, 3], pa.timestamp("ms")),
        }
    )
    found = Program(plan).process(Batch({"t": rows}, {"t": np.arange(3)})).table
    assert found.to_pydict() == {"d": [2.0, 1.0, None], "s": [0.0, 3.0, 0.0]}


def test_wrong_arguments_are_refused(udfs: Udfs) -> None:
    with pytest.raises(FeatureError, match=r"met distance\(STRING, DOUBLE\), wished distance\(DOUBLE, DOUBLE\)"):
        compile_features("SELECT distance(k, x) AS d FROM t", {"t": SCHEMA}, udfs=udfs)


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="udfs: met gone, wished a Python file"):
        load(tmp_path, ["gone"])


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        ("1footrue", -1541654101129638711),
        ("2applefalse", 2794438866806483259),
        ("3true", -4880158226897771312),
        ("a" * 40, 2168401864796137711),
    ],
)
def test_fingerprints_are_farmhash(text: str, hashed: int) -> None:
    assert signed(text.encode()) == hashed
