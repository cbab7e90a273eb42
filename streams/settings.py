"""Text to settings: durations, did-you-mean, and a table of a TOML file read into a frozen dataclass.

A dataclass is its own schema: the field `window_ms: int` is the key `window`, a duration as text; `timeout_s: int` the key
`timeout`; every other field is a key of its own name. A key that no field claims is refused, with the nearest one named.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from streams.errors import ProjectError

T = TypeVar("T")

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def duration_ms(text: object, where: str = "duration") -> int:
    """Milliseconds of a duration as text.

    >>> duration_ms("6h"), duration_ms("1d12h"), duration_ms("0s"), duration_ms("250ms")
    (21600000, 129600000, 0, 250)
    """
    if isinstance(text, str):
        squeezed = text.replace(" ", "").lower()
        parts = _PART.findall(squeezed)
        if parts and "".join(number + unit for number, unit in parts) == squeezed:
            return round(sum(float(number) * _UNITS[unit] for number, unit in parts))
    raise ProjectError(f'{where}: {text!r} is no duration; write a number and a unit (ms, s, m, h, d, w), such as "6h" or "1d12h".')


def duration_text(ms: int) -> str:
    """The shortest text of a duration.

    >>> duration_text(129600000), duration_text(0), duration_text(250)
    ('1d12h', '0s', '250ms')
    """
    if ms == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        number, ms = divmod(ms, _UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


def did_you_mean(met: str, known: Iterable[str]) -> str:
    """The end of an error message: ` Did you mean 'window'?`, or the list of what there is.

    >>> did_you_mean("windw", ["window", "lateness"])
    " Did you mean 'window'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(met.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if near:
        return f" Did you mean {next(name for name in names if name.lower() == near[0])!r}?"
    return f" There is: {', '.join(names)}." if names else ""


def keys_of(kind: type) -> dict[str, dataclasses.Field[Any]]:
    """The TOML keys a dataclass reads, in its order; a field with the metadata `hidden` is no key."""
    return {_key(field.name): field for field in dataclasses.fields(kind) if not field.metadata.get("hidden")}


def read_table(kind: type[T], table: object, where: str, **given: object) -> T:
    """A frozen dataclass from a TOML table; `given` sets fields that are no keys of the table.

    Raises ProjectError on an unknown key, a missing one, or a value of another type; `where` begins the message.
    """
    if not isinstance(table, Mapping):
        raise ProjectError(f"{where}: a table of settings was expected, {table!r} was met.")
    keys = keys_of(kind)
    hints = typing.get_type_hints(kind)
    values: dict[str, object] = dict(given)
    for key, value in table.items():
        if key not in keys or keys[key].name in given:
            raise ProjectError(f"{where}: unknown key {key!r}.{did_you_mean(str(key), keys)}")
        field = keys[key]
        values[field.name] = _value(value, hints[field.name], field.name, f"{where}.{key}")
    for key, field in keys.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            raise ProjectError(f"{where}: {key!r} is missing.")
    return kind(**values)


def one_of(value: str, known: Iterable[str], where: str) -> str:
    """The value, when it is one of those known; else a ProjectError that names the nearest."""
    names = tuple(known)
    if value not in names:
        raise ProjectError(f"{where}: {value!r} is not known.{did_you_mean(value, names)}")
    return value


def _key(name: str) -> str:
    return re.sub(r"_(ms|s)$", "", name)


def _value(value: object, hint: Any, name: str, where: str) -> object:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _value(value, inner[0], name, where)
    if name.endswith("_ms"):
        return duration_ms(value, where)
    if name.endswith("_s"):
        return duration_ms(value, where) // 1000
    if origin is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ProjectError(f"{where}: a list of texts was expected, {value!r} was met.")
        return tuple(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is object or (isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool))):
        return value
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path as text", dict: "a table"}
    raise ProjectError(f"{where}: {names.get(hint, str(hint))} was expected, {value!r} was met.")
