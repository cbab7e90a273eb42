"""Times in text against Python's own reading."""

from __future__ import annotations

import datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats.times import NONE, times_of
from connectors.kafka import Bytes


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
        + ["2013-01-01T24:00", "2013-13-01", "2013-01-01 05:15:00.123456+02", "2013-01-01 05:15:00+2"]
    )
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    wished = [(one.replace(tzinfo=offset) - epoch) // datetime.timedelta(milliseconds=1) for one in found]
    wished += [(one.replace(tzinfo=datetime.UTC) - epoch) // datetime.timedelta(milliseconds=1) for one in found]
    wished += [NONE, NONE, 1_357_010_100_123, NONE]
    values, out = Bytes.of([text.encode() for text in texts]), np.zeros(len(texts), np.int64)
    times_of(values.buffer, values.start, values.length, out)
    assert out.tolist() == wished
