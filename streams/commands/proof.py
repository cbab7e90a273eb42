"""Commands that recompute: parity of served rows, backfills, the proof of exactly-once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.commands.options import JsonOption, ProjectOption, SettingsOption, open_project, show_json, show_table
from streams.errors import DriftlineError

proofs = typer.Typer(no_args_is_help=True, help="Proofs that run here: promises, tried.", rich_markup_mode=None)


@proofs.command("exactly-once")
def exactly_once(
    kills: Annotated[int, typer.Option("--kills", min=0, help="How often a worker or the broker is killed.")] = 20,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed draws the same events and victims.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Take schemas and features.sql of this project; a small one of its own otherwise.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Kill workers and broker at random moments, and compare with an undisturbed run.

    Runs on a broker and in a folder of its own; the project is not touched. Ends with status 1 where a row is missing, doubled or different.
    """
    from streams.worker.prove import prove_exactly_once

    like = open_project(project) if project is not None else None
    proof = prove_exactly_once(kills, like, seed, say=lambda line: typer.echo(line, err=True))
    if as_json:
        show_json(proof.to_json())
    else:
        show_table([{"topic": name, **counts} for name, counts in proof.topics.items()], "nothing was compared")
        typer.echo(
            f"{proof.kills} kills ({proof.workers_killed} workers, {proof.broker_killed} brokers) in {proof.seconds:.0f} s: {proof.rows:,} rows, "
            f"{proof.missing} missing, {proof.doubled} doubled, {proof.different} different."
        )
    if not proof.holds:
        raise typer.Exit(1)


def verify(
    last: Annotated[int | None, typer.Option("--last", "-n", min=1, help="Only the newest so many events of each partition.")] = None,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Compute served feature rows again from the log and compare them bit for bit.

    Each row that differs has a reason: late event, missing history, changed definition, missing row, unexplained. Ends with status 1
    where one is unexplained or missing.
    """
    from streams.features.verify import verify as verify_rows

    found = verify_rows(open_project(project), last)
    if as_json:
        show_json(found)
    else:
        show_table(
            [
                {
                    "event": one.event,
                    "column": one.column or "(row)",
                    "served": one.served,
                    "recomputed": one.recomputed,
                    "reason": one.reason,
                }
                for one in found.differences[:20]
            ],
            "",
        )
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.reasons.items() if count)
        typer.echo(f"{found.rows:,} rows compared, {found.equal:,} equal in every bit{'; ' + reasons if reasons else ''}.")
        if found.gone:
            typer.echo(f"{found.gone:,} more rows could not be compared: the log no longer has their events.")
    if found.reasons["unexplained"] or found.reasons["missing row"]:
        raise typer.Exit(1)


def backfill(
    out: Annotated[Path, typer.Argument(help="The Parquet file to write.", metavar="FILE.parquet")],
    files: Annotated[
        list[str], typer.Option("--from", metavar="SOURCE=FILE", help="Rows of a source from a file instead of the log. Repeatable.")
    ] = [],  # noqa: B006
    on: Annotated[
        str, typer.Option("--on", metavar="embedded|flink", help="Where: in this process, or on Flink, for more than one machine holds.")
    ] = "embedded",
    project: ProjectOption = ".",
    settings: SettingsOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Compute all feature rows, of the log or of files, into one Parquet file."""
    from streams.features.offline import backfill as fill
    from streams.settings import one_of
    from streams.worker.connection import KafkaConnection

    opened = open_project(project, settings)
    given: dict[str, list[str]] = {}
    for text in files:
        source, equals, file = text.partition("=")
        if not equals:
            raise DriftlineError(f"--from {text}: SOURCE=FILE was expected, as in --from payments=payments.parquet.")
        given.setdefault(opened.source(source).name, []).append(file)
    if one_of(on, ("embedded", "flink"), "--on") == "flink":
        from streams.features.distributed.backfill import backfill_on_flink
        from streams.features.distributed.run import with_flink

        with_flink(sys.argv[1:])
        done = backfill_on_flink(opened, out, given or None)
    else:
        done = fill(opened, out, None if given else KafkaConnection(opened.kafka()), given or None)
    if as_json:
        show_json(
            {
                "rows": done.rows,
                "events": done.events,
                "refused": done.refusals.count,
                "first_refused": done.refusals.first,
                "plan": done.plan,
                "path": str(done.path),
            }
        )
    else:
        typer.echo(f"{done.path}: {done.rows:,} feature rows of {done.events:,} events (plan {done.plan[:12]}).")
        if done.refusals.count:
            typer.echo(
                f"Left out, for they cannot be read: {done.refusals.count:,} of the rows; the first: {done.refusals.first}", err=True
            )


def register(app: typer.Typer) -> None:
    app.command()(verify)
    app.command()(backfill)
    app.add_typer(proofs, name="prove")
