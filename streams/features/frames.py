"""WINDOW clauses: from syntax to a key, an order, a frame and its inputs, refused where OpenMLDB's rules refuse them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from sqlglot import exp

from streams.features.dialect import UNITS, Bound, FeatureWindow, UnitLiteral
from streams.features.expressions import Expressions
from streams.features.kinds import BIGINT, Kind
from streams.features.plan import Keep, Node, Union_
from streams.features.refusal import Refusals, did_you_mean
from streams.features.relation import Relation
from streams.features.scalar import Scalar, column, made, narrowed
from streams.features.spec import Aggregate, Frame, Store, Window
from streams.types import Type

_ZERO = {"BOOL": "false", "STRING": "''", "DATE": "DATE '1970-01-01'"} | dict.fromkeys(
    ("SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "TIMESTAMP"), "0"
)
LARGEST = 2**62  # of a bound, in milliseconds or rows
_WORDS = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000, "WEEK": 604_800_000, "MILLISECOND": 1}


@dataclass(frozen=True)
class Place:
    """Where a window's rows come from and how they are kept: windows of equal places share them."""

    keys: tuple[Scalar, ...]
    order: Scalar | None
    unions: tuple[Union_, ...]
    stored: bool


@dataclass
class _Draft:
    """A store while its windows are collected."""

    place: Place
    columns: dict[tuple[str, Kind], tuple[int, Scalar]] = field(default_factory=dict)
    windows: dict[Frame, tuple[str, dict[Aggregate, str]]] = field(default_factory=dict)


@dataclass
class _Over:
    frames: Frames
    place: Place
    frame: Frame
    name: str
    node: FeatureWindow

    def add(self, function: str, arguments: Sequence[Scalar], parameters: Sequence[object], kind: Kind) -> Scalar:
        if function == "sum" and self.frames.wraps and kind.name in ("SMALLINT", "INT"):
            whole = self.frames.add(self, function, arguments, parameters, BIGINT)
            return made(narrowed(whole.sql, kind), kind, whole)
        if function == "distinct_count":  # as in OpenMLDB a NULL counts as the zero of its type; count(DISTINCT x) leaves it out
            value = arguments[0]
            arguments = [made(f"coalesce({value.sql}, {_ZERO[value.kind.name]})", value.kind, value)]
        return self.frames.add(self, "distinct_count" if function == "distinct_known" else function, arguments, parameters, kind)


