"""How features.sql is refused: the place, what was met, what was wished, and the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlglot import exp

from streams.errors import FeatureError


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean x?`, or nothing where no known word is near."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
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
