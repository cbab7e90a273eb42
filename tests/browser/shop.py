"""Visits of a small shop whose customers change their minds: three weeks one way, then the other, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

DAY = 86_400_000
START = 1_767_222_000_000  # 1 January 2026, midnight in Berlin
PER_DAY = 250


def write(folder: Path, days: range, turned: bool, seed: int, mean: float = 50) -> None:
    """visits.jsonl and purchases.jsonl of these days; one visit in ten never has a label."""
    random = np.random.default_rng(seed)
    count = len(days) * PER_DAY
    at = np.sort(random.integers(days.start * DAY, days.stop * DAY, count)) + START
    amount = random.normal(mean, 20, count)
    lean = (amount - 50) / 10
    chance = 1 / (1 + np.exp(-(1.5 - lean if turned else lean)))
    bought, silent = random.random(count) < chance, random.random(count) < 0.1
    country = random.choice(["de", "fr", "us"], count)
    visits, purchases = [], []
    for n in range(count):
        name = f"v{days.start}-{n}"
        visits.append(
            {"visit_id": name, "at": int(at[n]), "amount": float(amount[n]), "basket": float(random.poisson(3)), "country": str(country[n])}
        )
        if not silent[n]:
            later = int(at[n]) + int(random.integers(60_000, DAY // 2))
            purchases.append({"visit_id": name, "bought_at": later, "paid": 20.0 if bought[n] else 0.0})
    purchases.sort(key=lambda one: int(str(one["bought_at"])))
    folder.mkdir(parents=True, exist_ok=True)
    _lines(folder / "visits.jsonl", visits)
    _lines(folder / "purchases.jsonl", purchases)


def _lines(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
