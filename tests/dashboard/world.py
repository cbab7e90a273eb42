"""Small worlds for the pages: records in the formats of the topics, written into a store as the reader would.

`build(folder, "empty" | "running" | "alarm" | "failed")` makes a project's folder and its store. No broker is needed.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dashboard.store.rows import Fact
from dashboard.store.store import Store
from streams.project import Project, load_project

DAY = 86_400_000
HOUR = 3_600_000
START = 1_364_774_400_000  # 2013-04-01 00:00 UTC
SHIFT = START + 80 * DAY  # the world moves on 20 June
FEATURES = (
    "origin_wind_speed", "origin_visib", "origin_temp", "origin_delay_3h", "carrier_delay_3h", "dest_delay_3h", "tail_last_delay",
    "origin_departures_1h", "carrier_departures_1h", "dest_arrivals_1h", "origin_late_share_24h", "carrier_late_share_24h",
    "hour_of_day", "day_of_week", "distance", "carrier", "origin", "dest", "precip", "pressure",
)  # fmt: skip
MOVED = {"origin_wind_speed": 0.9, "origin_visib": 0.8, "origin_delay_3h": 0.7, "origin_temp": 0.6, "tail_last_delay": 0.35}
WORDS = ("carrier", "origin", "dest")
CARRIERS = np.array(["UA", "B6", "EV", "DL", "AA", "MQ"])

TOML = """
name = "flights"
timezone = "America/New_York"
[sources.flights]
key = "carrier"
time = "departs_at"
[sources.flights.fields]
flight_id = "STRING"
carrier = "STRING"
departs_at = "TIMESTAMP"
distance = "DOUBLE"
[sources.arrivals]
time = "arrived_at"
[sources.arrivals.fields]
flight_id = "STRING"
arrived_at = "TIMESTAMP"
arr_delay = "DOUBLE"
[model]
features = "features.sql"
labels = { source = "arrivals", on = "flight_id", value = "arr_delay > 15" }
[drift]
segments = ["carrier"]
"""
SQL = "SELECT flight_id, carrier, distance,\n       count(*) OVER carrier_1h AS carrier_departures_1h\nFROM flights\nWINDOW carrier_1h AS (PARTITION BY carrier ORDER BY departs_at ROWS_RANGE BETWEEN 1h PRECEDING AND CURRENT ROW)\n"


def project(folder: Path) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driftline.toml").write_text(TOML)
    (folder / "features.sql").write_text(SQL)
    (folder / "train.py").write_text("def train(features, labels):\n    raise NotImplementedError\n")
    return load_project(folder)


def store(made: Project) -> Store:
    return Store(made.state_dir / "store" / "dashboard.duckdb", made.name)


def facts(values: Sequence[tuple[str | None, dict[str, Any], int]], start: int = 0) -> list[Fact]:
    return [Fact(0, start + place, at, key, value) for place, (key, value, at) in enumerate(values)]


def predictions(
    rows: int,
    days: int,
    *,
    seed: int = 7,
    version_from: dict[int, int] | None = None,
    start: int = 0,
    since: int = START,
    wall: int = 1_790_000_000_000,
) -> pa.Table:
    random = np.random.default_rng(seed)
    at = since + np.sort(random.integers(0, days * DAY, rows))
    moved = (at >= SHIFT).astype(float)
    score = 1 / (1 + np.exp(-(random.normal(-1.5, 0.9, rows) + 0.5 * moved)))
    versions = np.ones(rows, int)
    for start_at, version in (version_from or {}).items():
        versions[at >= start_at] = version
    offsets = np.arange(start, start + rows)
    return pa.table(
        {
            "prediction_id": [f"flights[0]@{offset}" for offset in offsets],
            "label_key": [f"F{offset}" for offset in offsets],
            "score": score,
            "prediction": score >= 0.5,
            "model": ["flights"] * rows,
            "version": pa.array(versions, pa.int32()),
            "_time": pa.array(at, pa.int64()),
            "predicted_at": pa.array(np.full(rows, wall) + offsets, pa.int64()),
            "features_partition": pa.array(np.zeros(rows, int), pa.int32()),
            "features_offset": pa.array(offsets, pa.int64()),
            "_plan": ["0123456789ab"] * rows,
            "carrier": CARRIERS[random.integers(0, len(CARRIERS), rows)],
        }
    )


def outcomes(made: pa.Table, *, seed: int = 8, until: int | None = None) -> pa.Table:
    random = np.random.default_rng(seed)
    score, time = made["score"].to_numpy(), made["_time"].to_numpy()
    moved = (time >= SHIFT) & (made["version"].to_numpy() == 1)
    truth = random.random(len(score)) < 1 / (1 + np.exp(-(np.log(score / (1 - score)) + 0.9 * moved)))
    never = random.random(len(score)) < 0.02
    table = made.select(["prediction_id", "label_key", "score", "prediction", "model", "version", "_time", "carrier"])
    table = table.append_column("label", pa.array([None if n else bool(t) for n, t in zip(never, truth, strict=True)], pa.bool_()))
    table = table.append_column(
        "label_time", pa.array([None if n else int(t) + 5 * HOUR for n, t in zip(never, time, strict=True)], pa.int64())
    )
    table = table.append_column("state", pa.array(["never" if n else "labelled" for n in never]))
    return table if until is None else table.filter(pa.compute.less(table["_time"], until))


def _coarse(centre: float, random: np.random.Generator, words: bool) -> dict[str, Any]:
    """A sketch as the drift step records it: 20 bars over the reference's quantiles, or words."""
    if words:
        return {"missing": 0, "outside": 0, "words": [*CARRIERS.tolist(), "(rest)"], "counts": [1500, 1400, 1300, 1200, 900, 700, 0]}
    values = random.normal(centre, 1.0, 4000)
    edges = [
        -3.6,
        *(-1.645, -1.282, -1.036, -0.842, -0.674, -0.524, -0.385, -0.253, -0.126, 0.0),
        *(0.126, 0.253, 0.385, 0.524, 0.674, 0.842, 1.036, 1.282, 1.645),
        3.6,
    ]
    counts = np.histogram(values, edges)[0]
    outside, below = int((np.abs(values) > 3.6).sum()), int((values < -3.6).sum())
    return {"missing": 12, "outside": outside, "below": below, "edges": edges, "counts": counts.tolist()}


