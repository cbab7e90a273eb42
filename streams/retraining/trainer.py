"""The process in which a user's train(features, labels) runs: nothing it does can harm the streams. Started by train.py.

`python -m streams.retraining.trainer SPEC PARENT` reads SPEC (JSON: file, function, jobs, columns, threshold, result), writes the model folder
of each job and, last, the result. It ends with the process PARENT.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from connectors.processes import end_with_parent
from streams.errors import DriftlineError
from streams.predictions.model import frame, save
from streams.types import TIME


def main(spec_path: Path) -> int:
    spec = json.loads(spec_path.read_text())
    try:
        result = {"ok": True, **_train(spec)}
    except DriftlineError as error:
        result = {"ok": False, "error": error.message}
    except Exception as error:  # whatever the user's code raises is an answer
        traceback.print_exc()
        result = {"ok": False, "error": f"{spec['function']} raised {type(error).__name__}: {error}", "raised": True}
    except SystemExit as error:
        result = {"ok": False, "error": f"{spec['function']} called sys.exit({error.code!r}); return the fitted model instead."}
    sys.stdout.flush()
    Path(spec["result"]).write_text(json.dumps(result))
    return 0 if result["ok"] else 1


def _train(spec: dict[str, Any]) -> dict[str, Any]:
    import pandas

    function = _function(Path(spec["file"]), spec["function"])
    for job in spec["jobs"]:
        table = pq.read_table(job["data"])
        features = frame(table.select(spec["columns"]), job["categories"])
        features.index = pandas.to_datetime(table.column(TIME).to_numpy(), unit="ms", utc=True)
        features.index.name = "event_time"
        labels = pandas.Series(table.column("_label").to_numpy(), index=features.index, name="label")
        fitted = function(features, labels)
        if fitted is None:
            raise DriftlineError(f"{spec['function']} returned nothing; return the fitted model at its end.")
        save(fitted, Path(job["model"]), spec["columns"], job["categories"], spec["threshold"])
    return {"models": len(spec["jobs"])}


def _function(path: Path, name: str) -> Any:
    if not path.is_file():
        raise DriftlineError(f"{path}: there is no such file; [model] train names it.")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("driftline_train", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["driftline_train"] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        known = [one for one in vars(module) if callable(getattr(module, one)) and not one.startswith("_")]
        raise DriftlineError(f"{path.name} has no function {name!r}; it has {', '.join(known) or 'none'}.")
    return getattr(module, name)


def _end_with(parent: int) -> None:
    """A runner that was killed begins its run again, in the same folder: what it had started must be gone."""
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before that
        sys.exit(1)


if __name__ == "__main__":
    _end_with(int(sys.argv[2]))
    sys.exit(main(Path(sys.argv[1])))
