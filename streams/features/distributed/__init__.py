"""The distributed driver: the same plan cut into tasks by key, for an engine that keys, checkpoints and scales them.

The cores here have no Flink: `arrive` (a partition's records), `order` (the one that decides the order), `task` (windows or a join of
some keys), `assemble` (whole rows again). `job.py` is what submits them.
"""
