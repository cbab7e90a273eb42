"""What a SELECT can see: relations with named columns, and how a name finds its column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from streams.features.kinds import Kind
from streams.features.refusal import Refusals, did_you_mean
from streams.features.scalar import Scalar
from streams.features.scalar import column as column_scalar


@dataclass(frozen=True)
class Field:
    """A column of a relation: its name for the user, its unique name in the frame, its type."""

    name: str
    ref: str
    kind: Kind
    origin: str | None = None  # the table it comes from unchanged, where a subquery without a name hands it on


@dataclass(frozen=True)
class Relation:
    """One table, alias or subquery of a FROM clause. `database` is None where the name was given without one."""

    name: str | None
    fields: tuple[Field, ...]
    database: str | None = None


@dataclass(frozen=True)
class Scope:
    """The relations a name is looked up in."""

    relations: tuple[Relation, ...]
    refusals: Refusals

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(field for relation in self.relations for field in relation.fields)

    def named(self, node: exp.Expr, table: str, database: str | None = None) -> Relation:
        """The relation of a qualifier as in `t0.` or `db.t0.`."""
        found = [r for r in self.relations if r.name is not None and r.name.lower() == table.lower()]
        if database is not None:
            exact = [r for r in found if r.database is not None and r.database.lower() == database.lower()]
            found = exact or [r for r in found if r.database is None]
        if len(found) == 1:
            return found[0]
        handed = tuple(f for r in self.relations if r.name is None for f in r.fields if f.origin and f.origin.lower() == table.lower())
        if handed and not found:
            return Relation(table, handed)
        if found:
            raise self.refusals.at(node, f"the table {table}, which stands here twice", "one meaning", "Give each an alias with AS.")
        names = [r.name for r in self.relations if r.name]
        raise self.refusals.at(node, f"the table {table}", _one_of(names) or "a table", did_you_mean(table, names))

    def resolve(self, node: exp.Column) -> Scalar:
        """The column of a reference. Refuses what is unknown and what could be two."""
        table, database = node.table or None, node.text("db") or None
        relations: Sequence[Relation] = (self.named(node, table, database),) if table else self.relations
        name = node.name.lower()
        found = [field for relation in relations for field in relation.fields if field.name.lower() == name]
        shown = f"{table}.{node.name}" if table else node.name
        if not found:
            names = [field.name for relation in relations for field in relation.fields]
            raise self.refusals.at(
                node, f"the column {shown}", _one_of(names) or "no column: there is no table", did_you_mean(node.name, names)
            )
        if len(found) > 1 and len({field.ref for field in found}) > 1:
            raise self.refusals.at(
                node,
                f"the column {shown}, which {len(found)} columns are called",
                "one meaning",
                "Say which, as in t.column, or give an alias.",
            )
        return column_scalar(found[0].ref, found[0].kind)


def _one_of(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"one of {shown}" if len(names) > 1 else shown
