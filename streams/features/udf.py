"""Python functions of a project in its feature SQL.

    from streams.features.udf import aggregate, scalar

    @scalar(takes=["DOUBLE", "DOUBLE"], gives="DOUBLE")
    def ratio(a: pa.Array, b: pa.Array) -> pa.Array: ...          # vectorised: Arrow arrays of one length in, one out

    @aggregate(takes=["DOUBLE"], gives="DOUBLE")
    class spread:                                                   # one state a frame
        def initial(self): ...
        def update(self, state, value): ...
        def revert(self, state, value): ...                         # optional: takes out what leaves the frame
        def result(self, state): ...

`functions.py` of a project, or the file its `[model] functions` names, is imported, and what it decorates can be called.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streams.errors import FeatureError
from streams.features.kernel.udaf import Udaf
from streams.types import Type


@dataclass(frozen=True)
class ScalarUdf:
    name: str
    takes: tuple[Type, ...]
    gives: Type
    call: Callable[..., Any]


@dataclass(frozen=True)
class AggregateUdf:
    name: str
    takes: tuple[Type, ...]
    gives: Type
    udaf: Udaf


@dataclass(frozen=True)
class Udfs:
    """The functions of one project by name."""

    scalars: Mapping[str, ScalarUdf] = field(default_factory=dict)
    aggregates: Mapping[str, AggregateUdf] = field(default_factory=dict)
    digest: str = ""  # sha256 of the files they came from: part of the meaning of a plan that calls them


def of_project(root: Path, functions: Path | None) -> Udfs:
    """The functions of a project: the file its `[model] functions` names, else functions.py where that is there, else none."""
    if functions is not None:
        return load(root, [str(functions)])
    return load(root, ["functions.py"]) if (root / "functions.py").exists() else Udfs()


def scalar(*, takes: Sequence[str], gives: str, name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a vectorised function: Arrow arrays in (NULLs included), an Arrow array of the same length out."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        named = _name(name or function.__name__)
        function.__driftline__ = ScalarUdf(named, _types(takes), _types([gives])[0], function)  # type: ignore[attr-defined]
        return function

    return register


def aggregate(*, takes: Sequence[str], gives: str, name: str | None = None) -> Callable[[type], type]:
    """Register an aggregate: a class with initial, update, result and, where it can, revert and merge."""

    def register(cls: type) -> type:
        made = cls()
        for needed in ("initial", "update", "result"):
            if not callable(getattr(made, needed, None)):
                raise FeatureError(f"the aggregate {cls.__name__} has no {needed}(); it needs initial(), update() and result()")
        udaf = Udaf(made.initial, made.update, made.result, getattr(made, "revert", None), getattr(made, "merge", None))
        cls.__driftline__ = AggregateUdf(_name(name or cls.__name__), _types(takes), _types([gives])[0], udaf)  # type: ignore[attr-defined]
        return cls

    return register


def collect(modules: Iterable[object]) -> Udfs:
    """What the decorators marked in these modules."""
    scalars: dict[str, ScalarUdf] = {}
    aggregates: dict[str, AggregateUdf] = {}
    for module in modules:
        for value in vars(module).values():
            found = vars(value).get("__driftline__") if hasattr(value, "__dict__") else None
            if isinstance(found, ScalarUdf):
                scalars[found.name] = found
            elif isinstance(found, AggregateUdf):
                aggregates[found.name] = found
    return Udfs(scalars, aggregates)


def load(root: Path, files: Sequence[str]) -> Udfs:
    """Import the project's modules (paths relative to `root`) and collect their functions."""
    modules, digest = [], hashlib.sha256()
    for file in files:
        path = root / file
        path = path if path.suffix == ".py" else path.with_suffix(".py")
        if not path.exists():
            raise FeatureError(f"udfs: met {file}, wished a Python file in {root}")
        name = f"driftline_udfs_{re.sub(r'[^A-Za-z0-9]', '_', str(file))}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise FeatureError(f"udfs: {path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        digest.update(path.read_bytes())
        modules.append(module)
    return replace(collect(modules), digest=digest.hexdigest())


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise FeatureError(f"the function name {name!r} must be letters, digits and _")
    return name.lower()


def _types(names: Sequence[str]) -> tuple[Type, ...]:
    try:
        return tuple(Type(name.upper()) for name in names)
    except ValueError as error:
        raise FeatureError(f"met {error}, wished one of {', '.join(Type)}") from None
