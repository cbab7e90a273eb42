"""A git repository as a place for desired state: small text files, each change a commit made against the head that was read.

A local path is a bare repository, made when it is missing; a URL is mirrored into `cache`, which has nothing that the remote has not.
Commits are made with git's plumbing: no work tree, nothing half-written.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streams.errors import PromotionError

TIMEOUT_S = 60


@dataclass(frozen=True)
class Commit:
    """`at` is the committer's time in seconds since the epoch."""

    sha: str
    at: int
    author: str
    subject: str
    body: str


class Repository:
    """`location` is a path or a URL; `branch` the one that counts."""

    def __init__(self, location: str, branch: str, cache: Path) -> None:
        self.location, self.branch = re.sub(r"(?<=://)[^/@]*@", "", location), branch  # as it is told: a URL may carry a token
        self._url = location
        self._remote = "://" in location or location.startswith("git@")
        self._path = cache if self._remote else Path(location)
        self._ref = f"refs/heads/{branch}"
        if not (self._path / "HEAD").exists():
            self._path.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", f"--initial-branch={branch}", ".")

    def fetch(self) -> None:
        """Bring the branch of the remote; nothing to do for a local repository."""
        if self._remote and self._try("ls-remote", "--exit-code", self._url, self._ref) is not None:
            self._git("fetch", "--quiet", self._url, f"+{self._ref}:{self._ref}")

    def head(self) -> str | None:
        """The commit the branch is at; None in an empty repository."""
        loose = self._path / self._ref  # asked for several times a second: no process where a file says it
        if loose.is_file():
            return loose.read_text().strip()
        return self._try("rev-parse", "--verify", "--quiet", self._ref)

    def read(self, name: str, commit: str | None = None) -> str | None:
        """A file's text at a commit (None: the head); None where there is no such file."""
        at = commit or self.head()
        return None if at is None else self._try("show", f"{at}:{name}", strip=False)

    def log(self, name: str | None = None, limit: int = 100) -> list[Commit]:
        """The newest commits first, only those that changed `name` where it is given."""
        if self.head() is None:
            return []
        form = "%H%x1f%ct%x1f%an%x1f%s%x1f%b%x1e"
        text = self._git("log", f"--max-count={limit}", f"--format={form}", self._ref, *(("--", name) if name else ()))
        found = []
        for one in text.split("\x1e"):
            if one.strip():
                sha, at, author, subject, body = one.strip("\n").split("\x1f")
                found.append(Commit(sha, int(at), author, subject, body.strip()))
        return found

    def commit(self, files: Mapping[str, str], message: str, by: str, expected: str | None, branch: str | None = None) -> str:
        """Write files on top of `expected` (None: the first commit); returns the commit.

        PromotionError when the branch has moved meanwhile, or the remote refuses. `branch`: write to another branch than the one
        that counts, as for a merge request.
        """
        ref = f"refs/heads/{branch}" if branch else self._ref
        entries = {} if expected is None else self._tree(expected)
        for name, text in files.items():
            entries[name] = f"100644 blob {self._git('hash-object', '-w', '--stdin', text=text)}\t{name}"
        tree = self._git("mktree", text="".join(f"{line}\n" for _, line in sorted(entries.items())))
        who = by or "driftline"
        identity = {
            "GIT_AUTHOR_NAME": who,
            "GIT_AUTHOR_EMAIL": "driftline@localhost",
            "GIT_COMMITTER_NAME": "driftline",
            "GIT_COMMITTER_EMAIL": "driftline@localhost",
        }
        parent = () if expected is None else ("-p", expected)
        made = self._git("commit-tree", tree, *parent, text=message, extra=identity)
        if self._remote:  # first there: a mirror that is ahead of what the remote took would be acted upon
            lease = f"--force-with-lease={ref}:{expected or ''}" if not branch else "--force"
            if self._try("push", "--quiet", lease, self._url, f"{made}:{ref}") is None:
                raise PromotionError(
                    f"{self.location} refused {self.branch}: it has moved, or the push is not allowed. Look again, then repeat."
                )
        old = () if branch else (expected or "0" * 40,)
        if self._try("update-ref", ref, made, *old) is None and not self._remote:  # a fetch may have brought it already
            raise PromotionError(
                f"{self.location}: {self.branch} has moved since it was read at {(expected or 'nothing')[:12]}. Look again, then repeat."
            )
        return made

    def _tree(self, commit: str) -> dict[str, str]:
        lines = self._git("ls-tree", commit).splitlines()
        return {line.split("\t", 1)[1]: line for line in lines}

    def _git(self, *arguments: str, text: str | None = None, extra: Mapping[str, str] | None = None) -> str:
        done = self._run(arguments, text, extra)
        if done.returncode:
            raise PromotionError(f"git {arguments[0]} in {self.location} failed: {done.stderr.strip() or done.returncode}")
        return done.stdout.strip()

    def _try(self, *arguments: str, strip: bool = True) -> str | None:
        done = self._run(arguments, None, None)
        if done.returncode:
            return None
        return done.stdout.strip() if strip else done.stdout

    def _run(self, arguments: tuple[str, ...], text: str | None, extra: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(extra or {})}
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            environ.pop(name, None)
        try:
            return subprocess.run(
                ["git", *arguments], cwd=self._path, env=environ, input=text, text=True, capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise PromotionError("git is not installed; deployments are commits, so it is needed.") from error
        except subprocess.TimeoutExpired as error:
            raise PromotionError(f"git {arguments[0]} in {self.location} took more than {TIMEOUT_S} s.") from error
