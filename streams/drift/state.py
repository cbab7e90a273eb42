"""What the drift step remembers: counts per stretch of event time, the reference, streaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from streams.drift.alarm import Rule, Streak, judge
from streams.drift.check import SEGMENT_VALUES, Limits, Window, data_check, performance_check, prediction_check, quality_check
from streams.drift.mutes import ROLE
from streams.drift.performance import BLOCKS, SCORES, SUMS, UNIT, Measured, estimated_accuracy, score_bins
from streams.drift.reference import Reference
from streams.drift.triggers import Triggers, wanted
from streams.types import TIME, Int64

DAY = 86_400_000


class State:
    """`every` and `window` in event milliseconds."""

    def __init__(self, every: int, window: int, threshold: float, segments: tuple[str, ...]) -> None:
        self.every, self.window, self.threshold, self.segments = every, window, threshold, segments
        self.block = DAY if window >= BLOCKS * DAY else every  # rows that are alike, as far as an interval knows
        self.clock: int | None = None
        self.first: int | None = None
        self.first_due: int | None = None
        self.checked: int | None = None
        self.version: int | None = None
        self.reference: Reference | None = None
        self.parts: dict[int, Window] = {}
        self.streaks: dict[str, Streak] = {}
        self.last_run: int | None = None
        self.labels = 0
        self.predicted = 0
        self.mutes: dict[str, int] = {}  # feature: event time until which it raises no alarm

    def serve(self, version: int, reference: Reference | None) -> None:
        """Another version scores from here: features and scores are counted anew, in the bins of its reference."""
        self.version, self.reference = version, reference
        for part in self.parts.values():
            part.features, part.feature_rows = self._no_features(), 0
            part.scores, part.estimated = np.zeros(SCORES, np.int64), 0
            part.current = Measured()
        self.streaks = {kind: Streak(0, streak.alarmed) for kind, streak in self.streaks.items()}

    def _no_features(self) -> Int64:
        features = self.reference.features if self.reference is not None else ()
        return np.zeros(sum(one.bins.slots for one in features), np.int64)

    def _part(self, bucket: int) -> Window:
        if bucket not in self.parts:
            self.parts[bucket] = Window(self._no_features())
        return self.parts[bucket]

    def add(self, name: str, rows: pa.Table) -> None:
        """Rows of one input, none of them past the next boundary."""
        if name == "deployments":
            for text in rows.column("_value").to_pylist():
                value = json.loads(text)
                if value.get("role") == ROLE:
                    self.mutes[value["feature"]] = value["until"]
            return
        times = rows.column(TIME).cast(pa.int64()).to_numpy()
        buckets, group = np.unique(times // self.every, return_inverse=True)
        if name == "features":
            self._features(rows, buckets, group)
        elif name == "predictions":
            self._predictions(rows, buckets, group)
        else:
            self._outcomes(rows, buckets, group)

    def _features(self, rows: pa.Table, buckets: Int64, group: Int64) -> None:
        if self.reference is None:
            return
        parts = [one.bins.counts(rows.column(one.bins.name), group, len(buckets)) for one in self.reference.features]
        counts = np.concatenate(parts, axis=1) if parts else np.zeros((len(buckets), 0), np.int64)
        sizes = np.bincount(group, minlength=len(buckets))
        for bucket, row, size in zip(buckets.tolist(), counts, sizes.tolist(), strict=True):
            part = self._part(bucket)
            part.features = part.features + row
            part.feature_rows += size

    def _predictions(self, rows: pa.Table, buckets: Int64, group: Int64) -> None:
        scores = rows.column("score").to_numpy()
        codes = score_bins(scores)
        counts = np.bincount(group * SCORES + codes, minlength=len(buckets) * SCORES).reshape(len(buckets), SCORES)
        accuracy = np.rint(estimated_accuracy(scores, self.threshold) * UNIT).astype(np.int64)
        for place, bucket in enumerate(buckets.tolist()):
            part = self._part(bucket)
            part.scores = part.scores + counts[place]
            part.estimated += int(accuracy[group == place].sum())

    def _outcomes(self, rows: pa.Table, buckets: Int64, group: Int64) -> None:
        label = rows.column("label")
        known = label.is_valid().to_numpy()
        truth = label.fill_null(False).to_numpy().astype(bool)
        scores = rows.column("score").to_numpy()
        mine = known & (rows.column("version").to_numpy() == self.version)
        self.labels += int(known.sum())
        words = {name: rows.column(name).cast(pa.string()).to_pylist() for name in self.segments}
        for place, bucket in enumerate(buckets.tolist()):
            here = group == place
            part = self._part(bucket)
            part.served.add(scores[here & known], truth[here & known])
            part.current.add(scores[here & mine], truth[here & mine])
            for name, values in words.items():
                self._segment(part, name, values, here & known, scores, truth)

    def _segment(self, part: Window, name: str, values: list[str | None], mask: Any, scores: Any, truth: Any) -> None:
        """Of one stretch the values that come first are told apart."""
        places: dict[str, list[int]] = {}
        for row in np.flatnonzero(mask).tolist():
            places.setdefault(values[row] or "(none)", []).append(row)
        room = SEGMENT_VALUES - sum(known == name for known, _ in part.segments)
        for word, rows in places.items():
            if (name, word) not in part.segments:
                if room <= 0:
                    continue
                room -= 1
            found = Measured.of(scores[rows], truth[rows])
            part.segments[name, word] = part.segments.get((name, word), np.zeros(SUMS, np.int64)) + found.sums

    def check(self, end: int, limits: Limits, rule: Rule, triggers: Triggers) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """The records of the window that ends at `end`, the last one marked, and the run to ask for."""
        if self.last_run is None:
            self.last_run = end
        start = end - self.window
        limits = replace(limits, ignore=limits.ignore | {name for name, until in self.mutes.items() if end < until})
        window = Window(self._no_features())
        days: dict[int, Window] = {}
        for bucket in sorted(self.parts):
            if (bucket + 1) * self.every <= start:
                del self.parts[bucket]
            elif bucket * self.every < end:
                window.plus(self.parts[bucket])
                days.setdefault(bucket * self.every // self.block, Window(np.zeros(0, np.int64))).plus(self.parts[bucket])
        records: list[dict[str, Any]] = []
        alarms: dict[str, str] = {}
        if self.reference is not None and window.feature_rows >= limits.min_rows:
            records.append(self._data(window, limits, rule, end, alarms))
            records.append(self._quality(window, limits, rule, end, alarms))
        if self.reference is not None and window.scores.any():
            records.append(prediction_check(window, self.reference, limits))
        performance = performance_check(window, self.reference, limits, list(days.values()))
        numbers = performance["performance"]
        if self._judge(rule, "decay", numbers["decayed"], end):
            gap = numbers["current"]["gap"]
            alarms["decay"] = (
                f"observed rate minus predicted is {gap:+.3f}, beyond {numbers['limit']:.3f}, {rule.consecutive} checks in a row"
            )
            performance["alarm"] = {"kind": "decay", "reason": alarms["decay"]}
        records.append(performance)
        run = wanted(triggers, alarms, end, self.last_run, self.labels) if self.version is not None else None
        if run is not None:
            self.last_run, self.labels = end, 0
        for record in records:
            record.update(check_id=f"{record['kind']}-{end}", start=start, end=end, version=self.version)
            record.setdefault("alarm", None)
        records[-1].update(last=True, run_id=run["run_id"] if run else None)
        return records, run

    def _data(self, window: Window, limits: Limits, rule: Rule, end: int, alarms: dict[str, str]) -> dict[str, Any]:
        assert self.reference is not None
        record = data_check(window, self.reference, limits)
        drifted = []
        for feature in record["features"]:
            kind = f"feature:{feature['name']}"
            found = feature["suspect"]
            streak, _ = judge(Rule(rule.consecutive), self.streaks.get(kind, Streak()), found, end)
            self.streaks[kind] = streak
            feature["drifted"] = streak.found >= rule.consecutive
            if feature["drifted"] and not feature["ignored"]:
                drifted.append(feature)
        counted = [feature for feature in record["features"] if not feature["ignored"]]
        share = len(drifted) / len(counted) if counted else 0.0
        record.update(drifted=len(drifted), share=round(share, 4))
        # The features' own streaks are the checks in a row; the share needs no second streak on top.
        if self._judge(Rule(1, rule.cooldown), "drift", bool(drifted) and share >= limits.share, end):
            names = sorted(drifted, key=lambda one: -float(one["psi"] / one["limit"]))
            first = ", ".join(one["name"] for one in names[:3])
            alarms["drift"] = f"{len(drifted)} of {len(counted)} features moved, {first} first"
            record["alarm"] = {"kind": "drift", "reason": alarms["drift"]}
        return record

    def _quality(self, window: Window, limits: Limits, rule: Rule, end: int, alarms: dict[str, str]) -> dict[str, Any]:
        assert self.reference is not None
        record = quality_check(window, self.reference, limits)
        if self._judge(rule, "quality", bool(record["findings"]), end):
            first = record["findings"][0]
            alarms["quality"] = f"{first['name']}: {first['what']} {first['share']:.1%}, usually {first['usual']:.1%}"
            record["alarm"] = {"kind": "quality", "reason": alarms["quality"]}
        return record

    def _judge(self, rule: Rule, kind: str, found: bool, end: int) -> bool:
        self.streaks[kind], rings = judge(rule, self.streaks.get(kind, Streak()), found, end)
        return rings

    def snapshot(self) -> Mapping[str, bytes]:
        value = {
            "clock": self.clock,
            "first": self.first,
            "first_due": self.first_due,
            "checked": self.checked,
            "version": self.version,
            "last_run": self.last_run,
            "labels": self.labels,
            "mutes": self.mutes,
            "predicted": self.predicted,
            "streaks": {kind: asdict(streak) for kind, streak in self.streaks.items()},
            "parts": [[bucket, _written(part)] for bucket, part in self.parts.items()],
        }
        return {"drift": json.dumps(value).encode()}

    def restore(self, state: Mapping[str, bytes], reference: Callable[[int], Reference | None]) -> None:
        value = json.loads(state["drift"])
        for name in ("clock", "first", "first_due", "checked", "version", "last_run", "labels", "mutes", "predicted"):
            setattr(self, name, value[name])
        self.reference = reference(self.version) if self.version is not None else None
        self.streaks = {kind: Streak(**one) for kind, one in value["streaks"].items()}
        self.parts = {bucket: _read(one) for bucket, one in value["parts"]}


def _written(part: Window) -> dict[str, Any]:
    return {
        "features": part.features.tolist(),
        "feature_rows": part.feature_rows,
        "scores": part.scores.tolist(),
        "estimated": part.estimated,
        "measured": [[one.sums.tolist(), one.bins.tolist()] for one in (part.served, part.current)],
        "segments": [[name, word, sums.tolist()] for (name, word), sums in part.segments.items()],
    }


def _read(value: Mapping[str, Any]) -> Window:
    served, current = (Measured(np.array(sums, np.int64), np.array(bins, np.int64)) for sums, bins in value["measured"])
    segments = {(name, word): np.array(sums, np.int64) for name, word, sums in value["segments"]}
    return Window(
        np.array(value["features"], np.int64),
        value["feature_rows"],
        np.array(value["scores"], np.int64),
        value["estimated"],
        served,
        current,
        segments,
    )
