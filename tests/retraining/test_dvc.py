"""Data sets kept by DVC: added, pushed, lost and brought back. Runs where the command dvc is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.dvc import DataSets, DvcError, is_installed


@pytest.mark.skipif(not is_installed(), reason="the extra dvc is not installed")
def test_what_is_lost_comes_back(tmp_path: Path) -> None:
    sets = DataSets(tmp_path / "datasets", str(tmp_path / "remote"))
    sets.prepare()
    sets.prepare()
    (sets.folder / "a.json").write_text("{}\n")
    sets.add(["a.json"])
    sets.push(["a.json.dvc"])
    (sets.folder / "a.json").unlink()
    for cache in (sets.folder / ".dvc" / "cache").rglob("*"):
        if cache.is_file():
            cache.chmod(0o600)
            cache.unlink()
    sets.pull()
    assert (sets.folder / "a.json").read_text() == "{}\n"
    with pytest.raises(DvcError, match="dvc add in .* failed"):
        sets.add(["missing.json"])


def test_without_dvc_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DvcError, match=r"pip install 'driftline\[dvc\]'"):
        DataSets(tmp_path).prepare()
