"""Runs: requests in `runs` become states in `runs`: building, training, evaluating, waiting; promotion takes it from there.

One runner works at a time, one run after the other. What a dead runner left half-done is begun again from the log: a data set is named by
positions, so it is the same.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from connectors.dvc import DataSets, DvcError
from streams.drift.alerts import Alerts, address
from streams.drift.reference import FILE as REFERENCE
from streams.drift.reference import Scored, reference_of
from streams.errors import BrokerError, DriftlineError, RunError
from streams.predictions import log
from streams.predictions.model import Model, digest, load
from streams.predictions.store import keep, model_of, place, registry
from streams.project import Project
from streams.retraining import dataset as data
from streams.retraining.code import TRAIN, Code
from streams.retraining.evaluate import compare
from streams.retraining.judging import Float64, Judging, judged, plan_of_judging
from streams.retraining.runs import ACTIVE, Run, latest
from streams.retraining.sources import Sources, sources_of
from streams.retraining.train import Cancelled, Trainer, tail, train
from streams.sensors import Sensor
from streams.types import Type
from streams.worker.connection import Connection, KafkaConnection

ATTEMPTS = 3
READ_BACK_S = 60.0
LOOK_S = 10.0  # at most so often rows of a new features.sql are looked for
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The process ends while a run is under way."""


class Runner:
    """Works through the requests of one project."""

    def __init__(self, project: Project, connection: Connection) -> None:
        self._project, self._connection = project, connection
        self._topic = project.topic("runs")
        self._values: list[dict[str, Any]] = []
        self._follower = log.Follower(connection, [self._topic])
        self._sources: Sources = sources_of(project)
        self._code = Code(project, connection, self._sources)
        self._watching = "code" in project.retraining.triggers
        self._look_at = 0.0
        self._stop = threading.Event()

    def close(self) -> None:
        self._follower.close()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; a run that is under way then is begun again by the next runner."""
        self._stop = stop
        while not stop.is_set():
            try:
                if not self.work(200):
                    stop.wait(0.05)
            except Stopped:
                return

    def work(self, timeout_ms: int = 0) -> bool:
        """Take what is new, and carry out at most one run."""
        self._listen(timeout_ms)
        if not self._follower.caught_up:
            return False
        runs = latest(self._values)
        self._join(runs)
        run = next((run for run in runs.values() if run.state in ACTIVE), None)
        if run is None:
            run = self._changed(runs)
        if run is None:
            return False
        self._carry_out(run)
        return True

    def _listen(self, timeout_ms: int) -> None:
        self._values += [record.value for record in self._follower.poll(timeout_ms) if record.value is not None]

    def _join(self, runs: dict[str, Run]) -> None:
        """A click while another click's run is under way joins it."""
        clicked = [run for run in runs.values() if run.state in ACTIVE and not run.is_automatic]
        for run in clicked[1:]:
            runs[run.run_id] = self._write(run.to("cancelled", _now(), error=f"joined run {clicked[0].run_id}, which was under way"))

    def _changed(self, runs: dict[str, Run]) -> Run | None:
        """The trigger `code`, after a start: asked for at once where train.py has changed, and where features.sql has when its rows reach
        as far as the first champion's did. None where the champion is of this code, or the run was asked for before."""
        if not self._watching or time.monotonic() < self._look_at:
            return None
        self._look_at = time.monotonic() + LOOK_S
        champion, code = self._champion(), self._code
        folder = place(self._project, champion["version"]) if champion is not None else None
        features = folder is not None and code.features_changed(folder)
        if code.run_id in runs or folder is None or not (features or code.train_changed(folder)):
            self._watching = False
            return None
        as_of = None
        if features:
            began = code.began()
            as_of = began + code.wait if began is not None else None
            if as_of is None or self._newest_time() < as_of:
                return None
        self._watching = False
        reason = f"{'features.sql' if features else 'train.py'} has changed"
        return self._write(Run(code.run_id, "requested", "code", reason, "driftline", as_of=as_of, at=_now()))

    def _carry_out(self, run: Run) -> None:
        if run.decision == "cancel":
            self._write(run.to("cancelled", _now()))
            return
        if run.attempt >= ATTEMPTS:
            self._write(
                run.to(
                    "failed", _now(), error=f"the runner ended {ATTEMPTS} times during this run; see its log. Start it again with Retrain."
                )
            )
            return
        work = self._project.state_dir / "runs" / run.run_id
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        out = work / "train.log"
        run = replace(run, attempt=run.attempt + 1, started_at=_now())
        try:
            self._steps(run, work, out)
        except Cancelled as error:
            self._write(self._newest(run).to("cancelled", _now(), error=error.message, log_tail=tail(out)))
        except (DriftlineError, OSError) as error:
            _log.warning("run %s failed: %s", run.run_id, error)
            self._write(self._newest(run).to("failed", _now(), error=str(error), log_tail=tail(out)))
        finally:
            shutil.rmtree(work / "models", ignore_errors=True)

    def _steps(self, run: Run, work: Path, out: Path) -> None:
        project = self._project
        champion = self._champion()
        if run.trigger == "first" and champion is not None:
            self._write(run.to("cancelled", _now(), error=f"version {champion['version']} serves already"))
            return
        as_of = run.as_of if run.as_of is not None else self._newest_time()
        run = self._write(replace(run, as_of=as_of).to("building", _now()))
        start = as_of - project.retraining.window_ms if project.retraining.window_ms is not None else None
        named = data.manifest(self._connection, self._sources.dataset, start, as_of, self._sources.plan, self._sources.commit())
        whole = data.build(self._connection, self._sources.dataset, named)
        (work / "manifest.json").write_text(named.text())
        summary = {"sha256": named.sha256, "rows": len(whole), "unlabelled": whole.unlabelled, "cut_off": as_of, "plan": named.plan}
        seen = self._cut_off(champion)
        plan = plan_of_judging(whole, seen, project.drift.window_ms, project.drift.min_rows)
        blocks = [whole.slice((whole.times < start) & (whole.label_times <= start)) for start in plan.starts]
        if len(blocks[0]) < 2 or len(np.unique(blocks[0].labels)) < 2:
            raise RunError(
                f"There are {len(blocks[0])} labelled rows to train on, of {len(np.unique(blocks[0].labels))} class(es). Wait for more labels."
            )
        run = self._write(run.to("training", _now(), dataset=summary))

        def cancelled() -> bool:
            return self._is_cancelled(run)

        source = self._code.source
        *tried, final = train(self._trainer(), [*blocks, whole], work / "models", out, cancelled)
        if cancelled():
            raise Cancelled("cancelled after training")
        run = self._write(run.to("evaluating", _now(), log_tail=tail(out)))
        after = whole.slice(whole.times >= plan.starts[0])
        scores = judged(after, plan.starts, [load(folder, digest(folder)) for folder in tried])
        segments = {name: after.rows.column(name).to_pylist() for name in project.drift.segments}
        names = [name for name in self._sources.schema if name not in project.drift.ignore]
        reference = reference_of(
            whole.rows, whole.times, Scored(after.times, scores, after.labels, segments), names,
            project.drift.window_ms, project.drift.check_every_ms or project.drift.window_ms, project.drift.min_rows,
        )  # fmt: skip
        (final / REFERENCE).write_text(reference.text())
        (final / "manifest.json").write_text(named.text())
        (final / TRAIN).write_bytes(source)
        comparison = None
        if champion is not None:
            comparison = self._compare(champion, after, scores, plan)
        if cancelled():
            raise Cancelled("cancelled while evaluating")
        metrics = {name: value for name, value in reference.performance.items() if value is not None}
        sha256 = digest(final)
        tags = {"dataset": named.sha256, "commit": named.commit, "plan": named.plan, "sha256": sha256, "trigger": run.trigger}
        version = registry(project).register(project.name, final, run.run_id, metrics, tags)
        keep(project, version, final)
        self._track(named, whole, out)
        self._write(run.to("waiting", _now(), version=version, sha256=sha256, metrics=metrics, comparison=comparison, log_tail=tail(out)))

    def _track(self, named: data.Manifest, whole: data.Dataset, out: Path) -> None:
        """With a DVC remote the data set is kept there too: manifest and rows. A refusal is in the run's log and fails nothing."""
        remote = self._project.registry.dvc_remote
        if remote is None:
            return
        name = named.sha256[:12]
        # DVC reads a path as relative to its own configuration
        sets = DataSets(self._project.state_dir / "datasets", remote if "://" in remote else str(self._project.root / remote))
        try:
            sets.prepare()
            (sets.folder / f"{name}.json").write_text(named.text())
            data.write_parquet(whole, sets.folder / f"{name}.parquet")
            files = [f"{name}.json", f"{name}.parquet"]
            sets.add(files)
            sets.push([f"{file}.dvc" for file in files])
        except DvcError as error:
            _log.warning("data set %s is not at the DVC remote: %s", name, error)
            with out.open("a") as log_file:
                log_file.write(f"data set {name} is not at the DVC remote: {error}\n")

    def _compare(self, champion: dict[str, Any], after: data.Dataset, scores: Float64, plan: Judging) -> dict[str, Any]:
        """On the newest stretch only: which of the two is better now?"""
        model: Model = model_of(self._project, champion["version"], champion["sha256"])
        missing = [name for name in model.card.columns if name not in after.rows.column_names]
        if missing:
            raise RunError(
                f"The champion takes {', '.join(missing[:5])}, which features.sql no longer gives: there is nothing to compare on."
            )
        newest = after.times >= plan.starts[-1]
        rows = after.slice(newest)
        segments = {name: rows.rows.column(name).to_pylist() for name in self._project.drift.segments}
        threshold = self._project.model.threshold
        found = compare(
            rows.times, rows.labels, model.score(rows.rows), scores[newest], threshold, self._project.promotion.metric, segments
        )
        return {**found, "champion_version": champion["version"], "champion_saw_rows": not plan.fair}

    def _trainer(self) -> Trainer:
        project = self._project
        return Trainer(project.root, project.model.train, self._sources.schema, project.model.threshold, project.retraining.timeout_s)

    def _champion(self) -> dict[str, Any] | None:
        found = [record.value for record in log.records(self._connection, self._project.topic("deployments")) if record.value]
        wished = [value for value in found if value.get("role") == "desired"]
        return wished[-1] if wished else None

    def _cut_off(self, champion: dict[str, Any] | None) -> int | None:
        """The event time up to which the champion has seen labels."""
        if champion is None:
            return None
        path = place(self._project, champion["version"]) / "manifest.json"
        return int(json.loads(path.read_text())["cut_off"]) if path.exists() else None

    def _newest_time(self) -> int:
        """The event time that predictions have come to; the features, before there are any."""
        for topic in ("predictions", "features"):
            ends = [one for one in log.whole(self._connection, self._project.topic(topic)) if one.end > one.start]
            newest = [replace(one, start=max(one.start, one.end - 1000)) for one in ends]
            times = (
                log.table(self._connection, newest, {"_timestamp": Type.BIGINT}).column("_time").to_numpy()
                if newest
                else np.empty(0, np.int64)
            )
            if len(times):
                return int(times.max())
        raise RunError("There are no feature rows yet: nothing can be trained. Produce events first.")

    def _is_cancelled(self, run: Run) -> bool:
        if self._stop.is_set():
            # Being stopped is no failed attempt.
            self._write(self._newest(run).to("building", _now(), attempt=run.attempt - 1))
            raise Stopped
        self._listen(0)
        return self._newest(run).decision == "cancel"

    def _newest(self, run: Run) -> Run:
        return latest(self._values).get(run.run_id, run)

    def _write(self, run: Run) -> Run:
        """The new state, read back: what this runner knows is in the order of the log, and no older state of its own follows a newer one."""
        known = len(self._values)
        log.append(self._connection, self._topic, [(run.run_id, run.value(), run.as_of or 0)])
        deadline = time.monotonic() + READ_BACK_S
        while not any((one["run_id"], one["state"], one["at"]) == (run.run_id, run.state, run.at) for one in self._values[known:]):
            if time.monotonic() > deadline:
                raise BrokerError(f"{self._topic}: what was written could not be read back within {READ_BACK_S:.0f} s. Is the broker well?")
            self._listen(200)
        return run


def _now() -> int:
    return time.time_ns() // 1_000_000


def register(app: Any, project: Project, sensor: Sensor) -> None:
    """Run beside a Faust app's agents, in a thread of its own."""
    from streams.retraining.service import serve

    lock = project.state_dir / "locks" / "retraining"
    serve(app, "retraining", lambda: Runner(project, KafkaConnection(project.kafka())), lock, sensor)
    url = address(project)
    if url is not None:
        told = project.state_dir / "locks" / "alerts"
        serve(app, "alerts", lambda: Alerts(project, KafkaConnection(project.kafka()), url), told, Sensor())
