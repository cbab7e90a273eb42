"""SELECT to plan: FROM, LAST JOIN, WHERE, windows and projections, one level of query after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from sqlglot import exp

from streams.features.dialect import FeatureWindow, LastJoin
from streams.features.expressions import Expressions
from streams.features.frames import Frames
from streams.features.kinds import BOOL, DOUBLE, FLOAT, NULL, STRING, Kind, wider
from streams.features.parse import read
from streams.features.plan import Filter, Join, Limit, Node, Plan, Project, Scan, Single, Windowed, children
from streams.features.refusal import Refusals, did_you_mean
from streams.features.relation import Field, Relation, Scope
from streams.features.scalar import Scalar, Zone, column, made, promoted, quoted
from streams.features.udf import Udfs
from streams.types import Schema, Type


@dataclass(frozen=True)
class _Level:
    """One query: its node and the columns it offers."""

    node: Node
    relations: tuple[Relation, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(f for relation in self.relations for f in relation.fields)


@dataclass
class Selects:
    schemas: Mapping[str, Schema]
    refusals: Refusals
    zone: Zone
    udfs: Udfs
    database: str | None
    history_ms: int | None
    long_windows: Set[str]
    wraps: bool
    seen_windows: set[str] = field(default_factory=set)
    _joins: int = 0

    def query(self, node: exp.Expr, ctes: Mapping[str, exp.Expr]) -> _Level:
        while isinstance(node, (exp.Subquery, exp.Paren)) and not node.args.get("alias"):
            self.refusals.unread(node)
            node = node.this
        if isinstance(node, exp.SetOperation):
            raise self.refusals.at(node, "UNION of queries", "one SELECT", "A window may have a UNION of tables.")
        if not isinstance(node, exp.Select):
            raise self.refusals.at(node, type(node).__name__.upper(), "a SELECT")
        self.refusals.unread(node)
        with_ = node.args.get("with_")
        if with_ is not None:
            self.refusals.unread(with_)
            known = dict(ctes)
            for cte in with_.expressions:
                self.refusals.unread(cte)
                known[cte.alias.lower()] = _Closed(cte.this, dict(known))
            ctes = known
        return self._select(node, ctes)

    # ------------------------------------------------------------ FROM

    def table(self, node: exp.Expr, ctes: Mapping[str, exp.Expr]) -> _Level:
        """A table, subquery or name of a WITH, with its alias."""
        if isinstance(node, exp.Subquery):
            self.refusals.unread(node)
            level = self.query(node.this, ctes)
            return _Level(level.node, (Relation(node.alias or None, level.fields),))
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise self.refusals.at(node, type(node).__name__.upper(), "a table or a subquery")
        self.refusals.unread(node)
        name, database = node.name, node.text("db") or None
        alias = node.alias or name
        closed = ctes.get(name.lower()) if database is None else None
        if isinstance(closed, _Closed):
            level = self.query(closed.query, closed.ctes)
            return _Level(level.node, (Relation(alias, level.fields),))
        table = self._lookup(node, name, database)
        fields = tuple(
            Field(column_name, f"{table}.{column_name}".lower(), Kind(str(kind))) for column_name, kind in self.schemas[table].items()
        )
        return _Level(Scan(table, fields), (Relation(alias, fields, (database or self.database) if not node.alias else None),))

    def _lookup(self, node: exp.Expr, name: str, database: str | None) -> str:
        wanted = [f"{database}.{name}"] if database else [name, *([f"{self.database}.{name}"] if self.database else [])]
        if database is not None and database == self.database:
            wanted.append(name)
        for candidate in wanted:
            for known in self.schemas:
                if known == candidate:
                    return known
        for candidate in wanted:
            for known in self.schemas:
                if known.lower() == candidate.lower():
                    return known
        shown = wanted[0]
        raise self.refusals.at(
            node,
            f"the table {shown}",
            f"one of {', '.join(self.schemas)}" if self.schemas else "no table",
            did_you_mean(shown, self.schemas),
        )

    def _from(self, node: exp.Select, ctes: Mapping[str, exp.Expr]) -> _Level:
        from_ = node.args.get("from_")
        joins = node.args.get("joins") or []
        if from_ is None:
            if joins:
                raise self.refusals.at(joins[0], "a join without FROM", "a table behind FROM")
            return _Level(Single(), ())
        level = self.table(from_.this, ctes)
        for join in joins:
            level = self._join(level, join, ctes)
        return level

    def _join(self, left: _Level, join: exp.Expr, ctes: Mapping[str, exp.Expr]) -> _Level:
        if not isinstance(join, LastJoin):
            side = " ".join(filter(None, (join.args.get("side"), join.args.get("kind"), "JOIN"))) if join.args.get("this") else "JOIN"
            raise self.refusals.at(join, side, "LAST JOIN: one row for each event")
        right = self.table(join.this, ctes)
        self._joins += 1
        prefix = f"#{self._joins}."  # no table is called so
        name = right.relations[0].name
        if name is not None and any(
            r.name and r.name.lower() == name.lower() and r.database == right.relations[0].database for r in left.relations
        ):
            raise self.refusals.at(join.this, f"the table {name} a second time", "another name", "Give it an alias with AS.")
        moved = tuple(Relation(r.name, tuple(Field(f.name, prefix + f.ref, f.kind) for f in r.fields), r.database) for r in right.relations)
        own = self._expressions(Scope(right.relations, self.refusals), "in the ORDER BY of a join")
        order, descending = self._join_order(join, own)
        if join.args.get("on") is None:
            raise self.refusals.at(join, "LAST JOIN without ON", "LAST JOIN ... ON condition")
        both = self._expressions(Scope((*left.relations, *moved), self.refusals), "in the condition of a join")
        keys, rest = self._split(join.args["on"], both, prefix)
        right_keys = tuple((a, _unprefixed(b, prefix)) for a, b in keys)
        found = Join(left.node, right.node, name or f"join{self._joins}", prefix, right_keys, order, descending, rest)
        return _Level(found, (*left.relations, *moved))

    def _join_order(self, join: exp.Expr, own: Expressions) -> tuple[Scalar | None, bool]:
        order = join.args.get("order")
        if order is None:
            return None, False
        if len(order.expressions) != 1:
            raise self.refusals.at(order, f"ORDER BY with {len(order.expressions)} columns", "exactly one column of the right table")
        item = order.expressions[0]
        self.refusals.ordered(item)
        found = own.scalar(item.this)
        if found.kind.name not in ("INT", "BIGINT", "TIMESTAMP") or found.column is None:
            raise self.refusals.at(order, f"ORDER BY {found.kind}", "an INT, BIGINT or TIMESTAMP column of the right table")
        return found, bool(item.args.get("desc"))

    def _split(self, on: exp.Expr, both: Expressions, prefix: str) -> tuple[list[tuple[Scalar, Scalar]], Scalar | None]:
        """The equal pairs of a condition, and what remains of it."""
        keys, rest = [], []
        for part in on.flatten() if isinstance(on, exp.And) else [on]:
            inner = part.unnest()
            if isinstance(inner, exp.And):
                more, other = self._split(inner, both, prefix)
                keys += more
                rest += [other] if other is not None else []
                continue
            whole = both.condition(inner)
            if isinstance(inner, exp.EQ):
                a, b = both.scalar(inner.this), both.scalar(inner.expression)
                for left, right in ((a, b), (b, a)):
                    on_left = left.refs and not any(ref.startswith(prefix) for ref in left.refs)
                    on_right = right.refs and all(ref.startswith(prefix) for ref in right.refs)
                    kind = _key_kind(left.kind, right.kind)
                    if on_left and on_right and kind is not None:
                        keys.append((promoted(left, kind, self.zone), promoted(right, kind, self.zone)))
                        break
                else:
                    rest.append(whole)
                continue
            rest.append(whole)
        if not rest:
            return keys, None
        return keys, rest[0] if len(rest) == 1 else made(f"({' AND '.join(r.sql for r in rest)})", rest[0].kind, *rest)

    # ------------------------------------------------------------ SELECT

    def _expressions(self, scope: Scope, what: str) -> Expressions:
        return Expressions(scope, self.zone, self.refusals, None, self.udfs, what=what)

    def _select(self, node: exp.Select, ctes: Mapping[str, exp.Expr]) -> _Level:
        level = self._from(node, ctes)
        scope = Scope(level.relations, self.refusals)
        body = level.node
        where = node.args.get("where")
        if where is not None:
            body = Filter(body, self._expressions(scope, "in WHERE").condition(where.this))
        named: dict[str, FeatureWindow] = {}
        for window in node.args.get("windows") or []:
            alias = window.args["alias"].name
            if alias.lower() in named:
                raise self.refusals.at(window, f"the window {alias} twice", "one window of a name")
            named[alias.lower()] = window
            self.seen_windows.add(alias.lower())
        base = level.relations[0] if level.relations else Relation(None, ())
        frames = Frames(
            self._expressions(scope, "in a window"),
            self.refusals,
            base,
            named,
            lambda item: self._union(item, ctes),
            self.history_ms,
            self.long_windows,
            self.wraps,
        )
        expressions = Expressions(scope, self.zone, self.refusals, frames, self.udfs)
        outputs: list[tuple[str, Scalar]] = []
        for item in node.expressions:
            outputs += self._output(item, scope, expressions)
        if not outputs:
            raise self.refusals.at(node, "SELECT of nothing", "columns")
        frames.check_all()
        keeps = frames.keeps()
        if keeps:
            body = Windowed(body, keeps)
        projected = tuple((f"p{i}", _typed(scalar)) for i, (_, scalar) in enumerate(outputs))
        body = Project(body, projected, tuple(name for name, _ in outputs))
        limit = node.args.get("limit")
        if limit is not None:
            body = Limit(body, self._limit(limit))
        origins = {f.ref: relation.name or f.origin for relation in level.relations for f in relation.fields}
        fields = tuple(
            Field(name, ref, scalar.kind, origins.get(scalar.column) if scalar.column else None)
            for (name, _), (ref, scalar) in zip(outputs, projected, strict=True)
        )
        return _Level(body, (Relation(None, fields),))

    def _output(self, item: exp.Expr, scope: Scope, expressions: Expressions) -> list[tuple[str, Scalar]]:
        if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
            self.refusals.unread(item if isinstance(item, exp.Star) else item.this)
            table = item.table if isinstance(item, exp.Column) else ""
            relations = (scope.named(item, table, item.text("db") or None),) if table else scope.relations
            if not relations:
                raise self.refusals.at(item, "* without a table", "a table behind FROM")
            return [(f.name, column(f.ref, f.kind)) for relation in relations for f in relation.fields]
        scalar = expressions.scalar(item)
        if isinstance(item, exp.Alias):
            return [(item.alias, scalar)]
        return [(item.name if isinstance(item, exp.Column) else _shown(item), scalar)]

    def _union(self, item: exp.Expr, ctes: Mapping[str, exp.Expr]) -> tuple[Node, tuple[Relation, ...]]:
        level = self.table(item, ctes)
        return level.node, level.relations

    def _limit(self, limit: exp.Expr) -> int:
        value = limit.expression
        if not isinstance(value, exp.Literal) or not value.name.isdigit():
            raise self.refusals.at(limit, "LIMIT of an expression", "LIMIT and a whole number")
        self.refusals.unread(limit)
        return int(value.name)


class _Closed(exp.Expression):
    """A query of a WITH and the names it can see."""

    def __init__(self, query: exp.Expr, ctes: Mapping[str, exp.Expr]) -> None:
        super().__init__()
        self.query, self.ctes = query, ctes


def _key_kind(left: Kind, right: Kind) -> Kind | None:
    """The type in which two sides of a LAST JOIN are the same key, which is the one they are compared in: NULL is NULL there."""
    if left.column is None or right.column is None:
        return None
    if left == right or STRING in (left, right):
        return left if left == right else STRING
    kind = wider(left, right)
    return DOUBLE if kind == FLOAT else kind


def _typed(scalar: Scalar) -> Scalar:
    return Scalar("CAST(NULL AS BOOLEAN)", BOOL, literal=None) if scalar.kind == NULL else scalar


def _shown(item: exp.Expr) -> str:
    """The name of an output without alias: the expression as written, in short."""
    if isinstance(item, exp.Anonymous):
        return f"{item.this}({', '.join(_shown(argument) for argument in item.expressions)})".lower()
    if isinstance(item, FeatureWindow):
        return f"{_shown(item.this)}over {item.args['name'].name}" if item.args.get("name") else _shown(item.this)
    try:
        return item.sql()
    except ValueError:
        return type(item).__name__.lower()


def _unprefixed(scalar: Scalar, prefix: str) -> Scalar:
    """An expression over joined columns as one over the right table's own."""
    sql = scalar.sql
    for ref in sorted(scalar.refs, key=len, reverse=True):
        sql = sql.replace(quoted(ref), quoted(ref.removeprefix(prefix)))
    refs = frozenset(ref.removeprefix(prefix) for ref in scalar.refs)
    return Scalar(sql, scalar.kind, refs, scalar.column.removeprefix(prefix) if scalar.column else None)


