"""The distributed driver: the same plan cut into tasks by key, for an engine that keys, checkpoints and scales them.

The cores here have no Flink: `arrive` (a partition's records), `order` (the one that decides the order), `task` (windows or a join of
some keys), `assemble` (whole rows again). `job.py` is what submits them.
"""

from __future__ import annotations

import builtins
import sys

# A worker of PyFlink replaces `print` by a method of its own, and numba, which looks for it in the module that it names, would not load.
if (_worker := sys.modules.get("pyflink.fn_execution.beam.beam_sdk_worker_main")) is not None:
    _worker.print = builtins.print  # type: ignore[attr-defined]
