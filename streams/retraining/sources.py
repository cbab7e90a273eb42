"""What a data set is made from, read once from the project."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from streams.errors import ProjectError
from streams.features.step import PLAN_DIGITS, plan_of
from streams.pipeline import reader
from streams.project import Project
from streams.retraining.dataset import Source
from streams.types import Schema


@dataclass(frozen=True)
class Sources:
    """`schema` are the columns a trainer is given: all of the feature SQL but the label's key."""

    dataset: Source
    schema: Schema
    plan: str
    project: Project

    def commit(self) -> str:
        """The commit of the project's folder, with `+` where files differ from it; empty outside git."""
        try:
            found = self._git("rev-parse", "--short=12", "HEAD")
            return found + ("+" if found and self._git("status", "--porcelain", "--", ".") else "")
        except (OSError, subprocess.TimeoutExpired):
            return ""

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.project.root, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""


def sources_of(project: Project) -> Sources:
    labels = project.model.labels
    if labels is None:
        raise ProjectError("driftline.toml names no [model] labels; without labels nothing can be trained.")
    plan = plan_of(project)
    if labels.on not in plan.schema:
        raise ProjectError(f"[model] labels are joined on {labels.on!r}, which features.sql does not give. Add it to the SELECT.")
    source = Source(project.topic("features"), plan.schema, reader(project, 0, project.input(labels.source)), labels.on, labels.value)
    schema = {name: kind for name, kind in plan.schema.items() if name != labels.on}
    return Sources(source, schema, plan.hash[:PLAN_DIGITS], project)
