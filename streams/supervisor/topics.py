"""The topics of a project, made when they are missing."""

from __future__ import annotations

from connectors.kafka.admin import TopicSettings, ensure_topics
from streams.project import COMPACTED, TOPICS, Project


def wanted_topics(project: Project) -> dict[str, TopicSettings]:
    """Every topic by its full name. Feature rows and what follows them stand in the partition of the driving event."""
    widest = max([project.partitions, *(source.partitions for source in project.sources.values())])
    in_step = {"features", "predictions", "outcomes"}
    wanted = {
        project.topic(name): TopicSettings(
            partitions=source.partitions,
            max_message_bytes=8 << 20,
            retention_ms=-1 if source.retention_ms is None else source.retention_ms,
        )
        for name, source in project.sources.items()
    }
    for name in TOPICS:
        wanted[project.topic(name)] = TopicSettings(
            partitions=widest if name in in_step else 1, compacted=name in COMPACTED, max_message_bytes=8 << 20
        )
    return wanted


def make_topics(project: Project) -> None:
    ensure_topics(project.kafka(), wanted_topics(project))