def _long_windows(options: Mapping[str, str], refusals: Refusals) -> set[str]:
    """The windows of `w1:1h,w2:1d`. The bucket is checked and not needed: no window here is added up anew for an event."""
    found: set[str] = set()
    for item in filter(None, (part.strip() for part in options.get("long_windows", "").split(","))):
        name, _, size = item.partition(":")
        size = size.strip().lower() or "1d"
        digits, unit = size.rstrip("smhd"), size.lstrip("0123456789")
        if not digits.isdigit() or unit not in ("", "s", "m", "h", "d") or int(digits) == 0:
            raise refusals.place(None, None, f"long_windows = '{item}'", "window:size, as in w:1h")
        found.add(name.strip().lower())
    return found


def build(
    sql: str,
    schemas: Mapping[str, Schema],
    *,
    path: str,
    timezone: str,
    udfs: Udfs,
    database: str | None,
    history_ms: int | None,
    overflow: str,
) -> Plan:
    refusals = Refusals(path)
    if not Zone(timezone).known:
        raise refusals.place(None, None, f"the time zone {timezone}", "UTC, whole hours as in +08:00, or a name as in Europe/Berlin")
    statement = read(sql, refusals)
    long_windows = _long_windows(statement.options, refusals)
    selects = Selects(schemas, refusals, Zone(timezone), udfs, database, history_ms, long_windows, overflow == "wrap")
    level = selects.query(statement.query, {})
    for name in sorted(long_windows):
        if name not in selects.seen_windows:
            raise refusals.place(
                None, None, f"long_windows of {name}", "a window of the WINDOW clause", did_you_mean(name, selects.seen_windows)
            )
    columns = []
    for f in level.fields:
        if f.kind.column is None:
            raise refusals.at(
                statement.query, f"the output {f.name}, which is a {f.kind}", "a column value", "join(), size() or [key] give one."
            )
        columns.append((f.name, Type(f.kind.name)))
    driving = _leftmost(level.node)
    sources = tuple(dict.fromkeys(table for table in _ranked(level.node) if table != driving)) + ((driving,) if driving else ())
    return Plan(level.node, tuple(columns), driving, sources, timezone, path, udfs, statement.outfile)


def _ranked(node: Node) -> Iterator[str]:
    """The inputs by rank: what a row looks up comes before the row."""
    if isinstance(node, Scan):
        yield node.table
    for child in children(node)[:0:-1]:  # of two tables in a UNION the first one listed is the newer at equal times
        yield from _ranked(child)
    for child in children(node)[:1]:
        yield from _ranked(child)


def _leftmost(node: Node) -> str | None:
    while not isinstance(node, (Scan, Single)):
        node = node.left if isinstance(node, Join) else node.child
    return node.table if isinstance(node, Scan) else None
