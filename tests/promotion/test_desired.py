"""Desired state as commits, and as merge requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.git import Repository
from connectors.gitlab import MergeRequests
from streams.errors import PromotionError
from streams.promotion.actions import status_of
from streams.promotion.decide import verdict
from streams.promotion.desired import FILE, Deployments, Desired
from tests.promotion.gitlab_fake import TOKEN, FakeGitLab, serving

ONE = Desired("flights", 1, "a" * 64, "first-1", None, "the first", "ann")
TWO = Desired("flights", 2, "b" * 64, "decay-9", 123, 'she said "now"', "bob")


def deployments(folder: Path) -> Deployments:
    return Deployments(Repository(str(folder / "deployments.git"), "main", folder / "mirror.git"))


def test_promotion_is_a_commit_and_rollback_goes_back(tmp_path: Path) -> None:
    found = deployments(tmp_path)
    assert found.read() == (None, None)
    first = found.write(ONE, "Promote version 1")
    second = found.write(TWO, "Promote version 2")
    assert found.read() == (second, TWO)
    assert found.write(replace(TWO, reason="again"), "Promote version 2") == second, "the same wish of the same run is no new commit"
    assert found.before() == ONE
    assert [(one.commit, one.desired.version, one.message) for one in found.history()] == [
        (second, 2, "Promote version 2"),
        (first, 1, "Promote version 1"),
    ]
    log = found.repository.log(FILE)
    assert (log[0].author, log[0].body) == ("bob", 'she said "now"')


def test_two_that_write_at_once_do_not_both_win(tmp_path: Path) -> None:
    found = deployments(tmp_path)
    head = found.write(ONE, "Promote version 1")
    found.write(TWO, "Promote version 2")
    with pytest.raises(PromotionError, match="main has moved since it was read"):
        found.repository.commit({FILE: "version = 3"}, "late", "eve", head)


def test_what_a_remote_refuses_is_not_in_the_mirror(tmp_path: Path) -> None:
    there = Repository(str(tmp_path / "remote.git"), "main", tmp_path)
    hook = tmp_path / "remote.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    found = Deployments(Repository(f"file://{tmp_path}/remote.git", "main", tmp_path / "mirror.git"))
    with pytest.raises(PromotionError, match="refused main"):
        found.write(ONE, "Promote version 1")
    assert found.read() == (None, None)
    hook.unlink()
    made = found.write(ONE, "Promote version 1")
    assert found.read() == (made, ONE) == (there.head(), ONE)


def test_another_address_is_followed_with_the_mirror_that_is_there(tmp_path: Path) -> None:
    before, after = (Deployments(Repository(str(tmp_path / name), "main", tmp_path)) for name in ("before.git", "after.git"))
    before.write(ONE, "Promote version 1")
    after.write(TWO, "Promote version 2")
    wishes = [
        Deployments(Repository(f"file://{tmp_path}/{name}", "main", tmp_path / "mirror.git")).read()[1]
        for name in ("before.git", "after.git")
    ]
    assert wishes == [ONE, TWO]


def test_a_token_in_the_address_is_in_no_message(tmp_path: Path) -> None:
    found = Deployments(Repository("http://ann:glpat-secret@127.0.0.1:1/shop.git", "main", tmp_path / "mirror.git"))
    with pytest.raises(PromotionError, match="http://127.0.0.1:1/shop.git refused main") as refused:
        found.write(ONE, "Promote version 1")
    assert "glpat-secret" not in str(refused.value)


def test_no_earlier_version_is_said(tmp_path: Path) -> None:
    found = deployments(tmp_path)
    found.write(ONE, "Promote version 1")
    with pytest.raises(PromotionError, match="no earlier version"):
        found.before()


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_reason_survives_the_file(reason: str, by: str) -> None:
    wish = replace(TWO, reason=reason, by=by)
    assert Desired.read(wish.text()) == wish


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(PromotionError, match=r"deployment.toml cannot be read: .*It names model, version and sha256"):
        Desired.read("version = 1")


@pytest.mark.parametrize("line", ['version = "2"', 'effective_from = "now"', 'suspended = "no"'])
def test_a_value_of_another_kind_is_named(line: str) -> None:
    text = "\n".join(one for one in TWO.text().splitlines() if not one.startswith(line.split()[0])) + f"\n{line}\n"
    with pytest.raises(PromotionError, match=f"cannot be read: {line.split()[0]} = .* is no (int|bool)"):
        Desired.read(text)


def test_a_file_broken_by_hand_is_rolled_back_or_promoted_over(tmp_path: Path) -> None:
    found = deployments(tmp_path)
    found.write(ONE, "Promote version 1")
    head = found.write(TWO, "Promote version 2")
    found.repository.commit({FILE: "version = three"}, "by hand", "eve", head)
    with pytest.raises(PromotionError, match="cannot be read"):
        found.read()
    assert found.before() == TWO, "what stood before the broken file"
    mended = found.write(TWO, "Roll back to version 2")
    assert found.read() == (mended, TWO)
    assert found.before() == ONE
    assert [one.desired.version for one in found.history()] == [2, 2, 1]


def test_the_interval_decides() -> None:
    comparison = {"metric": "log_loss", "difference": {"value": 0.02, "low": -0.001, "high": 0.04}}
    assert not verdict(comparison, 0.0).allowed
    assert "reaches below the margin 0" in verdict(comparison, 0.0).reason
    assert verdict(comparison, -0.01).allowed
    assert not verdict({"metric": "log_loss", "difference": {"value": 0.02, "low": None, "high": None}}, 0.0).allowed


def test_sync_and_health_are_apart() -> None:
    live = {"version": 1, "state": "Synced", "error": None}
    assert (status_of("c", 1, False, live).sync, status_of("c", 1, False, live).health) == ("Synced", "Healthy")
    assert (status_of("c", 2, False, live).sync, status_of("c", 2, False, live).health) == ("OutOfSync", "Progressing")
    broken = {"version": 1, "state": "Degraded", "error": "digest"}
    assert (status_of("c", 2, False, broken).sync, status_of("c", 2, False, broken).health) == ("OutOfSync", "Degraded")
    assert status_of(None, None, False, None).sync == "Unknown"


def test_a_merge_request_from_open_to_merged(tmp_path: Path) -> None:
    found = deployments(tmp_path)
    found.write(ONE, "Promote version 1")
    fake = FakeGitLab(tmp_path / "deployments.git")
    with serving(fake) as url:
        requests = MergeRequests(url, "group/deployments", TOKEN)
        found.write(TWO, "Promote version 2", branch="promote-version-2")
        assert found.read()[1] == ONE, "nothing changes before it is merged"
        opened = requests.open("promote-version-2", "main", "Promote version 2", "better")
        assert requests.open("promote-version-2", "main", "Promote version 2", "better").iid == opened.iid
        requests.note(opened.iid, "log loss better by 0.02")
        with pytest.raises(PromotionError, match="409.*Somebody pushed"):
            requests.merge(opened.iid, "0" * 40)
        merged = requests.merge(opened.iid, opened.sha)
        assert merged.state == "merged"
        assert found.read() == (opened.sha, TWO)
        with pytest.raises(PromotionError, match="token DRIFTLINE_GITLAB_TOKEN is wrong"):
            MergeRequests(url, "group/deployments", "wrong").get(1)
