"""Alarms reach a webhook once, also over a restart; a webhook that refuses stops nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from connectors.memory import MemoryBroker
from connectors.webhook import WebhookError, post
from streams.drift.alerts import Alerts
from streams.predictions import log
from tests.retraining import shop


@contextmanager
def listening(statuses: list[int]) -> Iterator[tuple[str, list[Any]]]:
    """Answers with these statuses, then 200; what it was told."""
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/secret", told
    finally:
        server.shutdown()
        server.server_close()


def test_patience_with_what_may_pass_and_none_with_what_will_not() -> None:
    with listening([503, 429]) as (url, told):
        assert post(url, {"a": 1}, [0, 0]) == 200
        assert told == [{"a": 1}] * 3
    with listening([404]) as (url, told), pytest.raises(WebhookError, match="it answered 404") as refused:
        post(url, {}, [0, 0])
    assert len(told) == 1
    assert "secret" not in refused.value.message
    with pytest.raises(WebhookError, match="no http:// or https:// address"):
        post("ftp://x", {})


def check(end: int, alarm: dict[str, str] | None) -> tuple[str, dict[str, Any], int]:
    return f"data-{end}", {"check_id": f"data-{end}", "kind": "data", "start": 0, "end": end, "version": 1, "alarm": alarm}, end


def test_each_alarm_is_told_once(tmp_path: Path) -> None:
    connection = MemoryBroker()
    project = shop.make(connection, tmp_path)
    topic = project.topic("drift")
    ring = {"kind": "drift", "reason": "amount moved"}
    log.append(connection, topic, [check(1, ring)])
    with listening([]) as (url, told):
        alerts = Alerts(project, connection, url)
        alerts.work(100)
        assert not told, "what rang before is no news"
        log.append(connection, topic, [check(2, None), check(3, ring)])
        alerts.work(100)
        alerts.close()
        assert [(one["kind"], one["end"]) for one in told] == [("drift", 3)]
        assert told[0]["text"].endswith("drift: amount moved")
        again = Alerts(project, connection, url)
        again.work(100)
        log.append(connection, topic, [check(4, ring)])
        again.work(100)
        again.close()
        assert [one["end"] for one in told] == [3, 4]


def test_an_alarm_of_the_time_between_two_starts_is_told(tmp_path: Path) -> None:
    """The first process ended before any check was recorded."""
    connection = MemoryBroker()
    project = shop.make(connection, tmp_path)
    with listening([]) as (url, told):
        Alerts(project, connection, url).close()
        log.append(connection, project.topic("drift"), [check(1, {"kind": "drift", "reason": "amount moved"})])
        again = Alerts(project, connection, url)
        again.work(100)
        again.close()
        assert [one["end"] for one in told] == [1]
