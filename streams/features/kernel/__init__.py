"""The window engine: columns in the order of the log in, aggregates as of each row out. It knows nothing of SQL, files or clocks.

Begin with `windows.py` (aggregates over frames), `joins.py` (LAST JOIN) and `keys.py` (keys to dense ids).
"""

from streams.features.kernel.compiled import drop_stale

drop_stale()
