"""The command line itself: help, mistakes, init, and what it says when nothing runs."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli import app, main
from streams.project import load_project


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def commands() -> list[str]:
    import typer

    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_help_answers_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run([sys.executable, "-m", "streams.cli", "--help"], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "driftline init NAME" in answer.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5, (
        "seconds of processor time: what others do on this machine does not count"
    )
    heavy = "import sys, streams.cli; print([m for m in ('numpy', 'pyarrow', 'kafka', 'rich.console', 'faust') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, command, "--help")
    assert status == 0
    assert f"driftline {command}" in out


def test_mistakes_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(capsys, "porduce")
    assert status == 2
    assert "Did you mean 'produce'?" in err
    status, _, err = run(capsys, "produce", "--sped", "3")
    assert status == 2
    assert "--speed" in err
    status, _, err = run(capsys, "status", str(tmp_path))
    assert status == 1
    assert err.strip() == f"{tmp_path}/driftline.toml: there is no such file. Make a project with: driftline init NAME"
    status, _, err = run(capsys, "up", str(tmp_path), "--set", "drift")
    assert "KEY=VALUE was expected" in err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    answer = subprocess.run([sys.executable, "-m", "streams.cli", "--debug", "status", str(tmp_path)], capture_output=True, text=True)
    assert "Traceback" in answer.stderr
    assert "ProjectError" in answer.stderr


@pytest.mark.parametrize("template", ["blank", "flights"])
def test_init_writes_a_project(template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from streams.features.step import plan_of

    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, "init", "my-shop", "--template", template, "--json")
    assert status == 0
    files = {Path(file).name for file in json.loads(out)["files"]}
    assert {"driftline.toml", "features.sql", "train.py", ".gitignore", ".gitlab-ci.yml"} <= files
    project = load_project(tmp_path / "my-shop")
    assert project.name == "my-shop"
    assert plan_of(project).schema, "its features compile"
    assert not [file for file in (tmp_path / "my-shop").rglob("*") if file.is_file() and "NAME" in file.read_text()]
    status, _, err = run(capsys, "init", "my-shop")
    assert status == 1
    assert "is there already" in err
    status, _, err = run(capsys, "init", "My Shop")
    assert "cannot be a project's name" in err
    status, _, err = run(capsys, "init", "other", "--template", "flight")
    assert "Did you mean 'flights'?" in err


def test_what_needs_a_broker_says_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(capsys, "init", "shop")
    monkeypatch.chdir(tmp_path / "shop")
    (tmp_path / "shop" / "x.jsonl").write_text("")
    for arguments in (["produce", "payments", "x.jsonl"], ["retrain"], ["runs"], ["promote", "1"]):
        status, _, err = run(capsys, *arguments)
        assert status == 1
        assert "The broker of shop does not run. Start it with: driftline up" in err
    status, out, _ = run(capsys, "status", "--json")
    assert status == 0
    assert json.loads(out)["running"] is False
    assert run(capsys, "down")[1] == "Nothing of shop runs.\n"


def test_a_folder_with_two_files_for_a_source_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(capsys, "init", "shop")
    monkeypatch.chdir(tmp_path / "shop")
    Path("in").mkdir()
    for name in ("payments.jsonl", "payments.csv", "chargebacks.csv"):
        (Path("in") / name).write_text("")
    status, _, err = run(capsys, "produce", "--all-from", "in")
    assert status == 1
    assert "in has 2 files for payments, and one is sent for a source. Set the others aside" in err
    assert "name each that shall be sent: payments=in/payments.jsonl payments=in/payments.csv" in err
