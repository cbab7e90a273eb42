"""The sections of driftline.toml as values: what each setting means, its default. Durations are milliseconds here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from streams.types import Schema


@dataclass(frozen=True)
class Source:
    """What comes in: one Kafka topic. `fields` is its schema; `key` names the column whose text is the record's key."""

    name: str = field(metadata={"hidden": True})
    time: str  # the event-time column: TIMESTAMP, or BIGINT milliseconds
    key: str | None = None  # the column whose text is the record's key
    lateness_ms: int = 0  # patience with rows that come out of order: they are answered in event-time order after so long
    idle_after_ms: int = 1000  # wall clock: how long it holds the other sources back once it is caught up
    max_ahead_ms: int = 86_400_000  # an event time further ahead of the record's own time is refused
    partitions: int = 1
    format: str = "json"  # json, avro
    retention_ms: int | None = None  # None: the log is kept
    fields: Schema = field(default_factory=dict, metadata={"hidden": True})
    avsc: Path | None = field(default=None, metadata={"hidden": True})  # the Avro schema's file, when `schema` names one


@dataclass(frozen=True)
class Labels:
    """Where the truth comes from, and when 'no label' counts. `value` is SQL over the source's columns."""

    source: str  # the source that brings the truth
    on: str  # the column that finds the prediction a label belongs to
    value: str  # SQL over the source's columns: true, false, or NULL where the event says nothing
    maturity_ms: int = 172_800_000  # event time after the prediction at which a label that has not come is 'never'


@dataclass(frozen=True)
class Model:
    features: Path = Path("features.sql")
    train: str = "train.py:train"  # FILE:FUNCTION(features: DataFrame, labels: Series) -> a fitted model
    labels: Labels | None = None  # see below; without labels nothing is trained
    threshold: float = 0.5  # a score at or above it predicts true
    functions: Path | None = None  # user-defined functions of the feature SQL; functions.py when that file is there
    history_ms: int = 3_600_000  # how far behind its key's newest row a late row may come and still find every row of its windows


@dataclass(frozen=True)
class Drift:
    """Checks in event time. `check_every` is a duration, or a number of predictions (then `check_every_rows` is set)."""

    check_every_ms: int | None = 21_600_000
    check_every_rows: int | None = field(default=None, metadata={"hidden": True})
    window_ms: int = 604_800_000  # of event time that one check looks at
    segments: tuple[str, ...] = ()  # columns of the features by which quality is split
    ignore: tuple[str, ...] = ()  # features that are shown and never raise an alarm
    min_rows: int = 500  # a window with fewer rows is not judged
    alpha: float = 0.05  # false discovery rate over the features of one check
    share: float = 0.2  # share of drifted features that makes a check drifted
    threshold: float | None = None  # |observed - predicted rate| that is decay; None: calibrated on the reference's own weeks
    consecutive: int = 2  # checks in a row that make an alarm
    cooldown_ms: int = 1_209_600_000  # event time after an automatic run in which no other one starts


@dataclass(frozen=True)
class Retraining:
    triggers: tuple[str, ...] = ("manual",)  # manual, drift, decay, schedule, data, code
    first_after_ms: int | None = None  # event time since the first event at which the first champion is trained
    every_ms: int | None = None  # the schedule, in event time
    window_ms: int | None = None  # event time the data set goes back; None: to the beginning
    new_labels: int = 10_000  # the trigger `data`: so many labels since the champion's data set
    timeout_s: int = 3600  # a training that takes longer is ended


@dataclass(frozen=True)
class Promotion:
    metric: str = "log_loss"  # log_loss, brier, auc
    margin: float = 0.0  # the challenger must be better by more than this at the near end of its interval
    approve: str = "auto"  # auto, manual
    in_step: bool = False  # predictions wait for the runs of their event time, so that a replay gives the same at any speed
    takes_effect_after_ms: int = 0  # event time between an automatic run's data and the first row its model may score
    repository: str = ".driftline/deployments.git"  # of the desired state; made when it is missing
    branch: str = "main"
    gitlab: str | None = None  # the server's URL, when approval is a merge request; the token is DRIFTLINE_GITLAB_TOKEN
    gitlab_project: str | None = None


@dataclass(frozen=True)
class Registry:
    mlflow: str | None = None  # a tracking URI; None: SQLite and a folder under .driftline
    dvc_remote: str | None = None


@dataclass(frozen=True)
class Engine:
    features: str = "embedded"  # embedded, flink


@dataclass(frozen=True)
class Flink:
    address: str | None = None  # host:port of a cluster's REST end; None: a mini-cluster in the process
    parallelism: int = 1  # task slots the job takes
    buckets: int = 8  # of keys, for each window store and join; what spreads over the slots. Another number needs a job without a state
    checkpoint_every_ms: int = 10_000
    checkpoints: str | None = None  # a URL; None: a folder under .driftline


@dataclass(frozen=True)
class State:
    """Snapshots of the steps. `location` may be s3://bucket/prefix; None: a folder under .driftline."""

    kept: int = 3
    every_ms: int = 30_000  # wall clock
    location: str | None = None


@dataclass(frozen=True)
class Dashboard:
    host: str = "127.0.0.1"
    port: int = 8501  # the first one tried


@dataclass(frozen=True)
class Alerts:
    webhook: str | None = None  # a URL that is told of alarms