def checks(days: int, *, recovered: int | None = None) -> list[tuple[str | None, dict[str, Any], int]]:
    """A data, a quality, a prediction and a performance check every 6 hours; from SHIFT on some features move and quality falls."""
    random = np.random.default_rng(3)
    made: list[tuple[str | None, dict[str, Any], int]] = []
    alarms: set[str] = set()

    def add(kind: str, at: int, alarm: str | None, **body: Any) -> None:
        rings = None
        if alarm and kind not in alarms:
            alarms.add(kind)
            rings = {"kind": {"data": "drift", "performance": "decay"}[kind], "reason": alarm}
        identity = f"{kind}@{at}"
        made.append(
            (
                identity,
                {"check_id": identity, "kind": kind, "start": at - 7 * DAY, "end": at, "rows": 7000, "version": 1, **body, "alarm": rings},
                at,
            )
        )

    for at in range(START + 7 * DAY, START + days * DAY + 1, 6 * HOUR):
        far = 0.0 if at < SHIFT else min(1.0, (at - SHIFT) / (4 * DAY))
        bad = 0.0 if recovered and at >= recovered else far
        features: list[dict[str, Any]] = []
        for name in FEATURES:
            moves = far * MOVED.get(name, 0.0)
            psi, limit = abs(random.normal(0.05, 0.02)) + 0.5 * moves, 0.1
            moved = psi > limit
            features.append(
                {"name": name, "test": "kolmogorov_smirnov", "statistic": 0.03 + 0.3 * moves, "p_value": 0.5, "adjusted": 1e-12 if moved else 0.4,
                 "psi": psi, "limit": limit, "suspect": moved, "drifted": moved, "ignored": False, "missing": 0.002, "outside": 0.0,
                 "reference": _coarse(0.0, random, name in WORDS), "current": _coarse(1.6 * moves, random, name in WORDS)}
            )  # fmt: skip
        add(
            "data",
            at,
            f"{len(MOVED)} of {len(FEATURES)} features moved in 2 checks in a row" if far > 0.5 else None,
            features=features,
            drifted=sum(one["suspect"] for one in features),
            share=sum(one["suspect"] for one in features) / len(features),
        )
        findings = [{"name": "precip", "what": "missing", "share": 0.09, "usual": 0.01}] if far > 0.5 else []
        add("quality", at, None, findings=findings)
        add("prediction", at, None, test="kolmogorov_smirnov", statistic=0.02 + 0.1 * far, p_value=0.4, psi=0.02 + 0.2 * far, limit=0.1, suspect=far > 0.5,
            mean=0.22 + 0.06 * far, reference_mean=0.22, estimated_accuracy=0.8, reference=[100] * 20, current=[90] * 20)  # fmt: skip
        loss = 0.46 + 0.1 * bad + random.normal(0, 0.006)
        numbers = {"rows": 6800, "log_loss": loss, "auc": 0.76 - 0.03 * bad, "brier": 0.15 + 0.03 * bad, "observed": 0.24 + 0.1 * bad, "predicted": 0.23 + 0.02 * far,
                   "gap": 0.01 + 0.08 * bad}  # fmt: skip
        add("performance", at, "observed 34.0 % against 24.5 % predicted, beyond the limit of 5.8 points, in 2 checks in a row" if bad > 0.5 else None,
            performance={**numbers, "current": numbers, "limit": 0.058, "decayed": bad > 0.5,
                         "estimated": {"log_loss": 0.46 + 0.03 * far, "brier": 0.15, "predicted": 0.23, "accuracy": 0.8},
                         "reference": {"rows": 20_000, "log_loss": 0.46, "auc": 0.76, "brier": 0.15, "observed": 0.23, "log_loss_low": 0.44, "log_loss_high": 0.48}},
            segments={"carrier": {carrier: {**numbers, "rows": 1000, "log_loss": loss + 0.01 * n, "observed": numbers["observed"] + 0.02 * n, "auc": None}
                                  for n, carrier in enumerate(CARRIERS.tolist())}})  # fmt: skip
    return made


