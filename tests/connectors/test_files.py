"""Files as tables: the same rows from every format, errors that name line and column."""

from __future__ import annotations

import csv
import datetime
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import files
from connectors.files import read_tables, write_parquet
from connectors.formats.times import NONE, times_of
from connectors.kafka import Bytes
from streams.errors import EventError
from streams.types import Type

SCHEMA = {"key": Type.STRING, "at": Type.TIMESTAMP, "x": Type.DOUBLE, "n": Type.INT, "yes": Type.BOOL, "day": Type.DATE}
ROWS: list[dict[str, Any]] = [
    {"key": "a", "at": "2013-01-01T05:15:00Z", "x": 0.1, "n": 1, "yes": True, "day": "2013-01-01"},
    {"key": 'with "quotes", a comma\nand a line', "at": "2013-01-01 05:15:00.5", "x": None, "n": None, "yes": False, "day": None},
    {"key": "é", "at": "2013-01-01T07:15:00+02:00", "x": -1e300, "n": -7, "yes": None, "day": "1969-12-31"},
]
WISHED = [
    {"key": "a", "at": 1357017300000, "x": 0.1, "n": 1, "yes": True, "day": datetime.date(2013, 1, 1)},
    {"key": 'with "quotes", a comma\nand a line', "at": 1357017300500, "x": None, "n": None, "yes": False, "day": None},
    {"key": "é", "at": 1357017300000, "x": -1e300, "n": -7, "yes": None, "day": datetime.date(1969, 12, 31)},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.name.endswith(".parquet"):
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}), path)
        return path
    text = ""
    if ".jsonl" in path.name:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        with open(path.with_suffix(".tmp"), "w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        text = path.with_suffix(".tmp").read_bytes().decode()
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def rows_of(path: Path, **more: Any) -> list[dict[str, Any]]:
    found = []
    for table in read_tables(path, SCHEMA, **more):
        assert table.schema.types == [kind.arrow for kind in SCHEMA.values()]
        found += table.set_column(1, "at", table.column("at").cast(pa.int64())).to_pylist()
    return found


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.csv", "x.csv.gz", "x.parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert rows_of(write(tmp_path / name, ROWS)) == WISHED


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
def test_bounded_pieces_give_the_same_rows(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / name, ROWS * 40)
    monkeypatch.setattr(files, "BLOCK", 400)
    monkeypatch.setattr(files, "ROWS", 7)
    assert len(list(read_tables(path, SCHEMA))) > 5
    assert rows_of(path) == WISHED * 40


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("x.jsonl", {"x": "much"}, '4: field x: DOUBLE wanted, met text "much"'),
        ("x.jsonl", {"at": "yesterday"}, '4: field at: TIMESTAMP as integer milliseconds since the epoch wanted, met text "yesterday"'),
        ("x.csv", {"x": "much"}, '6: column x: DOUBLE wanted, met text "much"'),
        ("x.csv", {"n": "3000000000"}, '6: column n: INT wanted, met text "3000000000"'),
        ("x.csv", {"at": "2013-02-30"}, '6: column at: TIMESTAMP as ISO 8601 or milliseconds wanted, met text "2013-02-30"'),
        ("x.csv", {"at": ""}, "6: column at: TIMESTAMP wanted, it is empty"),
        ("x.parquet", {"at": "yesterday"}, '4: column at: TIMESTAMP as ISO 8601 or milliseconds wanted, met text "yesterday"'),
        ("x.parquet", {"at": None}, "4: column at: TIMESTAMP wanted, met NULL"),
    ],
)
def test_errors_name_line_and_column(tmp_path: Path, name: str, change: dict[str, Any], message: str) -> None:
    """The second row of the CSV has a line break inside: the fourth row stands at line 6."""
    path = write(tmp_path / name, [*ROWS, {**ROWS[0], **change}, ROWS[2]])
    with pytest.raises(EventError) as met:
        rows_of(path, required=["at"])
    assert str(met.value) == f"{path}:{message}"
    told: list[tuple[int, str]] = []
    assert rows_of(path, required=["at"], refused=lambda line, reason: told.append((line, reason))) == [*WISHED, WISHED[2]]
    assert [f"{line}: {reason}" for line, reason in told] == [message]


def test_files_that_are_not_what_they_seem(tmp_path: Path) -> None:
    for name, text, message in [
        ("x.parquet", b"no", "this is no Parquet file"),
        ("x.csv", b"a,b\n1,2,3\n", "this is no CSV"),
        ("x.csv", b"a,a\n1,2\n", "column a stands twice"),
        ("x.csv", b"", "no header"),
        ("x.csv", b"key,x\na,1\n", "column at is wanted, the file has key, x"),
        ("x.txt", b"", "is not read; there is .jsonl"),
    ]:
        (tmp_path / name).write_bytes(text)
        with pytest.raises(EventError, match=message):
            rows_of(tmp_path / name, required=["at"] if "wanted" in message else [])
    with pytest.raises(EventError, match="there is no such file"):
        rows_of(tmp_path / "missing.csv")
    pq.write_table(pa.table({"n": [1.5]}), tmp_path / "y.parquet")
    with pytest.raises(EventError, match="column n: INT wanted, the file has double"):
        rows_of(tmp_path / "y.parquet")


def test_parquet_bytes_depend_on_the_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GROUP", 100)
    table = pa.table({"x": np.arange(1_234), "s": [str(i % 7) for i in range(1_234)]})
    digests = set()
    for cut in (1_234, 100, 7, 333):
        rows = write_parquet(tmp_path / "x.parquet", (table.slice(at, cut) for at in range(0, 1_234, cut)))
        assert rows == 1_234
        assert pq.read_table(tmp_path / "x.parquet").equals(table)
        digests.add(hashlib.sha256((tmp_path / "x.parquet").read_bytes()).hexdigest())
    assert len(digests) == 1
    assert write_parquet(tmp_path / "y.parquet", [], table.schema) == 0
    assert pq.read_table(tmp_path / "y.parquet").schema == table.schema
    with pytest.raises(ValueError, match="no schema"):
        write_parquet(tmp_path / "z.parquet", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.parquet", "y.parquet"]


@given(
    st.lists(st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)), max_size=10),
    st.integers(-1439, 1439),
    st.sampled_from("T "),
)
def test_times_are_read_as_python_reads_them(found: list[datetime.datetime], zone: int, between: str) -> None:
    offset = datetime.timezone(datetime.timedelta(minutes=zone))
    texts = (
        [one.replace(tzinfo=offset).isoformat(between) for one in found]
        + [one.isoformat(between) for one in found]
        + ["2013-01-01T24:00", "2013-13-01"]
    )
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    wished = [(one.replace(tzinfo=offset) - epoch) // datetime.timedelta(milliseconds=1) for one in found]
    wished += [(one.replace(tzinfo=datetime.UTC) - epoch) // datetime.timedelta(milliseconds=1) for one in found] + [NONE, NONE]
    values, out = Bytes.of([text.encode() for text in texts]), np.zeros(len(texts), np.int64)
    times_of(values.buffer, values.start, values.length, out)
    assert out.tolist() == wished
