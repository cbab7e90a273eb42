"""The command `driftline`. Each command is thin: it reads the project, calls a function of the step it is about, and shows the answer.

What a command needs is imported inside it, so that `driftline --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from streams.commands import demo, flink, inspect, lifecycle, log, models, produce, proof, run
from streams.errors import DriftlineError

HELP = """Stream processing for machine learning: window features, predictions, late labels, drift, retraining, all in the log.

Start with:  driftline demo            (real flights, everything in the browser)

Or your own: driftline init NAME, then driftline up NAME
"""

app = typer.Typer(
    name="driftline",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"driftline {version('driftline')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


for module in (demo, lifecycle, produce, run, inspect, models, log, proof, flink):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with its status: 0, 1 (an error, one message on stderr), 2 (usage), 130 (Ctrl-C)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given, prog_name="driftline")
    except DriftlineError as error:
        if "--debug" in given:
            raise
        typer.echo(error.message, err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if "--debug" in given or error.filename is None:
            raise
        typer.echo(f"{error.filename}: {error.strerror}.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