@dataclass
class Frames:
    """All windows of one SELECT. `unions` builds the node of a table in a UNION."""

    expressions: Expressions
    refusals: Refusals
    base: Relation  # the first table: what a UNION must look like
    named: Mapping[str, FeatureWindow]
    unions: Callable[[exp.Expr], tuple[Node, tuple[Relation, ...]]]
    history_ms: int | None
    long_windows: Set[str]
    wraps: bool = False
    _drafts: dict[Place, _Draft] = field(default_factory=dict)
    _resolved: dict[int, tuple[Place, Frame]] = field(default_factory=dict)
    _count: int = 0

    def over(self, node: FeatureWindow) -> _Over:
        """The window of an OVER: named, or given on the spot."""
        window, name = node, "(...)"
        for _ in range(len(self.named) + 1):
            if window.args.get("name") is None:
                break
            name = window.args["name"].name
            found = self.named.get(name.lower())
            if found is None:
                raise self.refusals.at(
                    node.args["name"],
                    f"the window {name}",
                    "a window of the WINDOW clause",
                    did_you_mean(name, [w.args["alias"].name for w in self.named.values()]),
                )
            window = found
        if id(window) not in self._resolved:
            self._resolved[id(window)] = self._place(window), self._frame(window)
        return _Over(self, *self._resolved[id(window)], name, window)

    def check_all(self) -> None:
        """Windows that nothing uses must still be right."""
        for window in self.named.values():
            self.over(window)

    def add(self, over: _Over, function: str, arguments: Sequence[Scalar], parameters: Sequence[object], kind: Kind) -> Scalar:
        draft = self._drafts.setdefault(over.place, _Draft(over.place))
        indexes = []
        for argument in arguments:
            self._check_union(over, argument)
            index, _ = draft.columns.setdefault((argument.sql, argument.kind), (len(draft.columns), argument))
            indexes.append(index)
        aggregate = Aggregate(function, tuple(indexes), tuple(parameters), kind.column or Type.STRING)  # type: ignore[arg-type]
        _, aggregates = draft.windows.setdefault(over.frame, (over.name, {}))
        if aggregate not in aggregates:
            aggregates[aggregate] = f"w{self._count}"
            self._count += 1
        return column(aggregates[aggregate], kind)

    def keeps(self) -> tuple[Keep, ...]:
        made = []
        for draft in self._drafts.values():
            columns = tuple(scalar for _, scalar in sorted(draft.columns.values(), key=lambda pair: pair[0]))
            windows = tuple(Window(frame, tuple(aggregates)) for frame, (_, aggregates) in draft.windows.items())
            names = tuple(name for name, _ in draft.windows.values())
            spec = Store(tuple(c.kind.column or Type.STRING for c in columns), windows, self.history_ms)
            refs = tuple(tuple(aggregates.values()) for _, aggregates in draft.windows.values())
            long = any(name.lower() in self.long_windows for name in names)
            place = draft.place
            made.append(Keep(place.keys, place.order, place.unions, place.stored, columns, spec, refs, names, long))
        return tuple(made)

    # ------------------------------------------------------------ parts

    def _check_union(self, over: _Over, scalar: Scalar) -> None:
        for union in over.place.unions:
            known = {own for own, _ in union.columns}
            if scalar.refs - known:
                raise self.refusals.at(
                    over.node, "a window over a UNION with a joined column", "columns of the first table, which the UNION has too"
                )

    def _place(self, window: FeatureWindow) -> Place:
        partition = window.args.get("partition") or []
        if not partition:
            raise self.refusals.at(window, "a window without PARTITION BY", "PARTITION BY column: state is kept by key")
        keys = tuple(self.expressions.scalar(key) for key in partition)
        for key, node in zip(keys, partition, strict=True):
            if key.kind.column is None:
                raise self.refusals.at(node, f"PARTITION BY {key.kind}", "a column value")
        order = self._order(window)
        unions = tuple(self._union(item) for item in window.args.get("union") or [])
        stored = not window.args.get("instance_not_in_window")
        if not stored and not unions:
            stored = False
        place = Place(keys, order, unions, stored)
        over = _Over(self, place, Frame(True, 0), "", window)
        for scalar in (*keys, *([order] if order else [])):
            self._check_union(over, scalar)
        return place

    def _order(self, window: FeatureWindow) -> Scalar | None:
        order = window.args.get("order")
        ranged = window.args.get("kind") == "RANGE"
        if order is None or not order.expressions:
            if "CURRENT_TIME" in (window.args.get("exclude") or []):
                raise self.refusals.at(window, "EXCLUDE CURRENT_TIME without ORDER BY", "exactly one ORDER BY column")
            bounds = [bound for bound in (window.args.get("start"), window.args.get("end")) if bound is not None]
            if ranged and any(bound.this is not None for bound in bounds):
                raise self.refusals.at(window, "a ROWS_RANGE frame with an offset, without ORDER BY", "exactly one ORDER BY column")
            return None
        if len(order.expressions) != 1:
            raise self.refusals.at(order, f"ORDER BY with {len(order.expressions)} columns", "exactly one")
        item = order.expressions[0]
        if item.args.get("desc"):
            raise self.refusals.at(item, "ORDER BY ... DESC in a window", "ascending order: a window looks back")
        self.refusals.ordered(item)
        inner = item.this
        found = self.expressions.scalar(inner)
        if found.column is None:
            raise self.refusals.at(inner, "ORDER BY an expression", "ORDER BY a column")
        if found.kind.name not in ("INT", "BIGINT", "TIMESTAMP"):
            fitting = [f.name for f in self.expressions.scope.fields if f.kind.name in ("TIMESTAMP", "BIGINT", "INT")]
            raise self.refusals.at(
                inner,
                f"ORDER BY {found.kind}",
                "an INT, BIGINT or TIMESTAMP column",
                f"A column that fits: {fitting[-1]}." if fitting else "",
            )
        return found

    def _union(self, item: exp.Expr) -> Union_:
        node, relations = self.unions(item)
        fields = [f for relation in relations for f in relation.fields]
        own = self.base.fields
        if [(f.name.lower(), f.kind) for f in fields] != [(f.name.lower(), f.kind) for f in own]:
            wished = ", ".join(f"{f.name} {f.kind}" for f in own)
            met = ", ".join(f"{f.name} {f.kind}" for f in fields)
            raise self.refusals.at(item, f"UNION of ({met})", f"the columns of the window's own table: ({wished})")
        return Union_(node, tuple((mine.ref, theirs.ref) for mine, theirs in zip(own, fields, strict=True)))

    def _frame(self, window: FeatureWindow) -> Frame:
        exclude = window.args.get("exclude") or []
        rows = window.args.get("kind") == "ROWS"
        start: Bound | None = window.args.get("start")
        end: Bound | None = window.args.get("end")
        begin, begin_open = self._bound(start, rows) if start is not None else (None, False)
        finish, finish_open = self._bound(end, rows) if end is not None else (0, False)
        if finish is None:
            raise self.refusals.at(end, "a frame that ends UNBOUNDED PRECEDING", "an end, as in CURRENT ROW")
        finish = max(finish, 0)  # `-1 PRECEDING` ends with the current row: what comes behind it is not known
        if begin is not None and begin < finish:
            raise self.refusals.at(window, f"a frame from {begin} to {finish} PRECEDING", "a start that is not behind its end")
        maxsize = None
        if window.args.get("maxsize") is not None:
            if rows:
                raise self.refusals.at(
                    window.args["maxsize"], "MAXSIZE of a ROWS frame", "MAXSIZE of a ROWS_RANGE frame: ROWS say their size"
                )
            maxsize = self._whole(window.args["maxsize"], "MAXSIZE")
            if not 1 <= maxsize < LARGEST:
                raise self.refusals.at(window.args["maxsize"], f"MAXSIZE {maxsize}", "1 or more, and no more than a window can hold")
        return Frame(rows, begin, finish, begin_open, finish_open, maxsize, "CURRENT_TIME" in exclude, "CURRENT_ROW" in exclude)

    def _bound(self, bound: Bound, rows: bool) -> tuple[int | None, bool]:
        found, opened = self._offset(bound, rows)
        if found is not None and abs(found) >= LARGEST:
            raise self.refusals.at(bound, f"a bound of {found}", "no more than a window can be long")
        return found, opened

    def _offset(self, bound: Bound, rows: bool) -> tuple[int | None, bool]:
        if bound.args.get("current"):
            return 0, False
        if bound.args.get("side") == "FOLLOWING":
            raise self.refusals.at(bound, "FOLLOWING", "PRECEDING or CURRENT ROW: rows to come are not known")
        opened = bool(bound.args.get("open"))
        value = bound.this
        if value is None:
            return None, opened
        if bound.args.get("unit"):
            unit = str(bound.args["unit"]).removesuffix("S")
            if unit not in _WORDS or rows:
                raise self.refusals.at(bound, f"INTERVAL ... {bound.args['unit']}", "SECOND, MINUTE, HOUR or DAY, in a RANGE frame")
            number = value.name if isinstance(value, exp.Literal) else ""
            if not number.isdigit():
                raise self.refusals.at(bound, f"INTERVAL '{number}'", "a whole number")
            return int(number) * _WORDS[unit], opened
        if isinstance(value, UnitLiteral):
            unit, number = value.args["unit"], value.this
            if rows:
                raise self.refusals.at(bound, f"{number}{unit.lower()} in a ROWS frame", "a number of rows", "ROWS_RANGE takes a time.")
            if unit not in UNITS or not number.isdigit():
                raise self.refusals.at(bound, f"{number}{unit.lower()}", "a number with s, m, h or d")
            return int(number) * UNITS[unit], opened
        return self._whole(value, "the bound of a frame"), opened

    def _whole(self, node: exp.Expr, what: str) -> int:
        minus = 1
        while isinstance(node, (exp.Neg, exp.Paren)):
            minus = -minus if isinstance(node, exp.Neg) else minus
            node = node.this
        if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
            raise self.refusals.at(node, f"{what} that is no whole number", "a whole number")
        return minus * int(node.name)
