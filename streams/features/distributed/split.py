"""A plan cut by key: tasks that can be computed apart, and what puts their columns together again.

A LAST JOIN and a window add columns and never change the rows, so each is a task of its own over the rows it needs: its key says which
bucket a row goes to. Tasks that cannot be keyed (a join without an equal pair, windows over windows of another key) take one bucket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from streams.errors import FeatureError
from streams.features.kinds import Kind
from streams.features.plan import Filter, Join, Keep, Limit, Node, Plan, Project, Scan, Windowed, walk
from streams.features.relation import Field
from streams.features.scalar import Scalar, column
from streams.types import Type

ROWS = "rows"  # the table that `top` reads: base columns and the tasks' columns side by side


@dataclass(frozen=True)
class Task:
    """One window store or one join: `plan` answers its columns for the driving rows it is given.

    `routes[table]` answers the key columns of that input's rows; None: all rows go to one bucket. `joined` is the name of the right side
    whose place a row has seen.
    """

    name: str
    plan: Plan
    routes: Mapping[str, Plan] | None
    joined: str | None = None


@dataclass(frozen=True)
class Cut:
    """`base` answers the columns a driving row has by itself, `top` the SELECT's columns from base and task columns."""

    plan: Plan
    base: Plan
    tasks: tuple[Task, ...]
    top: Plan


def cut(plan: Plan) -> Cut:
    """Cut a plan into tasks. FeatureError for what cannot be kept equal: LIMIT, and a WHERE on joined or windowed columns."""
    if plan.driving is None or any(isinstance(node, Limit) for node in walk(plan.root)):
        raise FeatureError(
            f"{plan.path}: met {'LIMIT' if plan.driving else 'no FROM'}; on flink every event gives one row. Take it out, or run embedded."
        )
    root = _pushed(plan.root)
    base = _base(root)
    asked = _asked(root)
    base_refs = tuple(f for f in _refs(base) if f.ref in asked)
    tasks: list[Task] = []
    above = [node for node in _driving(root) if isinstance(node, (Join, Windowed))]
    for node in reversed(above):
        for branch in _branches(node):
            if isinstance(branch, Join) or asked & {f.ref for f in _added(branch)}:
                tasks.append(_task(plan, branch, asked, len(tasks)))
    leaf = Scan(
        ROWS, tuple(Field(f.ref, f.ref, f.kind) for f in (*base_refs, *(f for node in above for f in _added(node) if f.ref in asked)))
    )
    top = Plan(_replaced(root, base, leaf), plan.columns, ROWS, (ROWS,), plan.timezone, plan.path, plan.udfs)
    return Cut(plan, _answering(plan, base, base_refs), tuple(tasks), top)


def _driving(node: Node) -> Iterator[Node]:
    """The nodes a driving row passes, from the output down."""
    yield node
    if isinstance(node, (Project, Filter, Windowed)):
        yield from _driving(node.child)
    elif isinstance(node, Join):
        yield from _driving(node.left)


def _asked(root: Node) -> frozenset[str]:
    """The columns that the output's expressions, and those below them on the way down, look at."""
    scalars = [s for node in _driving(root) if isinstance(node, Project) and not _is_scalar(node) for _, s in node.outputs]
    return frozenset().union(*(scalar.refs for scalar in scalars)) if scalars else frozenset(f.ref for f in _refs(root))


def _is_scalar(node: Node) -> bool:
    return not any(isinstance(inner, (Join, Windowed)) for inner in walk(node))


def _base(root: Node) -> Node:
    return next(node for node in _driving(root) if _is_scalar(node))


