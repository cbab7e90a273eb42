"""What the broker's log says when it does not start, in words that say what to do."""

from __future__ import annotations

import re
from pathlib import Path

_KNOWN = (
    (r"No space left on device|Disk quota exceeded", "The disk is full: {data} could not be written. Free some space and start again."),
    (
        r"Address already in use|BindException",
        "Port {port} was taken by another process while the broker started. Start again; a free one is chosen.",
    ),
    (
        r"Failed to acquire lock on file",
        "Another broker runs on {data}. End it (driftline down), or give this project a folder of its own.",
    ),
    (
        r"Could not reserve enough space|insufficient memory|OutOfMemoryError",
        "There is not enough memory for the broker (about 350 MB). Free some and start again.",
    ),
    (
        r"InconsistentClusterId|InconsistentBrokerMetadata|meta\.properties|CorruptRecordException|InvalidConfigurationException|CorruptSnapshotException"
        r"|No readable meta\.properties|Log directory .* (?:is offline|has a different)|Shutdown broker because all log dirs|checksum|Malformed line",
        "The broker cannot read its data in {data}. Set the folder aside (mv {data} {data}.broken) and start again: "
        "the project begins with an empty log, and what can be replayed from files can be produced again.",
    ),
)


def explain_failure(log: Path, since: int, data: Path, port: int) -> str:
    """A message from what the log says after byte `since`: the known reason, and its last telling lines."""
    try:
        with open(log, "rb") as file:
            file.seek(since)
            text = file.read().decode(errors="replace")
    except OSError:
        text = ""
    telling = [
        line.strip()
        for line in text.splitlines()
        if re.search(r"ERROR|FATAL|Exception|Error", line) and not line.lstrip().startswith("at ")
    ]
    tail = "\n  ".join(line[:300] for line in (telling or text.strip().splitlines())[-4:])
    for pattern, words in _KNOWN:
        if re.search(pattern, text):
            return f"{words.format(data=data, port=port)}\n  {tail}\nThe whole log: {log}"
    return f"The broker ended while it started.\n  {tail or 'Its log is empty.'}\nThe whole log: {log}"
