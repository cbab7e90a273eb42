"""Compiled code does not outlive its sources."""

from __future__ import annotations

from pathlib import Path

from connectors.compiled import drop_stale


def test_a_changed_source_drops_what_was_compiled(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1")
    (tmp_path / "__pycache__").mkdir()
    kept = tmp_path / "__pycache__" / "one.f-1.py311.nbi"
    assert not drop_stale(tmp_path)
    kept.write_text("compiled")
    assert not drop_stale(tmp_path)
    assert kept.exists()
    (tmp_path / "two.py").write_text("y = 2")
    assert drop_stale(tmp_path)
    assert not kept.exists()
    assert not drop_stale(tmp_path)
