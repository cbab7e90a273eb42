"""Where a version's files are: a folder under .driftline/models, filled from the registry when it is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from connectors.mlflow import Registry
from streams.errors import ModelError
from streams.predictions.model import Model, digest, load
from streams.project import Project


def registry(project: Project) -> Registry:
    return Registry(project.state_dir, project.registry.mlflow)


def place(project: Project, version: int) -> Path:
    return project.state_dir / "models" / project.name / str(version)


def keep(project: Project, version: int, folder: Path) -> Path:
    """Copy a trained model's folder to where it is served from, whole or not at all."""
    to = place(project, version)
    waiting = to.with_name(f".{to.name}.{os.getpid()}")
    shutil.rmtree(waiting, ignore_errors=True)
    shutil.copytree(folder, waiting)
    if to.exists():
        shutil.rmtree(to)
    waiting.rename(to)
    return to


def folder_of(project: Project, version: int, sha256: str | None = None) -> Path:
    """The version's folder; fetched again when it is missing or its digest differs from `sha256`."""
    to = place(project, version)
    try:
        if to.is_dir() and (sha256 is None or digest(to) == sha256):
            return to
    except ModelError:
        pass  # a broken copy: the registry's may be whole
    return registry(project).fetch(project.name, version, to)


def model_of(project: Project, version: int, sha256: str) -> Model:
    """ModelError when the version cannot be had, or is not what the deployment names."""
    return load(folder_of(project, version, sha256), sha256)
