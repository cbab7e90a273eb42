"""What a plan does, for people and as JSON: inputs, joins, windows, the state each keeps, and which engine does what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.features.plan import Filter, Join, Keep, Limit, Node, Plan, Project, Scan, Windowed, describe, names, walk
from streams.features.scalar import Scalar, quoted
from streams.features.spec import Aggregate, Frame, Window

# what the kernel updates as rows come and go; the others look at every row of their frame
INCREMENTAL = frozenset(
    {
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "var_pop",
        "var_samp",
        "stddev_pop",
        "stddev_samp",
        "lag",
        "first_value",
        "last_value",
        "distinct_count",
    }
)


@dataclass(frozen=True)
class Explained:
    """`str()` gives the text, `as_json()` what `--json` prints."""

    plan: Plan

    def __str__(self) -> str:
        return "\n".join(_lines(self.plan))

    def as_json(self) -> dict[str, Any]:
        return as_json(self.plan)


def explain(plan: Plan) -> str:
    """The plan as text."""
    return str(Explained(plan))


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values."""
    return {
        "hash": plan.hash,
        "driving": plan.driving,
        "sources": list(plan.sources),
        "timezone": plan.timezone,
        "columns": [{"name": name, "type": str(kind)} for name, kind in plan.columns],
        "longest_ms": plan.longest_ms,
        "joins": [_join(join) for join in plan.joins],
        "windows": [
            _window(keep, window, name, known)
            for keep, known in _keeps(plan)
            for window, name in zip(keep.spec.windows, keep.names, strict=True)
        ],
        "keeps": [_keep(keep, known) for keep, known in _keeps(plan)],
        "engines": _engines(plan),
        "tree": list(describe(plan.root)),
    }


def _lines(plan: Plan) -> Iterator[str]:
    yield f"plan {plan.hash[:12]}: one row for each row of {plan.driving or 'nothing'}, {len(plan.columns)} columns, time zone {plan.timezone}"
    yield f"inputs by rank: {', '.join(plan.sources) or 'none'}"
    for node in walk(plan.root):
        if isinstance(node, Filter):
            yield f"where {_plain(node.condition, names(node.child))}"
        elif isinstance(node, Limit):
            yield f"limit {node.rows}"
    for join in plan.joins:
        told = _join(join)
        yield f"last join {told['name']} on {told['on']}: {told['sees']}"
        yield f"    state: {told['state']}"
    for number, (keep, known) in enumerate(_keeps(plan), 1):
        told = _keep(keep, known)
        yield f"rows {number}: by {', '.join(told['partition_by'])} in order of {told['order_by'] or 'arrival'}, from {told['inputs']}"
        yield f"    state per key: {told['state']}"
        for window, name in zip(keep.spec.windows, keep.names, strict=True):
            seen = _window(keep, window, name, known)
            yield f"    window {name}: {seen['frame']}"
            for way in ("incremental", "rescanned"):
                if seen[way]:
                    yield f"        {way}: {', '.join(seen[way])}"
    engines = _engines(plan)
    yield f"passed through: {engines['passed']} columns; the kernel: {engines['kernel']} aggregates; DuckDB: {engines['duckdb']} expressions a batch"
    yield "output: " + ", ".join(f"{name} {kind}" for name, kind in plan.columns)


def _keeps(plan: Plan) -> Iterator[tuple[Keep, Mapping[str, str]]]:
    """The rows kept, and how the user calls their columns."""
    for node in walk(plan.root):
        if isinstance(node, Windowed):
            known = names(node.child)
            for keep in node.keeps:
                yield keep, known


def _join(join: Join) -> dict[str, Any]:
    both, theirs = names(join), names(join.right)
    on = [f"{_plain(left, both)} = {_plain(right, theirs)}" for left, right in join.keys]
    if join.residual is not None:
        on.append(_plain(join.residual, both))
    sees = f"the greatest {_plain(join.order, theirs)}" if join.order is not None else "the latest"
    if join.descending:
        sees = sees.replace("greatest", "least")
    whole = join.residual is not None
    return {
        "name": join.name,
        "on": " and ".join(on) or "true",
        "sees": f"{sees} of the right rows before the event",
        "order_by": _plain(join.order, theirs) if join.order is not None else None,
        "state": "every right row, searched backwards from the newest" if whole else "one right row a key",
        "kernel": not whole,
        "source": join.right.table if isinstance(join.right, Scan) else None,
    }


