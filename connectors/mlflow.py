"""The model registry: MLflow, embedded (SQLite and a folder) or any MLflow server. The one file that knows it.

Models are stored as the files of their folder and are never loaded by MLflow: nothing is unpickled, no list of trusted types is read
from an artifact.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

from streams.errors import ModelError

ARTIFACT = "model"
RUN = "driftline.run_id"


@dataclass(frozen=True)
class Version:
    """One registered version. `created` is wall-clock milliseconds."""

    model: str
    version: int
    run_id: str
    created: int
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


class Registry:
    """`uri` None: `folder`/mlflow.db with artifacts beside it. ModelError from each method when the registry refuses or cannot be reached."""

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self._folder, self._uri = folder, uri

    @cached_property
    def _client(self) -> Any:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        self._folder.mkdir(parents=True, exist_ok=True)
        uri = self._uri or f"sqlite:///{self._folder / 'mlflow.db'}"
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found is not None:
            return str(found.experiment_id)
        location = None if self._uri else (self._folder / "mlflow-artifacts").as_uri()
        return str(self._client.create_experiment(model, artifact_location=location))

    def register(self, model: str, folder: Path, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> int:
        """Store a model's folder as a new version and give its number. A run that registered the same before, by its tags, gets the number it had."""
        wished = {RUN: run_id, **tags}
        for before in self.versions(model):
            if wished.items() <= before.tags.items():
                return before.version
        with self._refusals(f"a version of {model} cannot be registered"):
            client = self._client
            if self._registered(model) is None:
                client.create_registered_model(model)
            run = client.create_run(self._experiment(model), run_name=run_id, tags=wished)
            for name, value in metrics.items():
                client.log_metric(run.info.run_id, name, value)
            client.log_artifacts(run.info.run_id, str(folder), ARTIFACT)
            client.set_terminated(run.info.run_id)
            source = f"{run.info.artifact_uri}/{ARTIFACT}"
            made = client.create_model_version(model, source, run_id=run.info.run_id, tags=wished)
            return int(made.version)

    def _registered(self, model: str) -> Any:
        """The registered model; None where there is none of that name."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            raise ModelError(f"{what}: the registry says {error}") from error

    def versions(self, model: str) -> list[Version]:
        """All versions, oldest first."""
        versions = []
        with self._refusals(f"the versions of {model} cannot be listed"):
            registered = self._registered(model)
            if registered is None:
                return []
            for one in self._client.search_model_versions(f"name = '{model}'"):
                metrics = self._client.get_run(one.run_id).data.metrics if one.run_id else {}
                mine = tuple(sorted(alias for alias, version in registered.aliases.items() if str(version) == str(one.version)))
                tags = dict(one.tags)
                versions.append(Version(model, int(one.version), tags.get(RUN, ""), int(one.creation_timestamp), tags, dict(metrics), mine))
        return sorted(versions, key=lambda one: one.version)

    def alias(self, model: str, name: str, version: int | None) -> None:
        """Point an alias (champion, challenger) at a version; None takes it away."""
        with self._refusals(f"the alias {name} of {model} cannot be moved"):
            if version is None:
                self._client.delete_registered_model_alias(model, name)
            else:
                self._client.set_registered_model_alias(model, name, str(version))

    def fetch(self, model: str, version: int, to: Path) -> Path:
        """Bring a version's files to a folder, whole or not at all."""
        waiting = to.with_name(f".{to.name}.{os.getpid()}")
        shutil.rmtree(waiting, ignore_errors=True)
        waiting.mkdir(parents=True)
        try:
            with self._refusals(f"version {version} of {model} cannot be fetched"):
                one = self._client.get_model_version(model, str(version))
                found = self._client.download_artifacts(one.run_id, ARTIFACT, str(waiting))
                if to.exists():
                    shutil.rmtree(to)
                Path(found).rename(to)
        finally:
            shutil.rmtree(waiting, ignore_errors=True)
        return to
