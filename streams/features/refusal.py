"""How features.sql is refused: the place, what was met, what was wished, and the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlglot import exp

from streams.errors import FeatureError

_READ: dict[type, tuple[str, ...]] = {
    exp.Select: ("with_", "expressions", "from_", "joins", "where", "windows", "limit"),
    exp.With: ("expressions", "recursive"),
    exp.CTE: ("this", "alias"),
    exp.Table: ("this", "db", "alias"),
    exp.Subquery: ("this", "alias"),
    exp.Paren: ("this",),
    exp.TableAlias: ("this",),
    exp.Star: (),
    exp.Limit: ("expression",),
    exp.Between: ("this", "low", "high"),
    exp.Ordered: ("this", "desc", "nulls_first"),
}
_ALONE = "a table or a subquery, and its alias"
_STAR = ("* with exceptions", "* alone")
_UNREAD = {
    "group": ("GROUP BY", "a window: PARTITION BY ... ORDER BY ..."),
    "having": ("HAVING", "a WHERE"),
    "distinct": ("DISTINCT", "a row for each event"),
    "order": ("ORDER BY", "no order: rows come in the order of the log"),
    "offset": ("OFFSET", "no OFFSET"),
    "qualify": ("QUALIFY", "a WHERE around a subquery"),
    "laterals": ("LATERAL", "LAST JOIN"),
    "cluster": ("CLUSTER BY", "no CLUSTER BY"),
    "sort": ("SORT BY", "no SORT BY"),
    "into": ("INTO", "a query alone"),
    "joins": ("a nested join", "LAST JOIN one after the other"),
    "columns": ("a list of column names behind an alias", "AS name behind each column of the SELECT"),
    "limit": ("LIMIT behind a query in parentheses", "LIMIT inside of them"),
    "expressions": ("LIMIT ... BY", "LIMIT and a whole number"),
    "limit_options": ("LIMIT with an option", "LIMIT and a whole number"),
    "symmetric": ("SYMMETRIC", "BETWEEN low AND high"),
    "with_fill": ("WITH FILL", "a column"),
    "sample": ("TABLESAMPLE", _ALONE),
    "pivots": ("PIVOT", _ALONE),
    "ordinality": ("WITH ORDINALITY", _ALONE),
    "version": ("a version of a table", _ALONE),
    "hints": ("a hint", _ALONE),
    "catalog": ("a name of three parts", "database.table"),
    "locks": ("FOR UPDATE", "a query alone"),
    "kind": ("SELECT AS", "SELECT and columns"),
    "except_": _STAR,
    "replace": _STAR,
    "rename": _STAR,
    "ilike": _STAR,
}

ELSEWHERE = {  # functions of other dialects: ours, or a word of the syntax
    "coalesce": "if_null",
    "nullif": "CASE",
    "if": "CASE",
    "iff": "CASE",
    "iif": "CASE",
    "decode": "CASE",
    "try_cast": "CAST",
    "length": "char_length",
    "len": "char_length",
    "strlen": "char_length",
    "to_char": "date_format",
    "strftime": "date_format",
    "to_date": "date",
    "to_timestamp": "timestamp",
    "date_diff": "datediff",
    "cardinality": "size",
    "array_length": "size",
    "array_size": "size",
    "lead": "lag",
    "first": "first_value",
    "last": "last_value",
    "mean": "avg",
    "count_if": "count_where",
    "countif": "count_where",
    "sum_if": "sum_where",
    "sumif": "sum_where",
    "approx_count_distinct": "distinct_count",
    "count_distinct": "distinct_count",
    "string_agg": "join",
    "group_concat": "join",
    "listagg": "join",
}


@dataclass(frozen=True)
class Refusals:
    """Makes the errors of one file; `path` is how its user knows it."""

    path: str

    def at(self, node: exp.Expr | None, met: str, wished: str, hint: str = "") -> FeatureError:
        return self.place(*_position(node), met, wished, hint)

    def place(self, line: int | None, column: int | None, met: str, wished: str, hint: str = "") -> FeatureError:
        where = f"{self.path}:{line}:{column}" if line else self.path
        text = f"{where}: met {met}, wished {wished}."
        return FeatureError(f"{text} {hint}" if hint else text)

    def unread(self, node: exp.Expr) -> None:
        """Refuse what a node and its alias say beyond the parts that are read: nothing is left out in silence."""
        for key, part in node.args.items():
            if part and key not in _READ[type(node)]:
                first = part[0] if isinstance(part, list) else part
                met, wished = _UNREAD.get(key, (key.strip("_").upper(), "a query without it"))
                raise self.at(first if isinstance(first, exp.Expr) else node, met, wished)
        if isinstance(node.args.get("alias"), exp.TableAlias):
            self.unread(node.args["alias"])

    def ordered(self, item: exp.Expr) -> None:
        """Refuse an item of an ORDER BY that wants another place for NULL."""
        self.unread(item)
        if bool(item.args.get("nulls_first")) == bool(item.args.get("desc")):
            raise self.at(item, f"NULLS {'FIRST' if item.args.get('desc') else 'LAST'}", "the column alone: NULL is the least value")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean x?`, or nothing where no known word is near: what other dialects call it goes before the spelling."""
    names = {name.lower(): name for name in known}
    elsewhere = ELSEWHERE.get(word.lower(), "")
    if elsewhere in names or elsewhere.isupper():
        return f"Did you mean {elsewhere}?"
    near = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.7)
    return f"Did you mean {names[near[0]]}?" if near else ""


def _position(node: exp.Expr | None) -> tuple[int | None, int | None]:
    """The first place known in this node, or else above it."""
    while node is not None:
        for inner in node.walk(bfs=False):
            if inner.meta.get("line"):
                length = inner.meta.get("end", 0) - inner.meta.get("start", 0)
                return inner.meta["line"], max(1, inner.meta.get("col", 1) - length)
        node = node.parent
    return None, None