def _keep(keep: Keep, known: Mapping[str, str]) -> dict[str, Any]:
    frames = [window.frame for window in keep.spec.windows]
    unbounded = any(frame.start is None for frame in frames)
    held = "all rows of the key" if unbounded else " and ".join(filter(None, (_ranged(frames), _counted(frames))))
    width = 16 + sum(12 if str(kind) == "STRING" else 9 for kind in keep.spec.columns)
    sides = [_source(union.node) for union in keep.unions]
    return {
        "partition_by": [_plain(key, known) for key in keep.keys],
        "order_by": _plain(keep.order, known) if keep.order is not None else None,
        "inputs": "the UNION only, and the row itself"
        if not keep.stored
        else "its own rows" + (f" and {', '.join(sides)}" if sides else ""),
        "unions": sides,
        "columns": len(keep.columns),
        "bytes_per_row": width,
        "state": f"{held}, about {width} bytes a row{' on disk' if keep.on_disk else ''}",
        "on_disk": keep.on_disk,
        "history_ms": keep.spec.history,
    }


def _ranged(frames: list[Frame]) -> str:
    spans = [frame.start for frame in frames if not frame.rows and frame.start is not None]
    return f"the rows of the last {_span(max(spans))}" if spans else ""


def _counted(frames: list[Frame]) -> str:
    counts = [frame.start for frame in frames if frame.rows and frame.start is not None]
    return f"the last {max(counts) + 1} rows" if counts else ""


def _window(keep: Keep, window: Window, name: str, known: Mapping[str, str]) -> dict[str, Any]:
    def shown(aggregate: Aggregate) -> str:
        given = [_plain(keep.columns[i], known) for i in aggregate.arguments] + [repr(parameter) for parameter in aggregate.parameters]
        return f"{aggregate.function}({', '.join(given) or '*'})"

    fast = [shown(a) for a in window.aggregates if a.function in INCREMENTAL]
    slow = [shown(a) for a in window.aggregates if a.function not in INCREMENTAL]
    return {
        "name": name,
        "partition_by": [_plain(key, known) for key in keep.keys],
        "order_by": _plain(keep.order, known) if keep.order is not None else None,
        "frame": _frame(window.frame),
        "incremental": fast,
        "rescanned": slow,
    }


def _frame(frame: Frame) -> str:
    def bound(value: int | None, opened: bool) -> str:
        if value is None:
            return "UNBOUNDED PRECEDING"
        if value == 0 and not opened:
            return "CURRENT ROW"
        return f"{value if frame.rows else _span(value)} {'OPEN ' if opened else ''}PRECEDING"

    text = f"{'ROWS' if frame.rows else 'ROWS_RANGE'} BETWEEN {bound(frame.start, frame.start_open)} AND {bound(frame.end, frame.end_open)}"
    if frame.maxsize is not None:
        text += f" MAXSIZE {frame.maxsize}"
    if frame.exclude_current_time:
        text += " EXCLUDE CURRENT_TIME"
    if frame.exclude_current_row:
        text += " EXCLUDE CURRENT_ROW"
    return text


def _span(ms: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return str(ms)


def _source(node: Node) -> str:
    tables = dict.fromkeys(inner.table for inner in walk(node) if isinstance(inner, Scan))
    return " with ".join(tables)


def _engines(plan: Plan) -> Mapping[str, int]:
    """How many columns pass by, aggregates the kernel keeps and expressions DuckDB evaluates a batch."""
    computed: set[str] = set()
    passed = 0
    for node in walk(plan.root):
        scalars: list[Scalar] = []
        if isinstance(node, Project):
            scalars = [scalar for _, scalar in node.outputs]
            passed += sum(scalar.column is not None for scalar in scalars) if node is plan.root else 0
        elif isinstance(node, Filter):
            scalars = [node.condition]
        elif isinstance(node, Windowed):
            scalars = [s for keep in node.keeps for s in (*keep.keys, *keep.columns)]
        elif isinstance(node, Join) and node.residual is not None:
            scalars = [node.residual]
        computed |= {scalar.sql for scalar in scalars if scalar.column is None}
    aggregates = sum(len(window.aggregates) for keep in plan.keeps for window in keep.spec.windows)
    return {"passed": passed, "kernel": aggregates, "duckdb": len(computed)}


def _plain(scalar: Scalar | None, known: Mapping[str, str]) -> str:
    """An expression with the user's names of its columns."""
    if scalar is None:
        return ""
    sql = scalar.sql
    for ref in sorted(scalar.refs, key=len, reverse=True):
        sql = sql.replace(quoted(ref), known.get(ref, ref))
    return sql
