"""Topics read outside a worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from connectors.kafka.admin import TopicSettings
from connectors.memory import MemoryBroker
from streams.predictions import log


def test_a_reader_that_takes_its_time_is_no_silence_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    connection, clock = MemoryBroker(), [0.0]
    connection.ensure_topics({"runs": TopicSettings(partitions=2)})
    log.append(connection, "runs", [("a", {"n": 1}, 1), ("b", {"n": 2}, 2)])
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    found = 0
    for records in log.chunks(connection, log.whole(connection, "runs")):
        found += len(records)
        clock[0] += 10 * log.QUIET_S
    assert found == 2
