"""`driftline flink`: the features job on Flink."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from streams.commands.options import JsonOption, ProjectOption, SettingsOption, open_project, show_json, show_table

flink = typer.Typer(name="flink", help="The features job on Flink: submit, list, stop, restore.", no_args_is_help=True)

EXAMPLES = """Examples:

\b
  driftline flink submit --set flink.address=127.0.0.1:8081
  driftline flink stop --savepoint file:///var/lib/flink/savepoints
  driftline flink restore file:///var/lib/flink/savepoints/savepoint-1a2b
"""


@flink.command(epilog=EXAMPLES)
def submit(project: ProjectOption = ".", settings: SettingsOption = [], as_json: JsonOption = False) -> None:  # noqa: B006
    """Submit the job to the cluster of [flink] address, and return."""
    _submit(project, settings, as_json, None)


@flink.command()
def restore(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A savepoint or a checkpoint, as a URL.")],
    project: ProjectOption = ".",
    settings: SettingsOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Submit the job so that it goes on from a savepoint or checkpoint."""
    _submit(project, settings, as_json, path)


@flink.command(name="list")
def list_(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """The jobs of the cluster that runs this project's job, with checkpoints, restarts and the last failure."""
    from connectors.flink.rest import Rest
    from streams.features.distributed.run import running

    jobs = Rest(running(open_project(project)).rest).jobs()
    if as_json:
        show_json({"jobs": jobs})
    else:
        show_table(
            [
                {
                    "job": job.id,
                    "name": job.name,
                    "state": job.state,
                    "restarts": job.restarts,
                    "checkpoints": job.checkpoints,
                    "failed": job.failed_checkpoints,
                }
                for job in jobs
            ],
            "No job.",
        )
        for job in jobs:
            if job.failure:
                typer.echo(f"{job.id}: {job.failure}")


@flink.command()
def stop(
    savepoint: Annotated[
        str | None, typer.Option("--savepoint", metavar="FOLDER", help="Where the savepoint goes; the project's own folder otherwise.")
    ] = None,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Stop the job with a savepoint."""
    from streams.features.distributed.run import stop_job

    path = stop_job(open_project(project), savepoint)
    show_json({"savepoint": path}) if as_json else typer.echo(f"Stopped; savepoint: {path}\nGo on with: driftline flink restore {path}")


def _submit(project: str, settings: list[str], as_json: bool, savepoint: str | None) -> None:
    from streams.errors import ProjectError
    from streams.features.distributed.run import submit_features, with_flink

    opened = open_project(project, settings)
    if opened.flink.address is None:
        raise ProjectError('There is no cluster to submit to: set [flink] address = "host:port", or use: driftline run features --on flink')
    with_flink(sys.argv[1:])
    found, _ = submit_features(opened, savepoint)
    show_json(found) if as_json else typer.echo(f"Submitted {found.name} as job {found.job} to http://{found.rest}")


def register(app: typer.Typer) -> None:
    app.add_typer(flink)