def _pushed(node: Node) -> Node:
    """A WHERE over a join that looks at the left row only stands below it."""
    if isinstance(node, Filter):
        child = _pushed(node.child)
        if isinstance(child, Join) and node.condition.refs <= {f.ref for f in _refs(child.left)}:
            return replace(child, left=_pushed(Filter(child.left, node.condition)))
        if not _is_scalar(child):
            raise FeatureError(
                f"met WHERE {node.condition.sql} over joined or windowed columns; on flink WHERE may use the driving row's own columns."
                " Put the condition into the features, or run embedded."
            )
        return replace(node, child=child)
    if isinstance(node, (Project, Windowed)):
        return replace(node, child=_pushed(node.child))
    if isinstance(node, Join):
        return replace(node, left=_pushed(node.left))
    return node


def _refs(node: Node) -> tuple[Field, ...]:
    """The columns a node's rows have."""
    if isinstance(node, Scan):
        return node.fields
    if isinstance(node, Project):
        return tuple(Field(ref, ref, scalar.kind) for ref, scalar in node.outputs)
    if isinstance(node, (Filter, Limit)):
        return _refs(node.child)
    if isinstance(node, Join):
        return (*_refs(node.left), *_added(node))
    if isinstance(node, Windowed):
        return (*_refs(node.child), *_added(node))
    return ()


def _added(node: Node) -> tuple[Field, ...]:
    """The columns a join or windows put beside the row."""
    if isinstance(node, Join):
        return tuple(Field(node.prefix + f.ref, node.prefix + f.ref, f.kind) for f in _refs(node.right))
    assert isinstance(node, Windowed)
    return tuple(Field(ref, ref, kind) for keep in node.keeps for ref, kind in _aggregates(keep))


def _aggregates(keep: Keep) -> Iterator[tuple[str, Kind]]:
    for window, refs in zip(keep.spec.windows, keep.refs, strict=True):
        for ref, aggregate in zip(refs, window.aggregates, strict=True):
            yield ref, Kind(str(aggregate.type))


def _branches(node: Node) -> Iterator[Node]:
    if isinstance(node, Windowed):
        yield from (Windowed(node.child, (keep,)) for keep in node.keeps)
    else:
        yield node


def _answering(plan: Plan, node: Node, fields: tuple[Field, ...]) -> Plan:
    """A plan whose output are these columns of the node."""
    outputs = tuple((f"p{i}", column(f.ref, f.kind)) for i, f in enumerate(fields))
    sources = tuple(name for name in plan.sources if any(isinstance(n, Scan) and n.table == name for n in walk(node)))
    return Plan(
        Project(node, outputs), tuple((f.ref, _type(f)) for f in fields), plan.driving, sources, plan.timezone, plan.path, plan.udfs
    )


def _type(f: Field) -> Type:
    if f.kind.name != "NULL" and f.kind.column is None:
        raise FeatureError(
            f"met a {f.kind} between two tasks; on flink a column has a plain type there. Use it up inside the subquery, or run embedded."
        )
    return Type.BOOL if f.kind.name == "NULL" else Type(f.kind.name)


def _task(plan: Plan, node: Node, asked: frozenset[str], number: int) -> Task:
    added = tuple(f for f in _added(node) if f.ref in asked)
    if isinstance(node, Join):
        pruned: Node = replace(node, left=_pruned(node.left, _needs(node)))
        found = _answering(plan, pruned, added)
        return Task(f"{number}:{node.name}", found, _join_routes(plan, pruned), node.name)
    assert isinstance(node, Windowed)
    pruned = replace(node, child=_pruned(node.child, _needs(node)))
    return Task(f"{number}:window", _answering(plan, pruned, added), _window_routes(plan, pruned))


def _needs(node: Node) -> frozenset[str]:
    """The columns of the rows below that a join or a window store looks at."""
    scalars: list[Scalar] = []
    if isinstance(node, Join):
        scalars = [left for left, _ in node.keys] + ([node.residual] if node.residual else [])
    elif isinstance(node, Windowed):
        for keep in node.keeps:
            scalars += [*keep.keys, *keep.columns, *([keep.order] if keep.order else [])]
    return frozenset().union(*(scalar.refs for scalar in scalars)) if scalars else frozenset()