METRICS = {"log_loss": 0.47, "auc": 0.75, "brier": 0.15, "rows": 80_000, "positive": 0.22}
COMPARISON = {
    "metric": "log_loss", "rows": 12_000, "champion": {"log_loss": 0.551, "auc": 0.74}, "challenger": {"log_loss": 0.512, "auc": 0.77},
    "difference": {"value": 0.039, "low": 0.024, "high": 0.053}, "champion_version": 1, "champion_saw_rows": False,
    "segments": {"carrier": {carrier: {"rows": 2000, "value": value, "low": value - 0.02, "high": value + 0.02}
                             for carrier, value in zip(CARRIERS.tolist(), (0.05, 0.03, 0.06, 0.01, 0.02, -0.005), strict=True)}},
    "calibration": {
        "champion": [{"score": p, "observed": min(1.0, p * 1.35), "rows": 900} for p in (0.05, 0.15, 0.25, 0.35, 0.5, 0.7)],
        "challenger": [{"score": p, "observed": p * 1.03, "rows": 900} for p in (0.05, 0.15, 0.25, 0.35, 0.5, 0.7)],
    },
    "flipped": {"to_true": 410, "to_true_right": 260, "to_false": 200, "to_false_right": 110},
}  # fmt: skip


def run(run_id: str, states: tuple[str, ...], at: int, **more: Any) -> list[tuple[str | None, dict[str, Any], int]]:
    made: list[tuple[str | None, dict[str, Any], int]] = []
    body: dict[str, Any] = {
        "run_id": run_id,
        "trigger": "manual",
        "requested_by": "ada",
        "reason": "quality fell",
        "as_of": SHIFT + 10 * DAY,
        "dataset": {"rows": 80_000, "cut_off": SHIFT + 10 * DAY},
    }
    for place, state in enumerate(states):
        body = {**body, "state": state, "at": at + place * 9_000, "log_tail": ["read 80,000 rows", "fit 300 trees"] if place > 1 else []}
        if state in ("waiting", "promoted", "rejected"):
            body.update(metrics=METRICS, comparison=COMPARISON if run_id != "first" else None)
        body.update(more if place == len(states) - 1 else {k: v for k, v in more.items() if k not in ("error", "log_tail", "version")})
        made.append((run_id, body, at + place * 9_000))
    return made


WAY = ("requested", "building", "training", "evaluating", "waiting")


