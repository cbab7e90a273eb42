"""Flink's REST end: what jobs there are, how they do, and how they are stopped."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from streams.errors import BrokerError

NO_JOB = "Is the job running? Start it with: driftline run features --on flink"
ENDED = ("FINISHED", "CANCELED", "FAILED", "SUSPENDED")


@dataclass(frozen=True)
class Job:
    """One job. `state` as Flink calls it; `restarts` since it was submitted; `failure` is the root of the last exception, one line.

    `failed_checkpoints` are those of the newest (ten, unless the cluster keeps more) that had begun. Flink's own count has every one that was due before all tasks ran.
    """

    id: str
    name: str
    state: str
    restarts: int
    checkpoints: int
    failed_checkpoints: int
    last_checkpoint: str | None
    last_checkpoint_at: int | None
    failure: str | None


class Rest:
    """`address` is host:port."""

    def __init__(self, address: str, timeout: float = 10.0) -> None:
        self._address, self._timeout = address, timeout

    def reach(self) -> None:
        """BrokerError where there is no cluster to submit to."""
        self._send("/overview", None, "GET", "Start the cluster, or take `address` out of [flink]: the job then runs in this process.")

    def jobs(self) -> list[Job]:
        """All jobs the cluster knows. BrokerError where nothing answers."""
        return [self.job(one["id"]) for one in self._get("/jobs")["jobs"]]

    def job(self, job: str) -> Job:
        about, checkpoints = self._get(f"/jobs/{job}"), self._get(f"/jobs/{job}/checkpoints")
        counts = checkpoints.get("counts", {})
        failed = sum(one["status"] == "FAILED" for one in checkpoints.get("history", ()))
        last = (checkpoints.get("latest") or {}).get("completed") or {}
        return Job(
            job, about["name"], about["state"], self._restarts(job), counts.get("completed", 0), failed,
            last.get("external_path"), last.get("latest_ack_timestamp"), self._failure(job),
        )  # fmt: skip

    def stop(self, job: str, folder: str | None = None, seconds: float = 120.0) -> str:
        """Stop a job with a savepoint; its path."""
        body: dict[str, Any] = {"drain": False, **({"targetDirectory": folder} if folder else {})}
        request = self._send(f"/jobs/{job}/stop", body)["request-id"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self._get(f"/jobs/{job}/savepoints/{request}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "location" in operation:
                    return str(operation["location"])
                raise BrokerError(
                    f"The savepoint of job {job} failed: {root_cause(operation.get('failure-cause', {}).get('stack-trace', ''))}"
                )
            time.sleep(0.2)
        raise BrokerError(f"The savepoint of job {job} was not there after {seconds:.0f} s; the job goes on. See: driftline flink list")

    def cancel(self, job: str) -> None:
        self._send(f"/jobs/{job}", None, "PATCH")

    def _restarts(self, job: str) -> int:
        found = self._get(f"/jobs/{job}/metrics?get=numRestarts")
        return int(float(found[0]["value"])) if found else 0

    def _failure(self, job: str) -> str | None:
        entries = self._get(f"/jobs/{job}/exceptions?maxExceptions=1").get("exceptionHistory", {}).get("entries", [])
        if not entries:
            return None
        return root_cause(entries[0].get("stacktrace", ""))

    def _get(self, path: str) -> Any:
        return self._send(path, None, "GET")

    def _send(self, path: str, body: dict[str, Any] | None, method: str | None = None, remedy: str = NO_JOB) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self._address}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise BrokerError(f"Flink at {self._address} refused {path}: {_first(error.read().decode(errors='replace'))}") from error
        except OSError as error:
            raise BrokerError(f"No Flink answers at {self._address} ({error}). {remedy}") from error
        return json.loads(text) if text else {}


def root_cause(trace: str) -> str:
    """The line of a stack trace that says what happened: the last of a Python traceback in it, else the last cause."""
    lines = trace.splitlines()
    starts = [number for number, line in enumerate(lines) if "Traceback (most recent call last)" in line]
    if starts:
        said = [line for line in lines[starts[-1] + 1 :] if line and not line.startswith((" ", "\t", "Caused by:"))]
        if said:
            return said[0][:500]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by:")]
    return _first(causes[-1] if causes else trace)


def _first(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:500] if lines else "no reason given"
