"""The shape of the code: imports go one way, the steps are in one order everywhere, one module knows each heavy library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.pipeline import STEPS

ROOT = Path(__file__).resolve().parents[1]
SHARED = {"types", "errors", "step", "project", "settings", "sensors"}  # of streams; anybody may import these
HEAVY = {"evidently": "streams/drift/report.py", "mlflow": "connectors/mlflow.py"}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "templates" not in path.parts]


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sources("streams", "connectors"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    found = set(imports(path))
    assert not {name for name in found if name.split(".")[0] in ("dashboard", "tests", "benchmarks")} or path.name == "up.py"
    if path.is_relative_to(ROOT / "connectors"):
        assert not {name for name in found if name.startswith("streams.") and name.split(".")[1] not in SHARED}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_only_steps_before_it(step: str) -> None:
    after = STEPS[STEPS.index(step) + 1 :]
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(f"streams/{step}")
        for name in imports(path, top_level_only=True)
        if name.split(".")[0] == "streams" and len(name.split(".")) > 1 and name.split(".")[1] in after
    }
    assert not wrong


def test_each_heavy_library_has_one_home() -> None:
    for library, home in HEAVY.items():
        users = {
            str(path.relative_to(ROOT))
            for path in sources("streams", "connectors", "dashboard")
            if library in {n.split(".")[0] for n in imports(path)}
        }
        assert users <= {home}, library
    flink = {
        str(path.relative_to(ROOT).parent)
        for path in sources("streams", "connectors")
        if "pyflink" in {n.split(".")[0] for n in imports(path)}
    }
    assert flink <= {"connectors/flink", "streams/features/distributed"}


def test_the_tour_follows_the_steps() -> None:
    text = (ROOT / "docs" / "tour.md").read_text()
    named = [text.index(f"streams/{step}/") for step in STEPS]
    assert named == sorted(named)
