"""The way of an event, step by step, and how each step is driven."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from json import loads

from connectors.formats import json
from connectors.formats.registry import ProjectSchemas, Registry, Schemas
from streams.errors import ProjectError
from streams.events.decode import Format
from streams.project import Project
from streams.sections import Source
from streams.sensors import Sensor
from streams.settings import did_you_mean
from streams.step import Input, Step
from streams.worker.connection import Connection, KafkaConnection
from streams.worker.engine import Settings, Worker
from streams.worker.replay import Reader
from streams.worker.snapshots import Snapshots, place
from streams.worker.write import Topics

STEPS = ("events", "features", "predictions", "labels", "drift", "retraining", "promotion")

# Steps that a worker drives, batch by batch; each module has `build(project) -> Step`. What they read says who is fed by whom.
DRIVEN = {
    "features": "streams.features.step",
    "predictions": "streams.predictions.step",
    "labels": "streams.labels.step",
    "drift": "streams.drift.step",
}
# Steps that answer single records, as Faust agents; each module has `register(app, project, sensor)`.
AGENTS = {"retraining": "streams.retraining.runner", "promotion": "streams.promotion.agent"}


def build(project: Project, step: str) -> Step:
    """A driven step of a project, without anything that drives it."""
    if step not in DRIVEN:
        raise ProjectError(f"{step!r} is no step that a worker drives.{did_you_mean(step, DRIVEN)}")
    builder: Callable[[Project], Step] = import_module(DRIVEN[step]).build
    return builder(project)


def readers(project: Project, inputs: tuple[Input, ...]) -> dict[str, Reader]:
    """How each input of a step is read, by topic: sources strictly by their schema, the project's own topics as they are."""
    return {one.topic: reader(project, rank, one) for rank, one in enumerate(inputs)}


def reader(project: Project, rank: int, one: Input) -> Reader:
    """Of a source, what its schema does not know is refused; of the project's own topics it is passed over."""
    for name, source in project.sources.items():
        if project.topic(name) == one.topic:
            return Reader(rank, one, _source_format(project, source), strict=True)
    return Reader(rank, one, json.decode, strict=False)


def _source_format(project: Project, source: Source) -> Format:
    if source.format == "avro":
        from connectors.formats import avro

        reader = loads(source.avsc.read_text(encoding="utf-8")) if source.avsc is not None else None
        schemas: Schemas
        if project.schema_registry is not None:
            schemas = Registry(project.schema_registry)
        else:
            schemas = ProjectSchemas({1: reader} if reader is not None else {})
        return partial(avro.decode, schemas=schemas, reader=reader, required=(source.time,))
    return partial(json.decode, required=(source.time,), strict=True)


def recorded_by(project: Project, step: Step) -> frozenset[str]:
    """The sources whose refused and late rows this step records: a source's first reader does, in the order of STEPS."""
    sources = {project.topic(name) for name in project.sources}
    mine = {one.topic: one.name for one in step.inputs if one.topic in sources}
    if step.name != "features" and "features" in DRIVEN and mine:
        for one in build(project, "features").inputs:
            mine.pop(one.topic, None)
    return frozenset(mine.values())


def settings(project: Project, step: Step) -> Settings:
    """How a project's step is driven: group, topics, snapshots."""
    group = f"{project.prefix or project.name}.{step.name}"
    return Settings(
        group=group,
        topics=Topics(project.topic("commits"), project.topic("dead-letters"), project.topic("late")),
        exactly_once=project.processing == "exactly_once",
        snapshot_every_s=project.state.every_ms / 1000,
        snapshots=Snapshots(place(project.state.location, project.state_dir, group), project.state.kept),
        signature=str(getattr(step, "signature", "")),
        reach=getattr(step, "reach", {}),
        sources=recorded_by(project, step),
    )


def worker(project: Project, step: str, connection: Connection | None = None, sensor: Sensor | None = None) -> Worker:
    """What drives one step of a project. Call `run()`."""
    built = build(project, step)
    connection = connection or KafkaConnection(project.kafka())
    return Worker(built, connection, readers(project, built.inputs), settings(project, built), sensor)
