"""A project's life: init, up, down, status, demo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import JsonOption, ProjectArgument, SettingsOption, age_text, at_text, open_project, show_json, show_table

if TYPE_CHECKING:
    from streams.supervisor.status import StepStatus

INIT_EXAMPLES = """Examples:

\b
  driftline init shop
  driftline init my-flights --template flights
"""
UP_EXAMPLES = """Examples:

\b
  driftline up                  (the project in this folder; Ctrl-C stops all of it)
  driftline up shop --detach    (goes on in the background; driftline down shop stops it)
  driftline up shop --set drift.check_every=1h

The state stays in .driftline/. After a kill of anything, the same command recovers it.
"""
STATUS_EXAMPLES = """Examples:

\b
  driftline status
  driftline status shop --json
"""


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new folder; its name is the project's.")],
    template: Annotated[
        str, typer.Option("--template", "-t", metavar="blank|flights", help="blank: payments, to be replaced; flights: the demo's project.")
    ] = "blank",
    as_json: JsonOption = False,
) -> None:
    """Make a project from a template."""
    from pathlib import Path

    from streams.supervisor.init import init as write

    files = write(Path(name), template)
    if as_json:
        show_json({"project": str(Path(name).resolve()), "files": [str(file) for file in files]})
        return
    typer.echo(f"Made {name}: {', '.join(str(file.relative_to(name)) for file in files)}")
    first = f"  cd {name} && python sample.py\n" if template == "blank" else f"  cd {name}\n"
    typer.echo(
        f"Next:\n{first}  driftline up --detach\n" + ("  driftline produce --all-from data --speed 86400\n" if template == "blank" else "")
    )


def up(
    project: ProjectArgument = ".",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Go on in the background; returns when the dashboard answers.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard/--no-dashboard", help="Whether the dashboard is started too.")] = True,
    settings: SettingsOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Start broker, streams and dashboard.

    The broker is the embedded one, unless the project names another.
    """
    opened = open_project(project, settings)
    if detach:
        from streams.supervisor.detach import up_detached

        state = up_detached(opened, tuple(settings), dashboard)
        if as_json:
            show_json({"pid": state.pid, "bootstrap": state.bootstrap, "url": state.url})
        else:
            typer.echo(f"{opened.name} is up (pid {state.pid}), broker {state.bootstrap}. Stop it with: driftline down {opened.root}")
            typer.echo(f"Dashboard: {state.url}" if state.url else "No dashboard was asked for.")
        return
    from streams.supervisor.up import Supervisor

    supervisor = Supervisor(opened, settings=tuple(settings), with_dashboard=dashboard, say=lambda line: typer.echo(line, err=True))

    def ready() -> None:
        if as_json:
            show_json({"pid": _pid(), "bootstrap": opened.bootstrap(), "url": supervisor.url})
        elif supervisor.url:
            typer.echo(f"\n{opened.name} is up. Ctrl-C stops all of it.\nDashboard: {supervisor.url}\n")
        else:
            typer.echo(f"\n{opened.name} is up. Ctrl-C stops all of it.\n")

    supervisor.run(ready)
    typer.echo(f"{opened.name} is stopped; its state is in {opened.state_dir}.", err=True)


def down(project: ProjectArgument = ".", as_json: JsonOption = False) -> None:
    """Stop all that runs; the state stays."""
    from streams.supervisor.detach import down as stop

    opened = open_project(project)
    stopped = stop(opened)
    if as_json:
        show_json({"stopped": stopped})
    else:
        typer.echo(f"Stopped {', '.join(stopped)}." if stopped else f"Nothing of {opened.name} runs.")


def status(project: ProjectArgument = ".", as_json: JsonOption = False) -> None:
    """Say what runs, and how it is.

    Processes, steps with lag, rows a second and freshness, topics, the live model, alarms, runs.
    """
    from streams.supervisor.status import read_status

    answer = read_status(open_project(project))
    if as_json:
        show_json(answer)
        return
    typer.echo(answer.sentence)
    if answer.url:
        typer.echo(f"Dashboard: {answer.url}   broker: {answer.bootstrap}")
    if answer.processes:
        show_table(
            [
                {"process": one.name, "state": one.state, "pid": str(one.pid or ""), "restarts": one.restarts, "last_error": one.last_error}
                for one in answer.processes
            ],
            "",
        )
    if answer.steps and answer.running:
        show_table([_step_row(one) for one in answer.steps], "")
    if answer.topics:
        show_table([{"topic": one.name, "partitions": one.partitions, "offsets": one.offsets} for one in answer.topics], "")
    for alarm in answer.alarms[-5:]:
        typer.echo(f"alarm at {at_text(alarm['end'])}, {alarm['kind']}: {alarm['reason']}")
    for one in answer.runs:
        typer.echo(f"run {one['run_id']}: {one['state']} ({one['reason']})")


def _step_row(one: StepStatus) -> dict[str, object]:
    return {
        "step": one.step,
        "state": one.state,
        "rows/s": one.rows_per_second,
        "lag": one.lag,
        "age": None if one.freshness_ms is None else age_text(one.freshness_ms),
        "event_time": at_text(one.event_time),
        "dead_letters": one.dead_letters,
        "late": one.late,
        "message": one.message,
    }


def _pid() -> int:
    import os

    return os.getpid()


def register(app: typer.Typer) -> None:
    app.command(epilog=INIT_EXAMPLES)(init)
    app.command(epilog=UP_EXAMPLES)(up)
    app.command()(down)
    app.command(epilog=STATUS_EXAMPLES)(status)
