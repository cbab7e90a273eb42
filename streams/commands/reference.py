"""`python -m streams.commands.reference`: writes docs/reference/ from the commands' own help and the settings' own declarations."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from streams import project
from streams.settings import duration_text, keys_of

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_HEAD = "<!-- written by: python -m streams.commands.reference -->\n"


def cli_text() -> str:
    """Every command's --help, as it is printed 100 columns wide."""
    from streams.cli import app

    root = typer.main.get_command(app)
    parts = [_HEAD, "# The command line\n"]
    for words, command in _commands(root, ("driftline",)):
        context = command.make_context(" ".join(words), ["--help"], resilient_parsing=True, terminal_width=100)
        parts.append(f"## {' '.join(words)}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*words, name))


def settings_text() -> str:
    """Every key of driftline.toml with its type, its default, and the comment that stands beside it."""
    parts = [
        _HEAD,
        "# driftline.toml\n",
        'Durations are text: `"250ms"`, `"6h"`, `"1d12h"`. An unknown key is refused, with the nearest one named.\n',
    ]
    parts += ["## At the top\n", _table(project.Project, list(project.PLAIN))]
    sections: dict[str, type] = {"sources.NAME": project.Source, "model": project.Model, "model.labels": project.Labels, **project.SECTIONS}
    for name, kind in sections.items():
        extra = (
            '| `fields` | table | | the schema: NAME = "TYPE" (BOOL, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, STRING, TIMESTAMP, DATE) |\n| `schema` | text | | an Avro schema\'s file, instead of `fields` |\n'
            if kind is project.Source
            else ""
        )
        doc = inspect.cleandoc(kind.__doc__ or "")
        parts += [
            f"## [{name}]\n",
            *([doc + "\n"] if not doc.startswith(f"{kind.__name__}(") else []),
            _table(kind, list(keys_of(kind))) + extra,
        ]
    return "\n".join(parts)


def _table(kind: type, keys: list[str]) -> str:
    comments = _comments(kind)
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    by_key = keys_of(kind)
    for key in keys:
        field = by_key[key]
        lines.append(f"| `{key}` | {_type(field)} | {_default(field)} | {comments.get(field.name, '')} |")
    return "\n".join(lines) + "\n"


def _comments(kind: type) -> dict[str, str]:
    """The comments after the fields, as they stand in the source."""
    found = re.findall(r"^    (\w+): [^#\n]*?(?:#\s*(.*))?$", inspect.getsource(kind), flags=re.M)
    return {name: comment.strip().replace("|", "\\|") for name, comment in found}


def _type(field: dataclasses.Field[Any]) -> str:
    text = str(field.type)
    if "Labels" in text:
        return "table"
    if field.name.endswith(("_ms", "_s")):
        return "duration"
    for word, said in (
        ("tuple", "list of texts"),
        ("Path", "path"),
        ("bool", "true or false"),
        ("int", "whole number"),
        ("float", "number"),
    ):
        if word in text:
            return said
    return "text"


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if field.name == "name":
        return "the folder's"
    if value is dataclasses.MISSING:
        return "needed" if field.default_factory is dataclasses.MISSING else ""
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and field.name.endswith(("_ms", "_s")):
        return f'`"{duration_text(value if field.name.endswith("_ms") else value * 1000)}"`'
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)!r}`".replace("'", '"')
    return f"`{value}`" if isinstance(value, int | float) else f'`"{value}"`'


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "cli.md").write_text(cli_text(), encoding="utf-8")
    (FOLDER / "settings.md").write_text(settings_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
