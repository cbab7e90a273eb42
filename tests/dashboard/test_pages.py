"""Each page in each state of the world: empty, running, alarm, failed; through Streamlit itself, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import dashboard
from dashboard import desk
from dashboard.actions import Answer
from dashboard.pages import PAGES, acting
from dashboard.queries import retraining
from dashboard.store.reader import Reader
from dashboard.store.store import Store
from streams.pipeline import STEPS
from streams.sections import Dashboard, Retraining
from tests.dashboard import world

KINDS = ("empty", "running", "alarm", "failed")
APP = Path(dashboard.__file__).with_name("app.py")

SAID = {
    "live": {"empty": "Nothing has come in yet.", "running": "no dead letters today", "failed": "1 dead letter today"},
    "features": {"empty": "No feature row has been written yet.", "running": "21 features", "alarm": "precip: missing in 9.0% of rows"},
    "predictions": {"empty": "No prediction has been made yet.", "running": "predictions by version 1"},
    "labels": {"empty": "no prediction has been made yet", "running": "in the reference; labels are", "alarm": "Log loss .5"},
    "drift": {"empty": "Nothing has been compared", "running": "None of 20 features moved", "alarm": "the rate is 9.0 points above the predicted one: retrain", "failed": "ValueError: Input contains NaN"},
    "retraining": {"empty": "No run has been started yet.", "running": "Run 1 was promoted", "alarm": "waits for you", "failed": "Fill or drop empty features"},
    "models": {"empty": "No version serves yet.", "running": "Version 1 serves", "failed": "version 2 was wished and could not be loaded"},
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp(request.param)
    project, store = world.build(folder, request.param)
    desk._opened[folder.resolve()] = project, store, Reader(project, store)
    yield request.param, folder
    store.close()


def run(folder: Path, page: str, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("DRIFTLINE_PROJECT", str(folder))
    script = f"""
