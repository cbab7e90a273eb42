"""The proof of exactly-once, as a user runs it, with few kills."""

from __future__ import annotations

import pytest

from streams.worker.prove import prove_exactly_once

pytestmark = [pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(1800)]


def test_killed_workers_and_brokers_lose_double_and_change_nothing() -> None:
    proof = prove_exactly_once(kills=2, seed=3)
    assert proof.rows > 0
    assert proof.holds, proof.to_json()
