"""`driftline produce`: files and standard input into the log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import JsonOption, ProjectOption, SettingsOption, open_project, show_json, time_ms

if TYPE_CHECKING:
    from streams.produce.chunk import Bad
    from streams.produce.replays import Replay
    from streams.produce.send import Sent
    from streams.project import Project

EXAMPLES = """Examples:

\b
  driftline produce orders orders.jsonl
  driftline produce orders - < orders.jsonl
  driftline produce orders orders.csv --rate 500
  driftline produce orders=o.parquet payments=p.parquet --speed 3600
  driftline produce --all-from data/            (a file for each source, by its name)

Rows of several files go in the order of their event times. The same command goes on where it was stopped: how far
each file is stands in the same transaction as its rows. A row that does not fit the schema is named (file:line), and
sent as it stands, to be found among the dead letters; with --on-bad skip it is left out, with stop the sending ends there.
"""
SHOWN = 20  # bad rows that are named one by one


def produce(
    what: Annotated[list[str] | None, typer.Argument(metavar="SOURCE FILE|- | SOURCE=FILE...", help="What goes where.")] = None,
    all_from: Annotated[
        str | None, typer.Option("--all-from", metavar="FOLDER", help="A file for each source, named as it is: orders.jsonl.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Rows a second.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Event time over wall time: 3600 plays an hour in a second.")] = None,
    speed_from: Annotated[
        str | None, typer.Option("--speed-from", metavar="TIME", help="Event time from which --speed holds; before it, as fast as it goes.")
    ] = None,
    on_bad: Annotated[
        str, typer.Option("--on-bad", metavar="send|skip|stop", help="What becomes of a row that does not fit the schema.")
    ] = "send",
    again: Annotated[bool, typer.Option("--again", help="Send from the beginning, whatever was sent before.")] = False,
    resume: Annotated[str | None, typer.Option("--resume", metavar="ID", hidden=True)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    project: ProjectOption = ".",
    settings: SettingsOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Send files or standard input to sources.

    JSONL, CSV and Parquet files; JSONL from standard input.
    """
    from streams.errors import BrokerError, DriftlineError
    from streams.produce.replays import Replay, find, finished
    from streams.produce.send import ON_BAD
    from streams.settings import one_of

    opened = open_project(project, settings)
    one_of(on_bad, ON_BAD, "--on-bad")
    for option, value in (("--rate", rate), ("--speed", speed)):
        if value is not None and not math.isfinite(value):
            raise DriftlineError(f"{option} {value} is no pace. Leave it out: then rows go as fast as they can.")
    if rate is not None and speed is not None:
        raise DriftlineError("--rate and --speed exclude each other: rows a second, or event time over wall time.")
    replay = find(opened, resume) if resume else None
    if resume and replay is None:
        typer.echo(f"The replay {resume} has ended.")
        return
    if replay is None:
        replay = Replay(_files(opened, what or [], all_from), rate, speed, time_ms(speed_from, "--speed-from"), on_bad)
    try:
        sent = _send(opened, replay, again, quiet or as_json)
    except KeyboardInterrupt:
        finished(opened, replay)
        typer.echo("Stopped. The same command goes on from here." if replay.resumable else "Stopped.", err=True)
        raise typer.Exit(130) from None
    except BrokerError:
        raise  # where the broker has gone, `driftline up` goes on with it
    except Exception:
        finished(opened, replay)  # it would fail again; the same command goes on from here all the same
        raise
    _answer(opened, sent, as_json)


def _files(project: Project, what: list[str], folder: str | None) -> dict[str, tuple[str, ...]]:
    from pathlib import Path

    from streams.errors import DriftlineError
    from streams.produce.reader import FORMATS

    pairs: list[tuple[str, str]] = []
    if folder is not None:
        for name in project.sources:
            there = [(name, str(path)) for end in FORMATS if (path := Path(folder) / f"{name}{end}").exists()]
            if len(there) > 1:
                raise DriftlineError(
                    f"{folder} has {len(there)} files for {name}, and one is sent for a source. "
                    f"Set the others aside, or name each that shall be sent: {' '.join(map('='.join, there))}"
                )
            pairs += there
        if not pairs:
            raise DriftlineError(
                f"{folder} has no file named as a source of {project.name} ({', '.join(project.sources)}), such as {next(iter(project.sources))}.jsonl."
            )
    if len(what) == 2 and "=" not in what[0]:
        pairs.append((what[0], what[1]))
    else:
        for text in what:
            source, equals, file = text.partition("=")
            if not equals:
                project.source(source)
                raise DriftlineError(f"{text}: which file? Write SOURCE FILE for one source, SOURCE=FILE for each of several.")
            pairs.append((source, file))
    if not pairs:
        raise DriftlineError("What shall be sent? Name a source and a file: driftline produce SOURCE FILE (or - for standard input).")
    files: dict[str, tuple[str, ...]] = {}
    for source, file in pairs:
        project.source(source)
        if file != "-" and not Path(file).is_file():
            raise DriftlineError(f"{file}: there is no such file.")
        files[source] = (*files.get(source, ()), file if file == "-" else str(Path(file).resolve()))
    if len(pairs) > 1 and any(file == "-" for _, file in pairs):
        raise DriftlineError(
            "Standard input (-) can be sent alone only: its rows come when they come, so there is no order with other files."
        )
    return files


def _send(project: Project, replay: Replay, again: bool, quiet: bool) -> Sent:
    import signal
    import sys
    import threading

    from streams.produce.send import Progress, send

    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda signum, frame: stopping.set())
    met = 0

    def name(bad: Bad) -> None:
        nonlocal met
        met += 1
        if met <= SHOWN:
            typer.echo(str(bad), err=True)
        elif met == SHOWN + 1:
            typer.echo("... and more", err=True)

    if quiet or not sys.stderr.isatty():
        return send(project, replay, again=again, on_bad=name, stopped=stopping.is_set)

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from streams.commands.options import at_text

    columns = (
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[at]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rows=0, at="")

        def on_progress(progress: Progress) -> None:
            total = None if progress.fraction is None else 1.0
            bar.update(
                task,
                total=total,
                completed=progress.fraction or 0,
                rows=progress.rows,
                at="" if progress.time is None else at_text(progress.time),
            )

        return send(project, replay, again=again, on_progress=on_progress, on_bad=name, stopped=stopping.is_set)


def _answer(project: Project, sent: Sent, as_json: bool) -> None:
    rows = sum(sent.rows.values())
    if as_json:
        show_json(
            {
                "rows": rows,
                "sources": sent.rows,
                "before": sent.before,
                "bad": sent.bad,
                "seconds": round(sent.seconds, 3),
                "complete": sent.complete,
            }
        )
    elif not rows and sent.before:
        typer.echo(f"Nothing new: all {sent.before:,} rows were sent before. --again sends them once more.")
    else:
        each = f" ({', '.join(f'{count:,} {source}' for source, count in sent.rows.items())})" if len(sent.rows) > 1 else ""
        before = f"; {sent.before:,} had been sent before" if sent.before else ""
        typer.echo(f"Sent {rows:,} rows{each} in {sent.seconds:.1f} s, {rows / max(sent.seconds, 1e-3):,.0f} a second{before}.")
    if sent.bad:
        typer.echo(f"{sent.bad:,} rows do not fit the schema.", err=True)
    if not sent.complete:
        typer.echo("Stopped before the end. The same command goes on from here.", err=True)
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(produce)