import streamlit as st
from dashboard import parts, theme
from dashboard.desk import desk
from dashboard.palette import LIGHT
from dashboard.pages import PAGES
opened = desk()
st.html(theme.sheet(LIGHT))
page = next(page for page in PAGES if page.NAME == {page!r})
parts.head_line(opened, page.TITLE)
page.show(opened)
"""
    app = AppTest.from_string(script, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def text(app: AppTest) -> str:
    return " ".join(str(element.proto.body) for element in app.get("html"))


@pytest.mark.parametrize("page", [page.NAME for page in PAGES])
def test_says_what_is(kind: tuple[str, Path], page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = kind
    app = run(folder, page, monkeypatch)
    assert not app.exception, app.exception
    shown = text(app)
    assert "dl-sentence" in shown
    wished = SAID[page].get(name)
    if wished:
        assert wished in shown


def test_empty_pages_say_what_brings_them_to_life(kind: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = kind
    if name != "empty":
        pytest.skip("of the empty world")
    for page in PAGES:
        shown = text(run(folder, page.NAME, monkeypatch))
        assert "driftline " in shown, page.NAME


def test_a_model_that_came_after_its_rows_is_not_told_as_one_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.store.store.FRESH_S", 0.0)  # else the second page has answers of the first
    project, store = world.build(tmp_path, "empty")
    desk._opened[tmp_path.resolve()] = replace(project, retraining=Retraining(first_after_ms=12 * 3_600_000)), store, Reader(project, store)
    assert "trained by itself 12 h of event time after the first event" in text(run(tmp_path, "predictions", monkeypatch))
    store.write({"deployments": world.facts([("live", {"role": "live", "version": 1, "state": "Synced"}, 0)])})
    shown = text(run(tmp_path, "predictions", monkeypatch))
    assert "Version 1 serves, and scores what comes from now on" in shown
    assert "trained by itself" not in shown
    store.close()


def test_a_link_opens_what_it_names(kind: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = kind
    if name == "empty":
        pytest.skip("nothing to name")
    app = run(folder, "drift", monkeypatch, feature="origin_visib", window="7d")
    assert not app.exception
    assert app.session_state["feature"] == "origin_visib"
    assert app.session_state["window"] == "7d"


def test_the_pages_stand_in_the_order_of_the_steps() -> None:
    named = {
        "events": "live",
        "promotion": "models",
        "features": "features",
        "predictions": "predictions",
        "labels": "labels",
        "drift": "drift",
        "retraining": "retraining",
    }
    assert [page.NAME for page in PAGES] == [named[getattr(step, "name", step)] for step in STEPS]


def test_queries_and_actions_know_no_streamlit() -> None:
    folder = APP.parent
    for path in (
        folder / "actions.py",
        *(folder / "queries").glob("*.py"),
        *(folder / "store").glob("*.py"),
        *(folder / "charts").glob("*.py"),
    ):
        assert "streamlit" not in path.read_text().replace("No Streamlit", "").replace("no Streamlit", ""), path


def test_open_to_others_without_a_password_nothing_can_be_changed(kind: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = kind
    if name != "alarm":
        pytest.skip("of the alarm")
    project, store, reader = desk._opened[folder.resolve()]
    monkeypatch.setitem(desk._opened, folder.resolve(), (replace(project, dashboard=Dashboard(host="0.0.0.0")), store, reader))
    monkeypatch.delenv("DRIFTLINE_DASHBOARD_PASSWORD", raising=False)
    app = run(folder, "retraining", monkeypatch)
    assert "has no password" in text(app)
    assert next(button for button in app.button if button.label == "Promote").disabled
    monkeypatch.setenv("DRIFTLINE_DASHBOARD_PASSWORD", "let me in")
    app = run(folder, "retraining", monkeypatch)
    app.text_input(key="name_decide").input("Ada")
    app.text_input(key="password_decide").input("wrong").run()
    assert "not the password" in text(app)
    app.text_input(key="password_decide").input("let me in").run()
    assert app.session_state["person"] == "Ada"
    assert not next(button for button in app.button if button.label == "Promote").disabled


def test_live_stands_still_while_it_is_paused(kind: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = kind
    if name == "empty":
        pytest.skip("nothing to hold still")
    app = run(folder, "live", monkeypatch)
    app.button(key="pause").click().run()
    assert "stands still since" in text(app)
    assert app.button(key="pause").label == "Go on"
    app.button(key="pause").click().run()
    assert "stands still since" not in text(app)
    assert not app.exception


def test_values_of_set_reach_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.project(tmp_path)
    monkeypatch.setenv("DRIFTLINE_DASHBOARD_READER", "off")
    monkeypatch.setenv("DRIFTLINE_SETTINGS", '["timezone=Asia/Tokyo"]')
    project, store, _ = desk.opened(tmp_path)
    store.close()
    assert project.timezone == "Asia/Tokyo"


@pytest.mark.parametrize("page", ["retraining", "models"])
def test_what_a_decision_came_to_stays_long_enough_to_be_read(kind: tuple[str, Path], page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = kind
    if name != "alarm":
        pytest.skip("of the alarm")
    app = run(folder, page, monkeypatch)
    monkeypatch.setattr(acting, "monotonic", lambda: 1000.0)
    app.session_state["decided"] = Answer("Promoted, commit 0123456789"), 1000.0 + acting.SHOWN_S
    for _ in range(2):  # a page draws itself anew by itself
        assert "Promoted, commit 0123456789" in text(app.run())
    monkeypatch.setattr(acting, "monotonic", lambda: 1001.0 + acting.SHOWN_S)
    assert "Promoted" not in text(app.run())


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Store]:
    """A world of the test's own in which run 2 waits for a person."""
    project, store = world.build(tmp_path, "alarm", rows=500)
    desk._opened[tmp_path.resolve()] = project, store, Reader(project, store)
    yield store
    store.close()


def taken(store: Store, run_id: str, *states: str) -> None:
    """The runner has taken a run: its records are in the store."""
    store.write({"runs": world.facts(world.run(run_id, states, 1_790_000_000_000), start=100)})


def test_a_run_that_was_asked_for_is_followed_once_it_is_here(waiting: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = run(tmp_path, "retraining", monkeypatch)
    app.session_state["follow"] = "retrain-2"
    app.run()
    assert acting.REQUESTED in text(app)
    assert app.session_state["run"] == "retrain-1"
    assert not any(state in label for label in app.selectbox(key="run").options for state in retraining.STATES)
    looks, real = 0, retraining.runs

    def runs(cursor: Any) -> list[retraining.Run]:
        nonlocal looks
        looks += 1
        if looks == 2:  # the page has been drawn; its part that looks again and again finds the run
            taken(waiting, "retrain-2", "requested", "building")
        return real(cursor)

    monkeypatch.setattr(retraining, "runs", runs)
    app.run()
    assert app.session_state["run"] == "retrain-2"
    assert acting.REQUESTED not in text(app)


@pytest.mark.parametrize("became", ["building", "failed"])
def test_drift_says_running_of_a_run_that_was_asked_for_until_its_own_state_is_known(
    waiting: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: str
) -> None:
    def label(app: AppTest) -> str:
        return str(app.get("popover")[0].proto.popover.label)

    app = run(tmp_path, "drift", monkeypatch)
    assert label(app) == "Retrain"
    app.session_state["asked"] = "retrain-2"
    app.run()
    assert label(app) == "Running"
    assert acting.REQUESTED in text(app)
    taken(waiting, "retrain-2", "requested", became)
    app.run()
    assert label(app) == ("Running" if became == "building" else "Retrain")
    assert acting.REQUESTED not in text(app)
