"""The model card of a version: what it was trained on, how it did on rows it had not seen, and what is known to limit it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from streams.drift.reference import FILE as REFERENCE
from streams.predictions.model import CARD, Card, digest
from streams.predictions.store import folder_of
from streams.project import Project


def card(project: Project, version: int) -> str:
    """Markdown. ModelError when the version cannot be had."""
    folder = folder_of(project, version)
    model = Card.read((folder / CARD).read_text(encoding="utf-8"))
    named = _read(folder / "manifest.json")
    reference = _read(folder / REFERENCE)
    return text(project, version, digest(folder), model, named, reference)


def _read(path: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def text(project: Project, version: int, sha256: str, model: Card, named: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    zone = ZoneInfo(project.timezone)

    def when(ms: int | None) -> str:
        return "-" if ms is None else f"{datetime.fromtimestamp(ms / 1000, zone):%Y-%m-%d %H:%M} {project.timezone}"

    performance = reference.get("performance", {})
    label = named.get("label", {})
    lines = [
        f"# {project.name}, version {version}",
        "",
        f"- **Model**: {model.kind}, {len(model.columns)} features, answers true from {model.threshold:g}",
        f"- **SHA-256**: `{sha256}`",
        f"- **Label**: `{label.get('value', '-')}`, joined by `{label.get('on', '-')}`",
        f"- **Trained on**: {reference.get('rows', 0):,} labelled rows, {when(reference.get('start'))} to {when(reference.get('end'))}",
        f"- **Labels known by**: {when(named.get('cut_off'))}",
        f"- **Feature plan**: `{named.get('plan', '-')}`, commit `{named.get('commit') or '-'}`",
        "",
        "## On rows that it had not seen",
        "",
        "Measured with a model trained on what was known before the newest stretch of the data set; the version itself was then fitted on all of it.",
        "",
        "| rows | log loss | AUC | Brier | observed rate | predicted rate |",
        "|---|---|---|---|---|---|",
        "| " + " | ".join(_number(performance.get(name)) for name in ("rows", "log_loss", "auc", "brier", "observed", "predicted")) + " |",
        "",
        "## Data set",
        "",
        *(
            f"- `{one['topic']}[{one['partition']}]` offsets {one['start']} to {one['end']}"
            for one in [*named.get("features", []), *named.get("labels", [])]
        ),
    ]
    for segment, values in reference.get("segments", {}).items():
        lines += ["", f"## By {segment}", "", "| value | rows | log loss | gap |", "|---|---|---|---|"]
        ranked = sorted(values.items(), key=lambda one: -int(one[1]["rows"]))[:20]
        lines += [f"| {word} | {_number(one['rows'])} | {_number(one['log_loss'])} | {_number(one['gap'])} |" for word, one in ranked]
    lines += ["", "## Columns", "", ", ".join(f"`{name}`" for name in model.columns), ""]
    return "\n".join(lines)


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
