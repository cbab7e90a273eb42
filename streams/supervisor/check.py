"""What of a project can be refused before anything starts: the feature SQL, the label, the trainer's file, a champion that the features no longer fit."""

from __future__ import annotations

import ast

from streams.errors import ModelError, ProjectError, PromotionError
from streams.features.step import plan_of
from streams.labels.expression import Expression
from streams.predictions.model import CARD, Card
from streams.predictions.step import fits
from streams.predictions.store import place
from streams.project import Project, text_of
from streams.promotion.desired import Deployments
from streams.settings import did_you_mean
from streams.types import Schema


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
    _check_champion(project, plan.schema)


def _check_champion(project: Project, features: Schema) -> None:
    """The version that is to serve can be given what it takes; not looked at where its files or the wish are not here."""
    try:
        wish = Deployments.of(project).now()
    except PromotionError:
        return  # the agent says why, for as long as it cannot be read
    card = place(project, wish.version) / CARD if wish is not None else None
    if wish is None or card is None or not card.exists():
        return
    try:
        fits(Card.read(card.read_text(encoding="utf-8")), features)
    except ModelError as error:
        raise ProjectError(f"Version {wish.version}, which serves, could not go on. {error.message}") from None


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
