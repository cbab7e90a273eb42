"""Rows of files as other programs write them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from streams.errors import DriftlineError
from streams.produce.reader import read_file
from streams.sections import Source
from streams.types import Type

SOURCE = Source(
    name="orders", time="at", fields={"id": Type.STRING, "at": Type.TIMESTAMP, "n": Type.BIGINT, "x": Type.DOUBLE, "ok": Type.BOOL}
)


def rows(file: Path) -> list[dict[str, Any]]:
    """The values of the cells that have one; the bad rows must be none."""
    found = []
    for chunk in read_file(str(file), SOURCE):
        assert list(chunk.bad) == []
        found += [json.loads(value or b"") for value in chunk.values.to_list()]
    return [{name: cell for name, cell in row.items() if cell is not None} for row in found]


def csv(folder: Path, text: str) -> Path:
    (folder / "o.csv").write_text(text)
    return folder / "o.csv"


def test_times_are_read_however_finely_they_are_written(tmp_path: Path) -> None:
    """Of pandas (microseconds), of Postgres (a zone of hours), and numbers among them."""
    texts = ["2023-11-14T22:13:20.123456", "2023-11-15 00:13:20.123456+02", "2023-11-14 22:13:20.123Z", "1700000000123", "1700000000123.0"]
    assert [row["at"] for row in rows(csv(tmp_path, "at\n" + "\n".join(texts)))] == [1_700_000_000_123] * 5
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        pa.parquet.write_table(pa.table({"at": pa.array(texts).cast(kind)}), tmp_path / "o.parquet")
        assert [row["at"] for row in rows(tmp_path / "o.parquet")] == [1_700_000_000_123] * 5


def test_whole_numbers_may_have_a_point_as_in_json(tmp_path: Path) -> None:
    assert rows(csv(tmp_path, "at,n\n1,5.0\n2,\n3,-9007199254740993.00\n")) == [
        {"at": 1, "n": 5},
        {"at": 2},
        {"at": 3, "n": -9_007_199_254_740_993},
    ]
    (chunk,) = read_file(str(csv(tmp_path, "at,n\n1,5.5\n")), SOURCE)
    assert "n: BIGINT was wished, '5.5' was met" in str(chunk.bad[0])


def test_a_text_in_quotes_is_what_it_says(tmp_path: Path) -> None:
    text = 'id,at,n,x,ok\n"NA",1,"7","","true"\nNA,2,NA,NaN,\n"",3,"NA","1.5",""\n'
    assert rows(csv(tmp_path, text)) == [{"id": "NA", "at": 1, "n": 7, "ok": True}, {"at": 2}, {"id": "", "at": 3, "x": 1.5}]


@pytest.mark.parametrize("text", ["id,at", "id,at\n", "id,at\r\n\r\n"])
def test_a_header_alone_is_a_file_without_rows(tmp_path: Path, text: str) -> None:
    assert rows(csv(tmp_path, text)) == []
    (tmp_path / "o.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert rows(tmp_path / "o.csv.gz") == []


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DriftlineError, match=r"o.csv: the column 'id' stands twice; which one is meant\?"):
        rows(csv(tmp_path, "id,at,id\na,1,b\n"))
