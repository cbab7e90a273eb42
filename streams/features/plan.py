"""The plan of features.sql: a frozen graph of relational nodes with compiled expressions, and its hash.

The hash is of the meaning: tables, columns used, windows, aggregates, conditions, output names and types; not of layout, letter case,
aliases or comments. Two texts of one meaning give one hash, and any change of a value's definition gives another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from streams.features.kinds import Kind
from streams.features.relation import Field
from streams.features.scalar import Scalar
from streams.features.spec import Store
from streams.features.udf import Udfs
from streams.sections import Model
from streams.types import Schema, Type


@dataclass(frozen=True)
class Scan:
    """The rows of one input."""

    table: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Single:
    """One row without columns: a SELECT without FROM."""


@dataclass(frozen=True)
class Project:
    """Named expressions over the rows of a node."""

    child: Node
    outputs: tuple[tuple[str, Scalar], ...]
    names: tuple[str, ...] = field(default=(), compare=False)  # how the user calls them


@dataclass(frozen=True)
class Filter:
    """The rows of a node where a condition holds."""

    child: Node
    condition: Scalar


@dataclass(frozen=True)
class Join:
    """LAST JOIN. `keys` are equal pairs (left, right), `residual` what must hold beside them, over left and `prefix`ed right columns."""

    left: Node
    right: Node
    name: str
    prefix: str
    keys: tuple[tuple[Scalar, Scalar], ...]
    order: Scalar | None
    descending: bool
    residual: Scalar | None


@dataclass(frozen=True)
class Union_:
    """One more input of a window: `columns` maps the names of the window's own rows to those of this node."""

    node: Node
    columns: tuple[tuple[str, str], ...]


LONG_MS = 604_800_000


@dataclass(frozen=True)
class Keep:
    """Rows kept by one key and order, and the windows over them. `refs[w][a]` names the column of aggregate a of window w."""

    keys: tuple[Scalar, ...]
    order: Scalar | None
    unions: tuple[Union_, ...]
    stored: bool
    columns: tuple[Scalar, ...]
    spec: Store
    refs: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    long: bool = field(default=False, compare=False)  # OPTIONS(long_windows) names one of its windows

    @property
    def on_disk(self) -> bool:
        """Whether its rows live in a file rather than in RAM: some window was declared long, or reaches back more than a week."""
        spans = [window.frame.start for window in self.spec.windows if not window.frame.rows and window.frame.start is not None]
        return self.long or max(spans, default=0) > LONG_MS


@dataclass(frozen=True)
class Windowed:
    """The rows of a node with the aggregates of its windows beside them."""

    child: Node
    keeps: tuple[Keep, ...]


@dataclass(frozen=True)
class Limit:
    """The first rows of a node."""

    child: Node
    rows: int


Node = Scan | Single | Project | Filter | Join | Windowed | Limit


