"""numba's cache on disk knows a function by its own file only; here many call each other across files. So whenever any file of the
kernel has changed, what was compiled before is thrown away, before anything is loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parent
_STAMP = "kernel.sha256"


def digest(folder: Path = _FOLDER) -> str:
    """Of all sources of the kernel."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def drop_stale(folder: Path = _FOLDER) -> bool:
    """Remove compiled code of other sources than these; tells whether there was any. A folder that cannot be written is left alone."""
    cache = folder / "__pycache__"
    stamp, now = cache / _STAMP, digest(folder)
    if stamp.is_file() and stamp.read_text() == now:
        return False
    stale = [path for pattern in ("*.nbi", "*.nbc") for path in cache.glob(pattern)]
    with contextlib.suppress(OSError):
        for path in stale:
            path.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        stamp.write_text(now)
    return bool(stale)
