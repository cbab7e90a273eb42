"""Desired state: which version serves, as a small file in a git repository. Promotion is a commit, rollback is a revert."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, replace
from typing import Any

from connectors.git import Repository
from streams.errors import PromotionError
from streams.project import Project

FILE = "deployment.toml"


@dataclass(frozen=True)
class Desired:
    """`effective_from` is event time in ms, None: as soon as it is loaded. `suspended` keeps the agent from acting on the file."""

    model: str
    version: int
    sha256: str
    run_id: str = ""
    effective_from: int | None = None
    reason: str = ""
    by: str = ""
    suspended: bool = False

    def text(self) -> str:
        lines = [
            f"model = {_quoted(self.model)}",
            f"version = {self.version}",
            f"sha256 = {_quoted(self.sha256)}",
            f"run_id = {_quoted(self.run_id)}",
        ]
        if self.effective_from is not None:
            lines.append(f"effective_from = {self.effective_from}")
        lines += [f"reason = {_quoted(self.reason)}", f"by = {_quoted(self.by)}"]
        if self.suspended:
            lines.append("suspended = true")
        return "\n".join(lines) + "\n"

    @property
    def suspension(self) -> str | None:
        """Why deployments are to stay as they are; None while they may change."""
        return f"deployments are suspended by {self.by or 'somebody'}: {self.reason}" if self.suspended else None

    @staticmethod
    def read(text: str) -> Desired:
        try:
            value: dict[str, Any] = tomllib.loads(text)
            for name, met in value.items():
                if name in _KINDS and type(met) is not _KINDS[name]:
                    raise ValueError(f"{name} = {met!r} is no {_KINDS[name].__name__}")
            return replace(Desired(value.pop("model"), value.pop("version"), value.pop("sha256")), **value)
        except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
            raise PromotionError(
                f"{FILE} cannot be read: {error}. It names model, version and sha256; driftline rollback goes back to the one before."
            ) from error


_KINDS = dict.fromkeys(("model", "sha256", "run_id", "reason", "by"), str) | {"version": int, "effective_from": int, "suspended": bool}


def _quoted(text: str) -> str:
    # JSON strings are TOML basic strings, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(frozen=True)
class Change:
    """One change of the desired state, newest first in `history`."""

    commit: str
    at: int  # wall-clock ms
    desired: Desired
    message: str


class Deployments:
    """The deployment repository of a project."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @staticmethod
    def of(project: Project) -> Deployments:
        location = project.promotion.repository
        if "://" not in location and not location.startswith("git@"):
            location = str(project.root / location)
        return Deployments(Repository(location, project.promotion.branch, project.state_dir / "deployments-mirror.git"))

    def read(self) -> tuple[str | None, Desired | None]:
        """The head and what it wishes; (None, None) before the first promotion."""
        self.repository.fetch()
        head = self.repository.head()
        return head, self.at(head) if head else None

    def at(self, commit: str) -> Desired | None:
        """What a commit wishes. PromotionError where its file cannot be read."""
        text = self.repository.read(FILE, commit)
        return Desired.read(text) if text is not None else None

    def _readable(self, commit: str) -> Desired | None:
        """The same, None also where somebody's hand left a file that cannot be read."""
        try:
            return self.at(commit)
        except PromotionError:
            return None

    def now(self) -> Desired | None:
        """What the head wishes; None before the first promotion, and where its file cannot be read."""
        self.repository.fetch()
        head = self.repository.head()
        return self._readable(head) if head is not None else None

    def write(self, desired: Desired, subject: str, branch: str | None = None) -> str:
        """Commit a wish; the commit that is there already when it wishes the same of the same run. It mends a file that cannot be read."""
        self.repository.fetch()
        head = self.repository.head()
        before = self._readable(head) if head is not None else None
        if head is not None and before is not None and branch is None and _same(before, desired):
            return head
        message = f"{subject}\n\n{desired.reason}\n" if desired.reason else f"{subject}\n"
        return self.repository.commit({FILE: desired.text()}, message, desired.by, head, branch)

    def history(self, limit: int = 100) -> list[Change]:
        """Without the commits whose file cannot be read."""
        found = []
        for commit in self.repository.log(FILE, limit):
            wish = self._readable(commit.sha)
            if wish is not None:
                found.append(Change(commit.sha, commit.at * 1000, wish, commit.subject))
        return found

    def before(self) -> Desired:
        """What was wished before the version that is wished now, or before a file that cannot be read. PromotionError when nothing was."""
        now = self.now()
        for change in self.history():
            if now is None or change.desired.version != now.version:
                return change.desired
        raise PromotionError("There is no earlier version to go back to.")


def _same(one: Desired, other: Desired) -> bool:
    return replace(one, reason="", by="") == replace(other, reason="", by="")