@dataclass(frozen=True)
class Plan:
    """What features.sql means. `columns` are the output's names and types in order; `sources` the inputs by rank, the driving one last."""

    root: Node
    columns: tuple[tuple[str, Type], ...]
    driving: str | None
    sources: tuple[str, ...]
    timezone: str
    path: str = field(default="features.sql", compare=False)
    udfs: Udfs = field(default_factory=Udfs, compare=False, repr=False)
    outfile: str | None = None

    @cached_property
    def schema(self) -> Mapping[str, Type]:
        return dict(self.columns)

    @cached_property
    def hash(self) -> str:
        """64 hex digits; equal for plans of equal meaning."""
        lines = [*describe(self.root), f"zone {self.timezone}", *(f"out {name} {kind}" for name, kind in self.columns)]
        if any("udf_" in line or ("udaf:" in line and "udaf:_rows" not in line) for line in lines):
            lines.append(f"functions {self.udfs.digest}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def times(self) -> Mapping[str, str]:
        """The column that orders the windows, of each input that has one."""
        found: dict[str, str] = {}
        for node in walk(self.root):
            if not isinstance(node, Windowed):
                continue
            for keep in node.keeps:
                own = keep.order.column if keep.order is not None else None
                if own is None:
                    continue
                for inner, ref in [(node.child, own), *((union.node, dict(union.columns)[own]) for union in keep.unions)]:
                    column = origin(inner, ref)
                    if column is not None:
                        found.setdefault(*column)
        return found

    @property
    def longest_ms(self) -> int | None:
        """The longest window by time in milliseconds; None where one is unbounded or counted in rows."""
        longest = 0
        for keep in self.keeps:
            for window in keep.spec.windows:
                if window.frame.rows or window.frame.start is None:
                    return None
                longest = max(longest, window.frame.start)
        return longest

    @property
    def keeps(self) -> tuple[Keep, ...]:
        return tuple(keep for node in walk(self.root) if isinstance(node, Windowed) for keep in node.keeps)

    @property
    def joins(self) -> tuple[Join, ...]:
        return tuple(node for node in walk(self.root) if isinstance(node, Join))


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, (Project, Filter, Limit)):
        return (node.child,)
    if isinstance(node, Join):
        return (node.left, node.right)
    if isinstance(node, Windowed):
        return (node.child, *(union.node for keep in node.keeps for union in keep.unions))
    return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, the driving path first."""
    yield node
    for child in children(node):
        yield from walk(child)


def names(node: Node) -> dict[str, str]:
    """How the user calls the columns of a node."""
    if isinstance(node, Scan):
        return {f.ref: f.ref for f in node.fields}
    if isinstance(node, Project):
        return {ref: name for (ref, _), name in zip(node.outputs, node.names or [ref for ref, _ in node.outputs], strict=True)}
    if isinstance(node, Join):
        return names(node.left) | {node.prefix + ref: f"{node.name}.{name.split('.')[-1]}" for ref, name in names(node.right).items()}
    return {} if isinstance(node, Single) else names(node.child)


def origin(node: Node, ref: str) -> tuple[str, str] | None:
    """The input and column a frame column comes from unchanged."""
    if isinstance(node, Scan):
        return next(((node.table, f.name) for f in node.fields if f.ref == ref), None)
    if isinstance(node, Project):
        source = next((scalar.column for name, scalar in node.outputs if name == ref), None)
        return origin(node.child, source) if source else None
    if isinstance(node, Join):
        return origin(node.right, ref.removeprefix(node.prefix)) if ref.startswith(node.prefix) else origin(node.left, ref)
    if isinstance(node, Filter | Limit | Windowed):
        return origin(node.child, ref)
    return None


def describe(node: Node, depth: int = 0) -> Iterator[str]:
    """The lines a plan's hash is made of."""
    pad = "  " * depth
    if isinstance(node, Scan):
        yield f"{pad}scan {node.table}"
    elif isinstance(node, Single):
        yield f"{pad}one row"
    elif isinstance(node, Project):
        yield f"{pad}project"
        yield from (f"{pad}- {ref} = {scalar.sql} :: {scalar.kind}" for ref, scalar in node.outputs)
    elif isinstance(node, Filter):
        yield f"{pad}where {node.condition.sql}"
    elif isinstance(node, Limit):
        yield f"{pad}limit {node.rows}"
    elif isinstance(node, Join):
        order = f" order by {node.order.sql}{' desc' if node.descending else ''}" if node.order else ""
        keys = " and ".join(f"{left.sql} = {right.sql}" for left, right in node.keys)
        rest = f" where {node.residual.sql}" if node.residual else ""
        yield f"{pad}last join on {keys}{order}{rest}"
    else:
        yield f"{pad}windows"
        for keep in node.keeps:
            by = ", ".join(key.sql for key in keep.keys)
            yield f"{pad}- keep by {by} order by {keep.order.sql if keep.order else '-'}{'' if keep.stored else ' without the instance'} late by {keep.spec.history}"
            yield from (f"{pad}  column {column.sql} :: {column.kind}" for column in keep.columns)
            for window, refs in zip(keep.spec.windows, keep.refs, strict=True):
                yield f"{pad}  frame {window.frame}"
                yield from (f"{pad}    {ref} = {aggregate}" for ref, aggregate in zip(refs, window.aggregates, strict=True))
            for union in keep.unions:
                used = frozenset().union(*(scalar.refs for scalar in (*keep.keys, *keep.columns, *((keep.order,) if keep.order else ()))))
                yield f"{pad}  union {[pair for pair in union.columns if pair[0] in used]}"
                yield from describe(union.node, depth + 2)
    rest_of = children(node)[:1] if isinstance(node, Windowed) else children(node)
    for child in rest_of:
        yield from describe(child, depth + 1)


def compile_features(
    sql: str,
    schemas: Mapping[str, Schema],
    *,
    path: str = "features.sql",
    timezone: str = "UTC",
    udfs: Udfs | None = None,
    database: str | None = None,
    history_ms: int | None = Model.history_ms,
    overflow: str = "null",
) -> Plan:
    """Compile one SELECT against the schemas of its inputs (names, or `database.name`).

    `timezone` is how timestamps are read and shown; `history_ms` how long a key's rows are kept beyond its longest frame for rows that
    come late (None: for ever). A sum its type cannot hold is NULL and counted; `overflow = "wrap"` lets SMALLINT and INT wrap instead, as
    OpenMLDB does. Raises FeatureError: `path:line:column: met ..., wished ...`.
    """
    from streams.features.select import build

    return build(
        sql, schemas, path=path, timezone=timezone, udfs=udfs or Udfs(), database=database, history_ms=history_ms, overflow=overflow
    )


__all__ = [
    "Filter",
    "Join",
    "Keep",
    "Kind",
    "Limit",
    "Node",
    "Plan",
    "Project",
    "Scan",
    "Single",
    "Union_",
    "Windowed",
    "compile_features",
    "describe",
    "walk",
]
