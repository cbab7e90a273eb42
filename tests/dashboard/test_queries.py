"""What the pages say of records that a world seldom has: queries alone, without a broker and without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.queries import models
from dashboard.store.store import Store
from tests.dashboard import world


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = world.store(world.project(tmp_path))
    yield opened
    opened.close()


def deployed(store: Store, *wished: int, live: int) -> models.Models:
    """The versions that were wished, one after the other, and the one that serves."""
    records: list[tuple[str | None, dict[str, Any], int]] = [
        ("desired", {"role": "desired", "model": "flights", "version": version}, n) for n, version in enumerate(wished)
    ]
    records.append(("live", {"role": "live", "model": "flights", "version": live, "state": "Synced"}, len(records)))
    store.write({"deployments": world.facts(records)})
    found = models.models(store.cursor(), world.project(store.path.parents[2]))
    assert found is not None
    return found


def test_a_rollback_goes_back_from_what_is_wished(store: Store) -> None:
    assert deployed(store, 1, 2, 3, live=2).previous == 2


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (2, "Version 2 serves, in sync; version 1 is one click away."),
        (1, "Version 1 serves; version 2 is on its way; version 1 is one click away."),
    ],
)
def test_in_sync_is_said_of_the_wished_version_alone(store: Store, live: int, said: str) -> None:
    assert deployed(store, 1, 2, live=live).sentence == said
