"""What of a project can be refused before anything starts: the feature SQL, the label, the trainer's file."""

from __future__ import annotations

import ast

from streams.errors import ProjectError
from streams.features.step import plan_of
from streams.labels.expression import Expression
from streams.project import Project, text_of
from streams.settings import did_you_mean


def check_project(project: Project) -> None:
    """Raises FeatureError (with line and column) or ProjectError, as the step itself would later."""
    plan = plan_of(project)
    labels = project.model.labels
    if labels is None:
        return
    Expression(labels.value, project.sources[labels.source].fields, labels.source)
    columns = [*plan.schema, *(project.sources[plan.driving].fields if plan.driving else ())]
    if labels.on not in columns:
        raise ProjectError(
            f"[model] labels: on = {labels.on!r} is no column of the features and no field of {plan.driving}, so no prediction can be found by it."
            f"{did_you_mean(labels.on, columns)}"
        )
    _check_trainer(project)


def _check_trainer(project: Project) -> None:
    file, _, name = project.model.train.partition(":")
    name = name or "train"
    path = project.root / file
    try:
        tree = ast.parse(text_of(path))
    except FileNotFoundError:
        raise ProjectError(f"[model] train = {project.model.train!r}: {path}: there is no such file.") from None
    except SyntaxError as error:
        place = f"{path.name}:{error.lineno}:{error.offset}" if error.lineno is not None else path.name
        raise ProjectError(f"{place}: {error.msg}.") from None
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    imported = [alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assigned = [
        target.id for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)
    ]
    if name not in (*names, *imported, *assigned):
        raise ProjectError(f"[model] train = {project.model.train!r}: {file} has no {name!r}.{did_you_mean(name, names)}")