def _pruned(node: Node, needs: frozenset[str]) -> Node:
    """The node without the joins and windows whose columns nobody above asks for."""
    if isinstance(node, Project):
        used = tuple((ref, scalar) for ref, scalar in node.outputs if ref in needs)
        below = frozenset().union(*(scalar.refs for _, scalar in used)) if used else frozenset()
        return replace(node, child=_pruned(node.child, below), outputs=used or node.outputs[:1])
    if isinstance(node, Scan):
        return replace(node, fields=tuple(f for f in node.fields if f.ref in needs))
    if isinstance(node, Filter):
        return replace(node, child=_pruned(node.child, needs | node.condition.refs))
    if isinstance(node, (Join, Windowed)):
        child = node.left if isinstance(node, Join) else node.child
        if not needs & {f.ref for f in _added(node)}:
            return _pruned(child, needs)
        under = _pruned(child, needs | _needs(node))
        return replace(node, left=under) if isinstance(node, Join) else replace(node, child=under)
    return node


def _routing(plan: Plan, node: Node, table: str, keys: tuple[Scalar, ...]) -> Plan:
    outputs = tuple((f"p{i}", key) for i, key in enumerate(keys))
    columns = tuple((f"k{i}", _type(Field("", "", key.kind))) for i, key in enumerate(keys))
    return Plan(Project(node, outputs), columns, table, (table,), plan.timezone, plan.path, plan.udfs)


def _table(node: Node) -> str | None:
    """The input of a node that is only projections and conditions over it."""
    return next((n.table for n in _driving(node) if isinstance(n, Scan)), None) if _is_scalar(node) else None


def _join_routes(plan: Plan, node: Node) -> Mapping[str, Plan] | None:
    assert isinstance(node, Join)
    paths = [(node.left, tuple(left for left, _ in node.keys)), (node.right, tuple(right for _, right in node.keys))]
    return _routes(plan, paths) if node.keys else None


def _window_routes(plan: Plan, node: Node) -> Mapping[str, Plan] | None:
    assert isinstance(node, Windowed)
    (keep,) = node.keeps
    paths = [(node.child, keep.keys)]
    for union in keep.unions:
        names = dict(union.columns)
        if any(key.column not in names for key in keep.keys):
            return None
        kinds = {f.ref: f.kind for f in _refs(union.node)}
        paths.append((union.node, tuple(column(names[key.column or ""], kinds[names[key.column or ""]]) for key in keep.keys)))
    return _routes(plan, paths) if keep.keys else None


def _routes(plan: Plan, paths: list[tuple[Node, tuple[Scalar, ...]]]) -> Mapping[str, Plan] | None:
    routes: dict[str, Plan] = {}
    for node, keys in paths:
        table = _table(node)
        if table is None or (table in routes and routes[table].root != _routing(plan, node, table, keys).root):
            return None
        routes[table] = _routing(plan, node, table, keys)
    return routes


def _replaced(node: Node, base: Node, leaf: Scan, above: tuple[Field, ...] = ()) -> Node:
    """The projections above, over the rows as the tasks completed them. `above`: what tasks above added, which those below let pass."""
    if node is base or node == base:
        return leaf
    if isinstance(node, Project):
        passed = tuple((f.ref, column(f.ref, f.kind)) for f in above)
        names = (*node.names, *(f.ref for f in above)) if node.names else node.names
        return replace(node, child=_replaced(node.child, base, leaf, above), outputs=(*node.outputs, *passed), names=names)
    if isinstance(node, Filter):
        return replace(node, child=_replaced(node.child, base, leaf, above))
    known = {f.ref for f in leaf.fields}
    added = tuple(f for f in _added(node) if f.ref in known)
    return _replaced(node.left if isinstance(node, Join) else node.child, base, leaf, (*above, *added))  # type: ignore[union-attr]
