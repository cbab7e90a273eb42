"""How fast feature rows are scored: `python -m benchmarks.predictions [--json]`.

A LightGBM model of 200 trees over 50 features: the predictions step (rows in, prediction rows out, JSON included) against the model's own
batch predict on the finished matrix, in rows/s.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa

from connectors.formats.json import encode
from streams.predictions.model import digest, load, save
from streams.predictions.step import EVENT_OFFSET, EVENT_PARTITION, Predictions, Settings
from streams.step import Input
from streams.types import OFFSET, PARTITION, TIME, Batch, Type

FEATURES, TREES = 50, 200


def rate(work: Callable[[], Any], rows: int, repeats: int = 3) -> float:
    """Rows per second, the best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return rows / best


def measure(rows: int = 100_000, batch_rows: int = 10_000) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = [f"f{number}" for number in range(FEATURES)]
    matrix = rng.normal(size=(rows, FEATURES))
    labels = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + rng.normal(size=rows) > 0
    parameters = {"objective": "binary", "verbose": -1, "seed": 0}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix[:20_000], labels[:20_000], feature_name=names), TREES)
    with tempfile.TemporaryDirectory() as folder:
        save(booster, Path(folder), names, {}, 0.5)
        model = load(Path(folder), digest(Path(folder)))
    schema = {
        "key": Type.STRING,
        **dict.fromkeys(names, Type.DOUBLE),
        EVENT_PARTITION: Type.BIGINT,
        EVENT_OFFSET: Type.BIGINT,
        "_plan": Type.STRING,
    }
    settings = Settings("p", Input("features", "f", schema, "_timestamp"), "d", "source", "key")
    step = Predictions(settings, lambda wished: model)
    offsets = np.arange(rows)
    table = pa.table(
        {
            "key": pa.array([f"k{number}" for number in range(rows)]),
            **{name: matrix[:, place] for place, name in enumerate(names)},
            EVENT_PARTITION: np.zeros(rows, np.int64),
            EVENT_OFFSET: offsets,
            "_plan": pa.array(["0" * 12] * rows),
            PARTITION: pa.array(np.zeros(rows, np.int32)),
            OFFSET: offsets,
            TIME: offsets,
        }
    )
    wish = pa.table({"_value": [json.dumps({"role": "desired", "model": "m", "version": 1, "sha256": ""})], TIME: pa.array([0])})
    step.process(Batch({"deployments": wish}, {"deployments": np.array([0])}))

    def score() -> None:
        for start in range(0, rows, batch_rows):
            part = table.slice(start, batch_rows)
            outputs = step.process(Batch({"features": part}, {"features": np.arange(part.num_rows)}))
            encode(outputs["p"].table)

    score()  # compiles the writer
    own = rate(lambda: booster.predict(matrix), rows)
    ours = rate(score, rows)
    return {
        "rows": rows,
        "batch_rows": batch_rows,
        "features": FEATURES,
        "trees": TREES,
        "step_per_second": ours,
        "model_per_second": own,
        "ratio": own / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch-rows", type=int, default=10_000)
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.batch_rows)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['features']} features, {found['trees']} trees, batches of {found['batch_rows']:,} rows")
    print(f"step, rows in to JSON out: {found['step_per_second']:>10,.0f} rows/s")
    print(f"the model's own predict:   {found['model_per_second']:>10,.0f} rows/s   ({found['ratio']:.2f} times the step)")


if __name__ == "__main__":
    main()
