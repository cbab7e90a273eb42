"""Look into what is computed: the plan, parity, a prediction's origin."""

from __future__ import annotations

import typer

from streams.commands.options import JsonOption, ProjectOption, open_project, show_json

EXPLAIN_EXAMPLES = """Examples:

\b
  driftline explain
  driftline explain --json

A mistake in features.sql is named with line, column, what was met and what was wished; the status is 1.
"""


def explain(project: ProjectOption = ".", as_json: JsonOption = False) -> None:
    """Show the plan of features.sql.

    Inputs, joins, windows, the state each keeps, and which engine does what.
    """
    from streams.features.explain import as_json as plain
    from streams.features.explain import explain as text
    from streams.features.step import plan_of

    plan = plan_of(open_project(project))
    if as_json:
        show_json(plain(plan))
    else:
        typer.echo(text(plan))


def register(app: typer.Typer) -> None:
    app.command(epilog=EXPLAIN_EXAMPLES)(explain)
