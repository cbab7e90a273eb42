"""`driftline demo`: real flights, all the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.commands.options import JsonOption, SettingsOption, show_json

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = """Examples:

\b
  driftline demo                      (opens a dashboard: watch the model decay, click Retrain, promote)
  driftline demo --headless --json    (the same without a browser, as fast as it goes; the last line is one JSON object)

The demo's project is a folder like any other: after a kill, `driftline up FOLDER` goes on with it.
"""


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="No browser: January to August as fast as it goes, retraining by itself.")
    ] = False,
    folder: Annotated[
        str | None, typer.Option("--folder", "-f", help="Where the demo's project is; .driftline/demo/flights otherwise.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever is there.")] = False,
    start: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day that is replayed (headless).")] = "2013-01-01",
    end: Annotated[str, typer.Option("--to", metavar="DAY", help="The day before which it ends (headless).")] = "2013-09-01",
    settings: SettingsOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Watch real flights, from Kafka to drift.

    The flights that left New York in 2013: streamed in the order in which they became known, predicted two hours before departure.
    """
    from pathlib import Path

    place = Path(folder) if folder else Path(".driftline") / ("headless" if headless else "demo") / "flights"
    if headless:
        _headless(place, fresh, start, end, settings, as_json)
        return
    _in_the_browser(place, fresh)


def _headless(place: Path, fresh: bool, start: str, end: str, settings: list[str], as_json: bool) -> None:
    from streams.demo.headless import run_headless

    done = place / "result.json"
    if fresh or done.exists():  # one that was interrupted goes on; one that is done begins anew
        _remove(place)
    result = run_headless(place, start=start, end=end, settings=tuple(settings), say=lambda line: typer.echo(line, err=True))
    import json

    done.write_text(json.dumps(result, indent=1))
    if as_json:
        show_json(result)
        return
    typer.echo(
        f"{result['events']:,} events, {result['feature_rows']:,} feature rows, {result['predictions']:,} predictions, {result['outcomes']:,} outcomes in {result['seconds']} s ({result['events_per_second']:,} events/s)."
    )
    typer.echo(
        f"First champion {result['first_champion']}, retrained {result['retrained_at']}, version {result['serving_version']} serves."
    )
    months = result["log_loss"]["static"]
    from streams.commands.options import show_table

    show_table(
        [
            {
                "month": month,
                "log loss, first model": round(months[month], 4),
                "log loss, served": round(result["log_loss"]["served"][month], 4),
            }
            for month in months
            if month in result["log_loss"]["served"]
        ],
        "",
    )


def _remove(place: Path) -> None:
    import shutil

    from streams.errors import DriftlineError
    from streams.project import FILE, load_project
    from streams.supervisor.detach import down

    if not place.exists():
        return
    if any(place.iterdir()) and not (place / FILE).exists():
        raise DriftlineError(f"{place} is no folder of a demo; name another one, or remove it.")
    down(load_project(place))
    shutil.rmtree(place)


def _in_the_browser(place: Path, fresh: bool) -> None:
    from streams.demo.interactive import run_interactive

    if fresh:
        _remove(place)
    run_interactive(place, say=lambda line: typer.echo(line, err=True))


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(demo)
