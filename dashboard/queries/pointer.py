"""Where a value stands in a JSON record."""

from __future__ import annotations


def pointer(*names: str) -> str:
    """A JSON pointer (RFC 6901): the names on the way may hold any character."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
