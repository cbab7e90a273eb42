"""A new project from a template."""

from __future__ import annotations

import re
from pathlib import Path

from streams.errors import ProjectError
from streams.project import FILE, load_project
from streams.settings import one_of

TEMPLATES = ("blank", "flights")
_HERE = Path(__file__).parent.parent / "templates"
_RENAMED = {"gitignore": ".gitignore", "gitlab-ci.yml": ".gitlab-ci.yml"}  # as a dot file they would act on this repository
_LEFT_OUT = {".driftline", "__pycache__", "data"}


def init(folder: Path, template: str = "blank") -> list[Path]:
    """Write the files of a template into a new folder; its name is the project's. Returns the files.

    Raises ProjectError: a project is there already, a name that cannot be one, an unknown template.
    """
    one_of(template, TEMPLATES, "--template")
    name = folder.resolve().name
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        raise ProjectError(f"{name!r} cannot be a project's name: lower-case letters, digits, - and _ make one, as topics carry it.")
    if (folder / FILE).exists():
        raise ProjectError(f"{folder / FILE} is there already. Choose another name, or delete that project first.")
    written = []
    for source in sorted(_files(_source("blank")), key=str) if template == "blank" else _flights():
        root = _source("blank") if source.is_relative_to(_source("blank")) else _source(template)
        target = folder / _RENAMED.get(source.name, str(source.relative_to(root)))
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        target.write_text(_named(text, name, template), encoding="utf-8")
        written.append(target)
    load_project(folder)
    return written


def _flights() -> list[Path]:
    common = [file for file in _files(_source("blank")) if file.name in _RENAMED]
    return sorted([*_files(_source("flights")), *common], key=str)


def _source(template: str) -> Path:
    return _HERE / template


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and not _LEFT_OUT & set(file.relative_to(folder).parts)]


def _named(text: str, name: str, template: str) -> str:
    if template == "flights":
        return re.sub(r'^name = "flights"', f'name = "{name}"', text, count=1, flags=re.M)
    return text.replace("NAME", name)
