"""A registry that does not answer is told of; it is not taken for an empty one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.mlflow import Registry
from streams.errors import ModelError

CALLS: list[tuple[Callable[[Registry, Path], object], str]] = [
    (lambda registry, folder: registry.versions("shop"), "the versions of shop cannot be listed"),
    (lambda registry, folder: registry.register("shop", folder, "run", {}, {}), "the versions of shop cannot be listed"),
    (lambda registry, folder: registry.fetch("shop", 1, folder / "1"), "version 1 of shop cannot be fetched"),
    (lambda registry, folder: registry.alias("shop", "champion", 1), "the alias champion of shop cannot be moved"),
]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Registry(tmp_path, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_a_server_that_fails_is_no_empty_registry(
    broken: Registry, tmp_path: Path, call: Callable[[Registry, Path], object], message: str
) -> None:
    with pytest.raises(ModelError, match=f"{message}: the registry says .*500"):
        call(broken, tmp_path)


def test_a_run_that_registers_again_gets_its_number_unless_the_model_is_another(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "model.txt").write_text("one")
    tags = {"sha256": "a", "commit": ""}
    assert registry.register("shop", tmp_path / "made", "run", {}, tags) == 1
    assert registry.register("shop", tmp_path / "made", "run", {}, tags) == 1
    (tmp_path / "made" / "model.txt").write_text("two")
    assert registry.register("shop", tmp_path / "made", "run", {}, {**tags, "sha256": "b"}) == 2
    assert (registry.fetch("shop", 2, tmp_path / "2") / "model.txt").read_text() == "two"
