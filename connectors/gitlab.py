"""GitLab's merge requests, for promotions that a person accepts there. The one file that knows python-gitlab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from streams.errors import PromotionError

TIMEOUT_S = 30


@dataclass(frozen=True)
class MergeRequest:
    """`state`: opened, closed, locked, merged. `sha` is the head of its source branch, `merge_commit` what merging made."""

    iid: int
    state: str
    sha: str
    url: str
    source_branch: str
    merge_commit: str | None = None


class MergeRequests:
    """Those of one GitLab project. `token` needs the scope api."""

    def __init__(self, url: str, project: str, token: str) -> None:
        try:
            import gitlab
        except ImportError as error:
            raise PromotionError("python-gitlab is not installed; pip install 'driftline[gitlab]'.") from error
        self._errors = gitlab.exceptions
        self._gitlab = gitlab.Gitlab(url, private_token=token, timeout=TIMEOUT_S, retry_transient_errors=True)
        self._project = self._gitlab.projects.get(project, lazy=True)

    def open(self, branch: str, target: str, title: str, description: str) -> MergeRequest:
        """Open one, or give the one that is open for this branch already."""
        with self._refusals(f"a merge request of {branch}"):
            there = self._project.mergerequests.list(state="opened", source_branch=branch, target_branch=target, get_all=False)
            if there:
                return _of(there[0])
            wish = {
                "source_branch": branch,
                "target_branch": target,
                "title": title,
                "description": description,
                "remove_source_branch": True,
            }
            return _of(self._project.mergerequests.create(wish))

    def get(self, iid: int) -> MergeRequest:
        with self._refusals(f"merge request !{iid}"):
            return _of(self._project.mergerequests.get(iid))

    def note(self, iid: int, text: str) -> None:
        """Add a comment, as with a run's comparison."""
        with self._refusals(f"a note on merge request !{iid}"):
            self._project.mergerequests.get(iid, lazy=True).notes.create({"body": text})

    def merge(self, iid: int, sha: str) -> MergeRequest:
        """Merge it if its head is still `sha`; PromotionError (409 at GitLab) when somebody pushed since."""
        with self._refusals(f"merging merge request !{iid} at {sha[:12]}"):
            one = self._project.mergerequests.get(iid)
            one.merge(sha=sha)
            return self.get(iid)

    def close(self, iid: int) -> MergeRequest:
        with self._refusals(f"closing merge request !{iid}"):
            one = self._project.mergerequests.get(iid)
            one.state_event = "close"
            one.save()
            return self.get(iid)

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        import requests

        try:
            yield
        except self._errors.GitlabAuthenticationError as error:
            raise PromotionError(f"GitLab refused {what}: the token DRIFTLINE_GITLAB_TOKEN is wrong, or lacks the scope api.") from error
        except self._errors.GitlabError as error:
            hint = " Somebody pushed to its branch since: look again." if error.response_code == 409 else ""
            raise PromotionError(f"GitLab refused {what}: {error.response_code} {error.error_message}.{hint}") from error
        except requests.RequestException as error:
            raise PromotionError(f"GitLab cannot be reached for {what}: {error}") from error


def _of(one: Any) -> MergeRequest:
    return MergeRequest(int(one.iid), one.state, one.sha or "", one.web_url, one.source_branch, getattr(one, "merge_commit_sha", None))
