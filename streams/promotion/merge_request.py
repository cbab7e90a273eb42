"""A promotion as a merge request at GitLab: the same commit, on a branch of its own, with the comparison as its text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from connectors.gitlab import MergeRequest, MergeRequests
from streams.errors import PromotionError
from streams.project import Project
from streams.promotion.desired import Deployments, Desired
from streams.retraining.runs import Run

TOKEN = "DRIFTLINE_GITLAB_TOKEN"


def requests_of(project: Project, environ: Mapping[str, str] = os.environ) -> MergeRequests:
    """PromotionError where the project or the environment does not say enough."""
    url, name = project.promotion.gitlab, project.promotion.gitlab_project
    if not url or not name:
        raise PromotionError("[promotion] gitlab and gitlab_project together name where merge requests go.")
    if not environ.get(TOKEN):
        raise PromotionError(f"{TOKEN} is not set; merge requests need a token with the scope api.")
    return MergeRequests(url, name, environ[TOKEN])


def propose(project: Project, deployments: Deployments, run: Run, verdict: str, reason: str, by: str) -> MergeRequest:
    """Open the merge request that promotes a run's version; the open one when somebody did before."""
    if run.version is None or run.sha256 is None:
        raise PromotionError(f"run {run.run_id} is {run.state} and has no version; only a finished run can be promoted.")
    requests = requests_of(project)
    branch = f"promote-version-{run.version}"
    title = f"Promote version {run.version}"
    deployments.write(Desired(project.name, run.version, run.sha256, run.run_id, None, reason, by), title, branch)
    return requests.open(branch, project.promotion.branch, title, description(run, verdict, reason))


def description(run: Run, verdict: str, reason: str) -> str:
    """Markdown: why, the verdict, champion against challenger, and by segment."""
    lines = [reason or "No reason was given.", "", f"**{verdict}**", "", f"Run `{run.run_id}`, started by {run.trigger}: {run.reason}"]
    comparison = run.comparison
    if comparison is not None:
        names = ("log_loss", "auc", "brier", "observed", "predicted")
        lines += ["", "| | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * (len(names) + 1)]
        for side in ("champion", "challenger"):
            lines.append(f"| {side} | " + " | ".join(_number(comparison[side].get(name)) for name in names) + " |")
        for segment, values in comparison["segments"].items():
            lines += ["", f"| {segment} | rows | difference | 95% interval |", "|---|---|---|---|"]
            lines += [
                f"| {word} | {one['rows']:,} | {_number(one['value'])} | {_number(one['low'])} to {_number(one['high'])} |"
                for word, one in values.items()
            ]
    return "\n".join(lines) + "\n"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}"
