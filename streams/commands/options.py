"""What several commands share: the project they are about, and how an answer is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streams.project import Project

ProjectOption = Annotated[str, typer.Option("--project", "-p", envvar="DRIFTLINE_PROJECT", help="The project's folder.")]
ProjectArgument = Annotated[str, typer.Argument(envvar="DRIFTLINE_PROJECT", help="The project's folder.", metavar="[PROJECT]")]
SettingsOption = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another value for a key of driftline.toml, as in --set drift.check_every=1h. Repeatable."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as one JSON object on one line.")]


def open_project(path: str, settings: Sequence[str] = ()) -> Project:
    """The project in a folder, with the values given by --set: TOML values, or plain text."""
    from streams.project import load_project

    return load_project(path, dict(_setting(text) for text in settings))


def _setting(text: str) -> tuple[str, object]:
    import tomllib

    from streams.errors import ProjectError

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ProjectError(f"--set {text}: KEY=VALUE was expected, as in --set drift.check_every=1h.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def show_json(answer: Any) -> None:
    """One JSON object on one line; dataclasses are objects of their fields, numbers that JSON does not have are null."""
    typer.echo(json.dumps(_plain(answer), allow_nan=False))


def _plain(value: Any) -> Any:
    import dataclasses

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def show_table(rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """A table for people; `empty` is said where there is no row."""
    if not rows:
        typer.echo(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        number = all(isinstance(row[name], int | float | None) for row in rows)
        long = any(len(str(row[name])) > 40 for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if number else "left", overflow="fold", no_wrap=not long)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a pipe or a file has no width
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def at_text(ms: int | None) -> str:
    """A time for people: UTC, to the second."""
    if ms is None:
        return "-"
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def age_text(ms: int) -> str:
    """An age for people: its largest unit.

    >>> age_text(420), age_text(7_400), age_text(7_200_000)
    ('420 ms', '7.4 s', '2.0 h')
    """
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms >= size:
            return f"{ms / size:.1f} {unit}"
    return f"{ms} ms"


def time_ms(text: str | None, where: str) -> int | None:
    """Milliseconds of a time as people write it; UTC where no zone is named.

    >>> time_ms("2013-06-29", "--from"), time_ms("2013-06-29T06:00:00-04:00", "--from"), time_ms("1372464000000", "--from")
    (1372464000000, 1372500000000, 1372464000000)
    """
    if text is None:
        return None
    from datetime import UTC, datetime

    from streams.errors import DriftlineError

    if text.isdigit() and len(text) > 8:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DriftlineError(
            f"{where}: {text!r} is no time; write 2013-06-29, 2013-06-29T06:00:00Z, or milliseconds since the epoch."
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def me() -> str:
    """Who acts, for records and commits."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
