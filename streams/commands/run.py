"""`driftline run`: steps in this process, as `up` starts them and as a cluster's own supervisor would."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import JsonOption, ProjectOption, SettingsOption, open_project, show_json

if TYPE_CHECKING:
    from streams.project import Project

EXAMPLES = """Examples:

\b
  driftline run features
  driftline run labels,drift,retraining,promotion
  driftline run features --on flink
"""


def run(
    steps: Annotated[str, typer.Argument(metavar="STEP[,STEP]", help="features, predictions, labels, drift, retraining, promotion.")],
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="embedded|flink", help="The engine of the features; [engine] features says which otherwise."),
    ] = None,
    project: ProjectOption = ".",
    settings: SettingsOption = [],  # noqa: B006
) -> None:
    """Run steps in this process.

    Until Ctrl-C. Several processes may run the same step: one works, the others stand by.
    """
    from streams.settings import one_of
    from streams.worker.app import run_steps

    opened = open_project(project, settings)
    names = [name.strip() for name in steps.split(",") if name.strip()]
    engine = one_of(on or (opened.engine.features if names == ["features"] else "embedded"), ("embedded", "flink"), "--on")
    if engine == "flink":
        _on_flink(opened, names)
        return
    run_steps(opened, names)


def _on_flink(project: Project, names: list[str]) -> None:
    from streams.errors import ProjectError
    from streams.features.distributed.run import run_on_flink, with_flink

    if names != ["features"]:
        raise ProjectError(f"--on flink runs the features alone, not {', '.join(names)}. Run the other steps in a process of their own.")
    with_flink(sys.argv[1:])
    run_on_flink(project, lambda line: typer.echo(line, err=True))


def topics(project: ProjectOption = ".", settings: SettingsOption = [], as_json: JsonOption = False) -> None:  # noqa: B006
    """Make the project's topics that are missing.

    `up` does so too; this is for a cluster on which the steps are run one by one.
    """
    from connectors.kafka.admin import ensure_topics
    from streams.supervisor.topics import wanted_topics

    opened = open_project(project, settings)
    wanted = wanted_topics(opened)
    done = ensure_topics(opened.kafka(), wanted)
    if as_json:
        show_json({"topics": sorted(wanted), "done": done})
    else:
        typer.echo("\n".join(done) or f"All {len(wanted)} topics are there.")


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(run)
    app.command()(topics)
