"""A data set as a manifest of kilobytes: which offsets of which topics, and up to which event time a label was known.

The manifest's rows are the same whenever they are read: two builds give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.errors import RunError
from streams.labels.expression import Expression
from streams.predictions import log
from streams.types import TIME, Int64, OffsetRange, Schema, Type
from streams.worker.connection import Connection
from streams.worker.replay import Reader

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Source:
    """Where rows and labels are. `features` is the schema of the feature rows, `labels` the label source as it is read."""

    topic: str
    features: Schema
    labels: Reader
    on: str
    value: str


@dataclass(frozen=True)
class Manifest:
    """Feature rows of event time in [start, cut_off), labels of event time up to `cut_off` (ms). `plan` and `commit` say what made them."""

    features: tuple[OffsetRange, ...]
    labels: tuple[OffsetRange, ...]
    start: int | None
    cut_off: int
    plan: str
    commit: str
    on: str
    value: str

    def text(self) -> str:
        value = {
            "features": [_range(one) for one in self.features],
            "labels": [_range(one) for one in self.labels],
            "start": self.start,
            "cut_off": self.cut_off,
            "plan": self.plan,
            "commit": self.commit,
            "label": {"on": self.on, "value": self.value},
        }
        return json.dumps(value, indent=1, sort_keys=True) + "\n"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text().encode()).hexdigest()

    @staticmethod
    def read(text: str) -> Manifest:
        value = json.loads(text)
        features, labels = (tuple(OffsetRange(**one) for one in value[name]) for name in ("features", "labels"))
        label = value["label"]
        return Manifest(features, labels, value["start"], value["cut_off"], value["plan"], value["commit"], label["on"], label["value"])


def _range(one: OffsetRange) -> dict[str, Any]:
    return {"topic": one.topic, "partition": one.partition, "start": one.start, "end": one.end}


@dataclass(frozen=True)
class Dataset:
    """Labelled feature rows in order of event time (ties: partition, offset). `label_times` says when each label was known."""

    rows: pa.Table
    times: Int64
    labels: Bool
    label_times: Int64
    unlabelled: int = 0

    def __len__(self) -> int:
        return len(self.times)

    def slice(self, mask: Bool) -> Dataset:
        return Dataset(self.rows.filter(pa.array(mask)), self.times[mask], self.labels[mask], self.label_times[mask])


def manifest(connection: Connection, source: Source, start: int | None, cut_off: int, plan: str, commit: str) -> Manifest:
    """Name the data set as of `cut_off` from what is in the log: offsets end after the last record of an event time before it."""
    stamped = {"_timestamp": Type.BIGINT}
    features = [(one, log.table(connection, [one], stamped)) for one in log.whole(connection, source.topic)]
    labels = [(one, log.rows(connection, [one], source.labels)) for one in log.whole(connection, source.labels.input.topic)]
    return Manifest(
        tuple(_until(one, rows, cut_off) for one, rows in features),
        tuple(_until(one, rows, cut_off + 1) for one, rows in labels),
        start,
        cut_off,
        plan,
        commit,
        source.on,
        source.value,
    )


def _until(whole: OffsetRange, rows: pa.Table, end: int) -> OffsetRange:
    offsets = rows.column("_offset").to_numpy()[rows.column(TIME).to_numpy() < end]
    return OffsetRange(whole.topic, whole.partition, whole.start, int(offsets.max()) + 1 if len(offsets) else whole.start)


def build(connection: Connection, source: Source, named: Manifest) -> Dataset:
    """The rows a manifest names. RunError when no labelled row is among them, or all are of another plan."""
    schema = {**source.features, "_plan": Type.STRING}
    rows = log.table(connection, named.features, schema)
    times = rows.column(TIME).to_numpy()
    wanted = times < named.cut_off
    if named.start is not None:
        wanted &= times >= named.start
    if "_plan" in rows.column_names and named.plan:
        of_plan = wanted & pc.fill_null(pc.equal(rows.column("_plan"), named.plan), False).to_numpy().astype(bool)
        if wanted.any() and not of_plan.any():
            raise RunError(
                f"All {int(wanted.sum()):,} feature rows before the cut-off were made by an earlier features.sql, none by this one. "
                "Retrain when rows of the new one have come and their labels are known."
            )
        wanted = of_plan
    rows, times = rows.filter(pa.array(wanted)), times[wanted]
    known, known_at = _labels(connection, source, named)
    keys = rows.column(source.on).cast(pa.string())
    place = pc.index_in(keys, value_set=known.column("key"), skip_nulls=True)
    labelled = place.is_valid().to_numpy()
    order = np.lexsort((rows.column("_offset").to_numpy(), rows.column("_partition").to_numpy(), times))
    order = order[labelled[order]]
    if not len(order):
        raise RunError(
            f"Of {len(times):,} feature rows before the cut-off none has a label. "
            f"Labels come from {source.labels.input.topic} by {source.on}: is anything produced there?"
        )
    places = pc.fill_null(place, 0).to_numpy()[order]
    labels = known.column("label").to_numpy()[places].astype(bool)
    return Dataset(rows.take(pa.array(order)), times[order], labels, known_at[places], len(times) - len(order))


def _labels(connection: Connection, source: Source, named: Manifest) -> tuple[pa.Table, Int64]:
    """The first label of each key: columns key, label; and the event time at which it was known."""
    events = log.rows(connection, named.labels, source.labels)
    values = Expression(named.value, source.labels.input.schema, source.labels.input.name).values(events)
    found = pa.table({"key": events.column(named.on).cast(pa.string()), "label": values, "time": events.column(TIME)})
    said = pc.and_(pc.is_valid(found.column("label")), pc.is_valid(found.column("key")))
    found = found.filter(pc.and_(said, pc.less_equal(found.column("time"), named.cut_off)))
    order = np.lexsort((np.arange(found.num_rows), found.column("time").to_numpy()))
    found = found.take(pa.array(order))
    first = (
        pa.table({"key": found.column("key"), "place": pa.array(np.arange(found.num_rows))}).group_by("key").aggregate([("place", "min")])
    )
    places = np.sort(first.column("place_min").to_numpy())
    found = found.take(pa.array(places))
    return found.select(["key", "label"]).combine_chunks(), found.column("time").to_numpy()


def write_parquet(dataset: Dataset, path: Path) -> str:
    """The data set as one file; returns its SHA-256. The same manifest gives the same bytes."""
    table = dataset.rows.append_column("_label", pa.array(dataset.labels)).append_column("_label_time", pa.array(dataset.label_times))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.combine_chunks().replace_schema_metadata(None), path, compression="zstd", row_group_size=100_000)
    return hashlib.sha256(path.read_bytes()).hexdigest()
