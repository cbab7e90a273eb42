"""`driftline run`: steps in this process, as `up` starts them and as a cluster's own supervisor would."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.commands.options import ProjectOption, SettingsOption, open_project

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


def _on_flink(project: object, names: list[str]) -> None:
    from streams.errors import DriftlineError

    raise DriftlineError('The features do not run on Flink yet. Leave out --on flink (or set [engine] features = "embedded").')


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(run)
