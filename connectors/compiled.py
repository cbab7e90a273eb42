"""numba's cache on disk knows a function by its own file only, and here many call each other across the files of a folder."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

_STAMP = "sources.sha256"


def drop_stale(folder: Path, *others: Path) -> bool:
    """Throw away what was compiled from other sources of this folder than there are now; tells whether there was any.

    `others`: files elsewhere whose functions are called from here. To be called before anything of the folder is loaded. A folder that
    cannot be written is left alone.
    """
    total = hashlib.sha256()
    for path in [*sorted(folder.glob("*.py")), *others]:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    cache = folder / "__pycache__"
    stamp = cache / _STAMP
    if stamp.is_file() and stamp.read_text() == total.hexdigest():
        return False
    stale = [path for pattern in ("*.nbi", "*.nbc") for path in cache.glob(pattern)]
    with contextlib.suppress(OSError):
        for path in stale:
            path.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        stamp.write_text(total.hexdigest())
    return bool(stale)
