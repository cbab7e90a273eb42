"""What the documents show, runs; what they link to, is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
import typer
import yaml

from connectors.ports import free_port
from streams.cli import app
from tests.waiting import until

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "streams/templates/blank/README.md"]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), flags=re.M | re.S)


def commands(document: Path) -> list[list[str]]:
    """Every `driftline ...` of the blocks and of the running text."""
    text = document.read_text()
    lines = [line for language in ("sh", "console") for block in blocks(document, language) for line in block.splitlines()]
    lines += re.findall(r"`(driftline [^`]*)`", text) + re.findall(r"^    (driftline .*)$", text, flags=re.M)
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line.removeprefix("$ ").startswith("driftline ")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_is_there(document: Path) -> None:
    root = typer.main.get_command(app)
    for words in commands(document):
        command = root
        for word in words[1:]:
            inner = getattr(command, "commands", None)
            if inner is None or not word.islower() or word.startswith("-"):
                break
            assert word in inner, f"{document.name}: {' '.join(words)}"
            command = inner[word]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{document.name}: {' '.join(words)}"


def test_make_commands_are_there() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text()))
    listed = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), flags=re.M))
    assert named <= listed
    assert {"help", "setup", "demo", "test", "check", "bench", "fuzz", "clean"} <= listed


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_project_in_five_minutes(tmp_path: Path) -> None:
    """The README's console block, line by line, in a shell that has the environment's commands."""
    block = next(block for block in blocks(ROOT / "README.md", "console") if "driftline init" in block)
    lines = [line.removeprefix("$ ") for line in block.splitlines()]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    script = "set -e\n" + "\n".join(lines)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, env={"PATH": path, "HOME": str(Path.home())}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Dashboard: http://127.0.0.1:" in done.stdout
    assert re.search(r"Sent 13\d,\d{3} rows", done.stdout)
    assert "Stopped features" in done.stdout


def test_containers_are_bound_to_this_machine_and_run_commands_that_are_there() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    root = typer.main.get_command(app)
    targets = set(re.findall(r"^FROM .* AS (\w+)", (ROOT / "Dockerfile").read_text(), flags=re.M))
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        if "build" in service:
            assert service["build"]["target"] in targets
        if service.get("image") in ("driftline", "driftline-flink") and "entrypoint" not in service:
            assert service["command"][0] in root.commands, name  # type: ignore[attr-defined]


def test_the_registry_of_the_containers_answers_to_the_name_they_call_it(tmp_path: Path) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    registry = "registry.mlflow=http://mlflow:5000"
    assert all(
        registry in [*services[name].get("entrypoint", []), *services[name].get("command", [])]
        for name in ("predictions", "loop", "dashboard")
    )
    port = free_port()
    here = {"0.0.0.0": "127.0.0.1", "5000": str(port), "sqlite:////mlflow/mlflow.db": f"sqlite:///{tmp_path}/mlflow.db"}
    command = [sys.executable, "-m", "mlflow", "server", *(here.get(one, one) for one in services["mlflow"]["command"])]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/registered-models/search?max_results=1", headers={"Host": "mlflow:5000"}
        )

        def answered() -> bool:
            assert server.poll() is None, (tmp_path / "log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(asked) as answer:
                    return answer.status == 200
            except urllib.error.HTTPError as refused:  # it is up, and says no
                pytest.fail(f"{refused}: {refused.read().decode()}")
            except OSError:
                return False

        until(answered, 60)
    finally:
        family = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        server.wait(20)
        for one in family:
            if one.is_running():
                one.kill()


def test_the_reference_is_what_the_commands_and_settings_say() -> None:
    from streams.commands.reference import FOLDER, cli_text, settings_text

    assert (FOLDER / "cli.md").read_text() == cli_text(), "write it again: python -m streams.commands.reference"
    assert (FOLDER / "settings.md").read_text() == settings_text(), "write it again: python -m streams.commands.reference"
