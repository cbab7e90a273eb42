"""Look into what is computed: the plan, a prediction's origin, another version's predictions, a drift report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.commands.options import JsonOption, ProjectOption, at_text, open_project, show_json, time_ms

EXPLAIN_EXAMPLES = """Examples:

\b
  driftline explain
  driftline explain --json

A mistake in features.sql is named with line, column, what was met and what was wished; the status is 1.
"""
WHY_EXAMPLES = """Examples:

\b
  driftline why "payments[0]@1042"
  driftline why "payments[0]@1042" --json

A prediction's id is the place of the event it was made for; `driftline status` and the dashboard's page Predictions name them.
"""
REPLAY_EXAMPLES = """Examples:

\b
  driftline replay 4 --from 2013-06-01 --to 2013-07-01 -o june.parquet

The predictions that version 4 would have made in June, the same bits as if it had served, and how they compare with those that were
served, on the rows that have a label by now.
"""
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Event time of the first row.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Event time before which it ends.")]


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


def why(
    prediction_id: Annotated[str, typer.Argument(metavar="ID", help="As in payments[0]@1042.")],
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Show where a prediction came from.

    Its version, what that was trained on, the feature row, and the raw events in each window. The score is computed again.
    """
    from streams.predictions.why import why as found

    tree = found(open_project(project), prediction_id)
    if as_json:
        show_json(tree)
        return
    for name, part in tree.items():
        _branch(name, part, "")
    if tree["prediction"]["same_bits"] is False:
        raise typer.Exit(1)


def _branch(name: str, part: Any, indent: str) -> None:
    """One part of the tree, its parts indented; long lists are cut."""
    if isinstance(part, Mapping):
        typer.echo(f"{indent}{name}")
        for key, inner in part.items():
            _branch(str(key), inner, indent + "  ")
    elif isinstance(part, Sequence) and not isinstance(part, str):
        typer.echo(f"{indent}{name}: {len(part)}")
        for number, inner in enumerate(part[:10]):
            if isinstance(inner, Mapping) and not any(isinstance(value, Mapping | list) for value in inner.values()):
                typer.echo(f"{indent}  {', '.join(f'{key} {_text(key, value)}' for key, value in inner.items())}")
            else:
                _branch(str(number + 1), inner, indent + "  ")
        if len(part) > 10:
            typer.echo(f"{indent}  ... and {len(part) - 10} more (--json has all)")
    else:
        typer.echo(f"{indent}{name}: {_text(name, part)}")


def _text(name: str, value: Any) -> str:
    is_time = name.endswith(("time", "_at")) and isinstance(value, int) and value > 10**11
    return at_text(value) if is_time else str(value)


def replay(
    version: Annotated[int, typer.Argument(metavar="VERSION")],
    start: From = None,
    end: To = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write them to this Parquet file.")] = None,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Predict with another version, from the log.

    And compare it with what served: would it have been better?
    """
    from streams.predictions.replay import replay as predict
    from streams.retraining.backtest import backtest

    begin, until = time_ms(start, "--from"), time_ms(end, "--to")
    opened = open_project(project)
    table = predict(opened, version, 0 if begin is None else begin, 2**62 if until is None else until)
    if output is not None:
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, output)
    import pyarrow.compute as pc

    rate = pc.mean(table.column("prediction").cast("int8")).as_py()
    mean = pc.mean(table.column("score")).as_py()
    compared = backtest(opened, version, table)
    if as_json:
        show_json(
            {
                "version": version,
                "rows": table.num_rows,
                "mean_score": mean,
                "predicted_true": rate,
                "compared": compared,
                "output": output,
            }
        )
        return
    typer.echo(
        f"Version {version} on {table.num_rows:,} rows: mean score {mean:.4f}, {rate:.1%} predicted true."
        + (f" Written to {output}." if output else "")
    )
    typer.echo(against(compared))


def against(compared: Mapping[str, Any] | None) -> str:
    """How a version compares with what served, in a sentence or two."""
    if compared is None:
        return "None of these rows was served and has a label, so that there is nothing to compare with."
    metric, found = compared["metric"], compared["difference"]
    words = f"On {compared['rows']:,} of them that were served and have a label its {metric.replace('_', ' ')} is"
    theirs, ours = compared["champion"][metric], compared["challenger"][metric]
    if found["value"] is None:
        return f"{words} not known: all labels are the same."
    words += f" {ours:.4f}, that of what served {theirs:.4f}: {found['value']:+.4f}"
    words += (
        f" ({found['low']:+.4f} to {found['high']:+.4f} at 95%)"
        if found["low"] is not None
        else " (less than two days, so without an interval)"
    )
    words += ", above 0 is better."
    return words + (f" {compared['seen']:,} of them are of the time it was trained on, which flatters it." if compared["seen"] else "")


def report(
    start: From = None,
    end: To = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    project: ProjectOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Make a drift report (HTML, by Evidently).

    Feature rows against what the champion was trained on; by default those of the last drift window.
    """
    from streams.drift.report import report as make

    file = make(open_project(project), time_ms(start, "--from"), time_ms(end, "--to"))
    if as_json:
        show_json({"report": str(file)})
    else:
        typer.echo(str(file))
    if open_it:
        typer.launch(Path(file).as_uri())


def register(app: typer.Typer) -> None:
    app.command(epilog=EXPLAIN_EXAMPLES)(explain)
    app.command(epilog=WHY_EXAMPLES)(why)
    app.command(epilog=REPLAY_EXAMPLES)(replay)
    app.command()(report)
