"""Alarms of the drift topic, told to a webhook: each at least once, from the day the address is set."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connectors import whole
from connectors.webhook import WebhookError, post
from streams.predictions import log
from streams.project import Project
from streams.worker.connection import Connection

ADDRESS = "DRIFTLINE_WEBHOOK"
_log = logging.getLogger(__name__)


def address(project: Project, environ: Mapping[str, str] = os.environ) -> str | None:
    """The environment's address before the project's: it may carry a secret."""
    return environ.get(ADDRESS) or project.alerts.webhook


class Alerts:
    """Follows the checks. What was told is remembered by offset in a file, so that a restart tells nothing twice but the last."""

    def __init__(self, project: Project, connection: Connection, url: str) -> None:
        self._project, self._url = project, url
        self._place: Path = project.state_dir / "alerts-told"
        self._remember(int(self._place.read_text()) if self._place.exists() else self._now(connection))
        self._follower = log.Follower(connection, [project.topic("drift")])

    def _now(self, connection: Connection) -> int:
        """Alarms of before are no news."""
        return max((one.end for one in log.whole(connection, self._project.topic("drift"))), default=0) - 1

    def close(self) -> None:
        self._follower.close()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.work(500)

    def work(self, timeout_ms: int = 0) -> int:
        """Tell what is new; how many alarms that were. One that cannot be told is logged and passed over."""
        told = 0
        for record in self._follower.poll(timeout_ms):
            if record.offset <= self._told or record.value is None:
                continue
            if record.value.get("alarm"):
                try:
                    post(self._url, message(self._project, record.value))
                    told += 1
                except WebhookError as error:
                    _log.warning("alarm %s: %s", record.value.get("check_id"), error)
            self._remember(record.offset)
        return told

    def _remember(self, offset: int) -> None:
        """Up to here all is told."""
        self._told = offset
        self._place.parent.mkdir(parents=True, exist_ok=True)
        whole.write(self._place, str(offset))


def message(project: Project, check: Mapping[str, Any]) -> dict[str, Any]:
    """`text` is for people (Slack, Mattermost, Teams show it as it is), the rest for programs. Times are event time in ms."""
    alarm = check["alarm"]
    return {
        "text": f"{project.name}: {alarm['kind']}: {alarm['reason']}",
        "project": project.name,
        "kind": alarm["kind"],
        "reason": alarm["reason"],
        "check_id": check["check_id"],
        "start": check["start"],
        "end": check["end"],
        "version": check.get("version"),
        "run_id": check.get("run_id"),
    }
