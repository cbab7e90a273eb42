"""DVC as a command: data sets tracked in a folder of their own and moved to a remote (a folder, S3, whatever DVC knows)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from streams.errors import DriftlineError

TIMEOUT_S = 600


class DvcError(DriftlineError):
    """DVC is missing or refused."""


def is_installed() -> bool:
    return shutil.which("dvc") is not None


class DataSets:
    """`folder` becomes a DVC repository without git: its `.dvc` files name contents by hash. `remote` is a URL or a path."""

    def __init__(self, folder: Path, remote: str | None = None) -> None:
        self.folder, self.remote = folder, remote

    def prepare(self) -> None:
        """Make the repository, and point it at the remote."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / ".dvc").is_dir():
            self._dvc("init", "--no-scm", "--quiet")
            self._dvc("config", "core.analytics", "false")
        if self.remote:
            self._dvc("remote", "add", "--default", "--force", "--quiet", "storage", self.remote)

    def add(self, names: Sequence[str]) -> None:
        """Track files of the folder; `NAME.dvc` appears beside each."""
        self._dvc("add", "--quiet", *names)

    def push(self, names: Sequence[str] = ()) -> None:
        self._dvc("push", "--quiet", *names)

    def pull(self, names: Sequence[str] = ()) -> None:
        """Bring back files whose `.dvc` is there."""
        self._dvc("pull", "--quiet", *names)

    def _dvc(self, *arguments: str) -> str:
        try:
            done = subprocess.run(["dvc", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except FileNotFoundError as error:
            raise DvcError("dvc is not installed; pip install 'driftline[dvc]', or leave [registry] dvc_remote out.") from error
        except subprocess.TimeoutExpired as error:
            raise DvcError(f"dvc {arguments[0]} in {self.folder} took more than {TIMEOUT_S} s.") from error
        if done.returncode:
            raise DvcError(f"dvc {arguments[0]} in {self.folder} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout
