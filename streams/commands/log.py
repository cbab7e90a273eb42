"""What the log keeps of what did not go through: dead letters and late events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands.options import JsonOption, ProjectOption, at_text, open_project, show_json, show_table

if TYPE_CHECKING:
    from streams.events.redrive import Letter
    from streams.project import Project
    from streams.worker.connection import Connection

EXAMPLES = """Examples:

\b
  driftline dead-letters list --source orders
  driftline dead-letters show "shop.dead-letters[0]@17"
  driftline dead-letters redrive --reason "amount"
"""
Source = Annotated[str | None, typer.Option("--source", "-s", help="Only those of this source.")]
WithReason = Annotated[str | None, typer.Option("--reason", "-r", metavar="TEXT", help="Only those whose reason has this text.")]

letters_app = typer.Typer(
    no_args_is_help=True, help="Records that could not be read: look, and put back.", epilog=EXAMPLES, rich_markup_mode=None
)


def _connected(project: Project) -> Connection:
    from streams.worker.connection import KafkaConnection

    return KafkaConnection(project.kafka())


def _letters(project: Project, places: tuple[str, ...], source: str | None, reason: str | None) -> list[Letter]:
    from streams.events.redrive import chosen, letters

    topic = None if source is None else project.topic(project.source(source).name)
    return chosen(letters(_connected(project), project.topic("dead-letters")), places, topic, reason)


@letters_app.command("list")
def list_letters(
    source: Source = None,
    reason: WithReason = None,
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="The newest so many.")] = 50,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """List them, newest last."""
    opened = open_project(project)
    found = _letters(opened, (), source, reason)
    shown = found[-last:]
    if as_json:
        show_json({"count": len(found), "letters": [_row(one) for one in shown]})
        return
    rows = [
        {
            "place": str(one.letter.place),
            "record": str(one.letter.source),
            "refused": at_text(one.letter.at),
            "put back": "yes" if one.redriven_at else "",
            "reason": one.letter.reason,
        }
        for one in shown
    ]
    show_table(rows, "No dead letter.")
    if len(found) > len(shown):
        typer.echo(f"{len(found) - len(shown):,} older ones are not shown (--last).")


@letters_app.command("show")
def show_letter(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Of the letter, or of the record: shop.orders[0]@1042.")],
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Show one with its bytes."""
    import base64

    one = _letters(open_project(project), (place,), None, None)[0]
    value = one.letter.value
    if as_json:
        show_json(
            {
                **_row(one),
                "value_base64": None if value is None else base64.b64encode(value).decode(),
                "headers": [[name, (text or b"").decode(errors="replace")] for name, text in one.letter.headers],
            }
        )
        return
    for name, text in _row(one).items():
        if name != "value":
            typer.echo(f"{name:12} {at_text(text) if name in ('at', 'timestamp', 'redriven_at') and text else text}")
    typer.echo("" if value is None else value.decode(errors="backslashreplace"))


@letters_app.command("redrive")
def redrive_letters(
    places: Annotated[list[str] | None, typer.Argument(metavar="[PLACE...]", help="Which; all that match otherwise.")] = None,
    source: Source = None,
    reason: WithReason = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were put back before.")] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Put them back to the end of their sources, exactly once."""
    from streams.events.redrive import chosen, redrive

    opened = open_project(project)
    topic = None if source is None else opened.topic(opened.source(source).name)
    group = f"{opened.prefix or opened.name}.redrive"
    done = redrive(
        _connected(opened), opened.topic("dead-letters"), group, lambda known: chosen(known, tuple(places or ()), topic, reason), again
    )
    if as_json:
        show_json({"redriven": len(done), "letters": [_row(one) for one in done]})
    else:
        typer.echo(f"Put back {len(done):,}." if done else "Nothing to put back (what was put back before is passed over; --again).")


def _row(one: Letter) -> dict[str, Any]:
    return {**one.letter.summary(), "redriven_at": one.redriven_at}


def late(source: Source = None, project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Sum up the events that came too late.

    Each was answered with what was there; this says how far behind they were, which windows missed them, and which lateness would have
    caught 99.9 % of them.
    """
    from streams.events.late import ledger, summarise
    from streams.settings import duration_text

    opened = open_project(project)
    wanted = {
        opened.topic(name): one.lateness_ms for name, one in opened.sources.items() if source is None or name == opened.source(source).name
    }
    records = [record for record in ledger(_connected(opened), opened.topic("late")) if record["topic"] in wanted]
    found = summarise(records, wanted)
    if as_json:
        show_json({"events": len(records), "sources": found})
        return
    rows = [
        {
            "topic": one.topic,
            "late events": one.events,
            "median behind": duration_text(one.median_behind_ms),
            "largest": duration_text(one.largest_behind_ms),
            "lateness now": duration_text(one.lateness_ms),
            "lateness for 99.9 %": duration_text(one.needed_ms),
        }
        for one in found
    ]
    show_table(rows, "Nothing came late.")


def register(app: typer.Typer) -> None:
    app.add_typer(letters_app, name="dead-letters")
    app.command()(late)