def fill(into: Store, kind: str, *, days: int = 100, rows: int = 20_000, now: int | None = None) -> None:
    """Write the records of one world: `running` is quiet, `alarm` has moved and waits for a person, `failed` met every failure."""
    if kind == "empty":
        return
    now = int(time.time() * 1000) if now is None else now
    days = 70 if kind == "running" else days
    end = START + days * DAY
    made = predictions(rows, days, wall=now - rows)
    into.write(tables={("predictions", 0): made, ("outcomes", 0): outcomes(made, until=end - 5 * HOUR)})
    features = [
        (f"F{n}", {"flight_id": f"F{n}", **{name: (CARRIERS[n % 6] if name in ("carrier", "origin", "dest") else math.sin(n * (i + 1))) for i, name in enumerate(FEATURES)},
                   "_partition": 0, "_offset": n, "_time": end - (2000 - n) * 60_000, "_plan": "0123456789ab"}, end)
        for n in range(2000)
    ]  # fmt: skip
    first = run(
        "first",
        (*WAY, "promoted"),
        now - 3_600_000,
        trigger="first",
        requested_by="driftline",
        reason="first champion",
        version=1,
        as_of=START,
    )
    desired = {
        "role": "desired",
        "model": "flights",
        "version": 1,
        "sha256": "ab" * 32,
        "commit": "c0ffee1",
        "effective_from": START,
        "reason": "first champion",
        "by": "driftline",
    }
    live = {"role": "live", "model": "flights", "version": 1, "sha256": "ab" * 32, "state": "Synced", "error": None}
    steps = [
        (
            step,
            {
                "step": step,
                "n": n,
                "ranges": [[topic, 0, n * 1000, n * 1000 + 1000]],
                "taken": {topic: int(1000 * (1 + 0.3 * math.sin(n / 9)))},
                "at": now - (480 - n) * 1000,
            },
            now,
        )
        for step, topic in (
            ("features", "flights.flights"),
            ("predictions", "flights.features"),
            ("labels", "flights.predictions"),
            ("drift", "flights.outcomes"),
        )
        for n in range(480)
    ]
    writes: dict[str, list[Fact]] = {
        "features": facts(features),
        "drift": facts(checks(days)),
        "runs": facts(first),
        "deployments": facts([("desired", desired, now - 3_500_000), ("live", live, now - 3_490_000)]),
        "commits": facts(steps),
    }
    if kind == "alarm":
        writes["runs"] = facts(first + run("retrain-1", WAY, now - 60_000, version=2))
    if kind == "failed":
        broken = {
            "source": "flights.flights[0]@17",
            "topic": "flights.flights",
            "partition": 0,
            "offset": 17,
            "reason": "no JSON: unexpected end of data at byte 12",
            "value": base64.b64encode(b'{"flight_id":').decode(),
            "at": now - 5000,
        }
        tail = [
            "read 80,000 rows",
            "Traceback (most recent call last):",
            '  File "train.py", line 31, in train',
            "ValueError: Input contains NaN",
        ]
        writes["runs"] = facts(
            first
            + run(
                "retrain-1",
                ("requested", "building", "training", "failed"),
                now - 60_000,
                log_tail=tail,
                error="train.py:31: ValueError: Input contains NaN",
            )
        )
        writes["dead-letters"] = facts([(None, broken, now - 5000)])
        writes["late"] = facts(
            [
                (
                    None,
                    {
                        "place": "flights.flights[0]@18",
                        "time": end,
                        "behind_ms": 7_200_000,
                        "missed": {"carrier_1h": 3_600_000},
                        "at": now - 4000,
                    },
                    now - 4000,
                )
            ]
        )
        degraded = {
            **live,
            "version": 1,
            "state": "Degraded",
            "error": "flights version 2: sha256 is 12ab…, 77fe… was deployed; version 1 goes on serving",
        }
        writes["deployments"] = facts([("desired", {**desired, "version": 2}, now - 50_000), ("live", degraded, now - 49_000)])
    into.write(
        facts=writes, ends={"flights": 480_000, "arrivals": 390_000, "features": 482_600, "predictions": 480_000, "outcomes": 479_000}
    )


def build(folder: Path, kind: str, **more: Any) -> tuple[Project, Store]:
    made = project(folder)
    opened = store(made)
    fill(opened, kind, **more)
    return made, opened
