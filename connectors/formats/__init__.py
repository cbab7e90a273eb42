"""Columns from the bytes of records and back: JSON (json.py) and Avro (avro.py)."""

from pathlib import Path

from connectors.compiled import drop_stale

drop_stale(Path(__file__).parent, Path(__file__).parents[1] / "bytes.py")
