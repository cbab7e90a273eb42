"""Models: retrain, look at runs and versions, promote, reject, roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands.options import JsonOption, ProjectOption, at_text, me, open_project, show_json, show_table

if TYPE_CHECKING:
    from streams.project import Project
    from streams.retraining.runs import Run

Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it stands in the record and in the commit.")]
RunOrVersion = Annotated[str, typer.Argument(metavar="RUN|VERSION", help="A run's id, or a version's number.")]

RETRAIN_EXAMPLES = """Examples:

\b
  driftline retrain --reason "the weather has turned"
  driftline retrain --wait --json

One run at a time: a second call joins the run that is under way.
"""
PROMOTE_EXAMPLES = """Examples:

\b
  driftline promote 4
  driftline promote manual-1385290000000-a1b2 --reason "better in every segment"

Refused while the interval of the comparison reaches below the margin; --override promotes all the same.
"""


def retrain(
    reason: Reason = "asked for on the command line",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; status 1 when it failed.")] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Train a challenger.

    A run builds the data set, trains, evaluates and compares with the champion.
    """
    from streams.retraining.requests import request_retrain

    opened = open_project(project)
    run = request_retrain(opened, reason, me())
    if wait:
        run = _wait(opened, run.run_id, say=not as_json)
    if as_json:
        show_json(run.value())
    else:
        typer.echo(_sentence(run))
    if wait and run.state in ("failed", "cancelled"):
        raise typer.Exit(1)


def _wait(project: Project, run_id: str, say: bool) -> Run:
    import time

    from streams.retraining.requests import find, list_runs
    from streams.retraining.runs import ACTIVE
    from streams.worker.connection import KafkaConnection

    connection = KafkaConnection(project.kafka())
    state = ""
    while True:
        run = find(list_runs(project, connection), run_id)
        if run.state != state and say:
            typer.echo(f"{run_id}: {run.state}", err=True)
        state = run.state
        if state not in ACTIVE:
            return run
        time.sleep(0.5)


def _sentence(run: Run) -> str:
    words = f"Run {run.run_id} is {run.state}"
    if run.version is not None:
        words += f", version {run.version}"
    if run.error:
        words += f": {run.error}"
        if run.log_tail:
            words += "\n  " + "\n  ".join(run.log_tail)
    elif run.decision:
        words += f": {run.decision}"
    return words if words[-1] in ".!?" else words + "."


def runs(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """List the runs, newest last."""
    from streams.retraining.requests import list_runs

    found = list_runs(open_project(project))
    if as_json:
        show_json({"runs": [run.value() for run in found]})
        return
    rows = [
        {
            "run": one.run_id,
            "state": one.state,
            "trigger": one.trigger,
            "as_of": at_text(one.as_of),
            "version": one.version,
            "reason": one.reason,
        }
        for one in found
    ]
    show_table(rows, "No run yet. Ask for one with: driftline retrain")


def cancel(run_id: Annotated[str, typer.Argument(metavar="RUN")], project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """End a run that is under way or waits."""
    from streams.retraining.requests import cancel_run

    run = cancel_run(open_project(project), run_id, me())
    if as_json:
        show_json(run.value())
    else:
        typer.echo(_sentence(run))


def promote(
    what: RunOrVersion,
    reason: Reason = "promoted on the command line",
    override: Annotated[bool, typer.Option("--override", help="Promote even where the comparison does not allow it.")] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Make a version the desired one.

    It is a commit in the deployment repository; the predictions follow it without a restart.
    """
    from streams.promotion.actions import promote as act

    opened = open_project(project)
    commit = act(opened, int(what) if what.isdigit() else what, reason, me(), override=override)
    _committed(commit, f"Promoted {what}", as_json)


def reject(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    reason: Reason = "rejected on the command line",
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Turn down the version of a run that waits."""
    from streams.promotion.actions import reject as act

    run = act(open_project(project), run_id, reason, me())
    if as_json:
        show_json(run.value())
    else:
        typer.echo(_sentence(run))


def rollback(reason: Reason = "rolled back on the command line", project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Go back to the version before."""
    from streams.promotion.actions import rollback as act

    _committed(act(open_project(project), reason, me()), "Rolled back", as_json)


def suspend(
    reason: Reason = "suspended on the command line",
    off: Annotated[bool, typer.Option("--off", help="Let it act again.")] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Keep (or --off: let) deployments from changing.

    While suspended, the agent does not follow the deployment repository.
    """
    from streams.promotion.actions import suspend as act

    _committed(act(open_project(project), not off, reason, me()), "Resumed" if off else "Suspended", as_json)


def _committed(commit: str, what: str, as_json: bool) -> None:
    if as_json:
        show_json({"commit": commit})
    else:
        typer.echo(f"{what}: commit {commit[:12]}.")


def models(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """List the versions and which one serves."""
    from streams.promotion.actions import deployment_status, list_models

    opened = open_project(project)
    found = list_models(opened)
    status = deployment_status(opened)
    if as_json:
        show_json({"models": found, "deployment": status})
        return
    show_table(
        [_version_row(one) for one in found],
        "No version yet: the first model is trained when enough labels are there (or by driftline retrain).",
    )
    if status.desired is not None:
        words = f"Desired: version {status.desired}; serving: {f'version {status.live}' if status.live is not None else 'none yet'}; {status.sync}, {status.health}"
        typer.echo(words + (", suspended" if status.suspended else "") + (f": {status.error}" if status.error else "."))


def _version_row(one: Any) -> dict[str, object]:
    mark = "serves" if one.serving else "desired" if one.desired else ""
    metrics = {name: round(value, 4) for name, value in one.metrics.items() if name in ("log_loss", "auc", "brier")}
    return {
        "version": one.version,
        "": mark,
        "run": one.run_id,
        "made": at_text(one.created),
        **{name: metrics.get(name) for name in ("log_loss", "auc", "brier")},
    }


def register(app: typer.Typer) -> None:
    app.command(epilog=RETRAIN_EXAMPLES)(retrain)
    app.command()(runs)
    app.command()(cancel)
    app.command(epilog=PROMOTE_EXAMPLES)(promote)
    app.command()(reject)
    app.command()(rollback)
    app.command()(suspend)
    app.command()(models)
