"""A small GitLab with a memory: merge requests over a bare git repository, as the REST API v4 answers."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "glpat-test"


class FakeGitLab:
    """`requests[iid]` are the merge requests; a merge fast-forwards the target branch."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.requests: dict[int, dict[str, Any]] = {}
        self.notes: list[tuple[int, str]] = []

    def head(self, branch: str) -> str:
        done = subprocess.run(["git", "rev-parse", f"refs/heads/{branch}"], cwd=self.repository, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def answer(self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        values = {**query, **body}
        if path == ["merge_requests"] and method == "GET":
            return 200, [
                one
                for one in self._fresh()
                if all(str(one[name]) == values[name] for name in ("state", "source_branch", "target_branch") if name in values)
            ]
        if path == ["merge_requests"] and method == "POST":
            iid = len(self.requests) + 1
            self.requests[iid] = {
                "id": 1000 + iid, "iid": iid, "state": "opened", "title": values["title"], "description": values.get("description", ""),
                "source_branch": values["source_branch"], "target_branch": values["target_branch"], "merge_commit_sha": None,
                "web_url": f"http://gitlab.test/-/merge_requests/{iid}", "sha": self.head(values["source_branch"]),
            }  # fmt: skip
            return 201, self.requests[iid]
        one = self.requests.get(int(path[1])) if len(path) > 1 else None
        if one is None:
            return 404, {"message": "404 Not found"}
        self._fresh()
        if path[2:] == ["merge"] and method == "PUT":
            if values.get("sha") != one["sha"]:
                return 409, {"message": "SHA does not match HEAD of source branch"}
            if one["state"] != "opened":
                return 405, {"message": "405 Method Not Allowed"}
            subprocess.run(["git", "update-ref", f"refs/heads/{one['target_branch']}", one["sha"]], cwd=self.repository, check=True)
            one.update(state="merged", merge_commit_sha=one["sha"])
            return 200, one
        if path[2:] == ["notes"] and method == "POST":
            self.notes.append((one["iid"], values["body"]))
            return 201, {"id": len(self.notes), "body": values["body"]}
        if method == "PUT":
            if values.get("state_event") == "close":
                one["state"] = "closed"
            return 200, one
        return 200, one

    def _fresh(self) -> list[dict[str, Any]]:
        for one in self.requests.values():
            if one["state"] == "opened":
                one["sha"] = self.head(one["source_branch"])
        return list(self.requests.values())


@contextmanager
def serving(fake: FakeGitLab) -> Iterator[str]:
    """The address it answers at."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}") if size else {}
            parts = urlsplit(self.path)
            path = parts.path.strip("/").split("/")
            if self.headers.get("PRIVATE-TOKEN") != TOKEN:
                status, value = 401, {"message": "401 Unauthorized"}
            elif path[:3] == ["api", "v4", "projects"]:
                status, value = fake.answer(self.command, path[4:], {name: one[0] for name, one in parse_qs(parts.query).items()}, body)
            else:
                status, value = 404, {"message": "404 Not found"}
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = _do

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
