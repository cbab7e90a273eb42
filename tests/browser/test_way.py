"""The whole way in a real browser, on a real broker: drift is seen, Retrain clicked, the comparison read, the version promoted, and it serves.

In light and wide; then every page is looked at, also in the dark and on a telephone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import shop

pytestmark = [pytest.mark.browser, pytest.mark.broker, pytest.mark.timeout(1200)]

HERE = Path(__file__).parent
SHOTS = HERE.parents[1] / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PAGES = ("live", "features", "predictions", "labels", "drift", "retraining", "models")
PATIENCE = 240_000  # ms; the machine that tests may be busy


def driftline(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "streams.cli", *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Shop:
    folder: Path
    url: str

    def send(self, days: range, turned: bool, mean: float = 50) -> None:
        data = self.folder / f"days-{days.start}"
        shop.write(data, days, turned, days.start, mean)
        driftline("produce", "--all-from", str(data), "--project", str(self.folder), "-q")

    def until(self, done: Callable[[list[dict[str, object]]], bool], seconds: float = 900) -> None:
        deadline = time.monotonic() + seconds
        while not done(json.loads(driftline("runs", "--project", str(self.folder), "--json").splitlines()[-1])["runs"]):
            assert time.monotonic() < deadline, "the run did not end in time"
            time.sleep(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("browser") / "shop"
    shutil.copytree(HERE / "project", folder)
    log = (folder / "up.log").open("w")
    process = subprocess.Popen([sys.executable, "-m", "streams.cli", "up", str(folder)], stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 600
        while "Dashboard: http" not in (said := (folder / "up.log").read_text()):
            assert process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.2)
        made = Shop(folder, said.split("Dashboard: ")[1].split()[0])
        made.send(range(12), turned=False)
        made.until(lambda runs: any(run["state"] == "promoted" for run in runs))
        yield made
    finally:
        process.terminate()
        process.wait(60)
        log.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; `make test` does it where apt-get may")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Somebody at a screen; keeps what the pages asked of other hosts."""

    def __init__(self, browser: Browser, url: str, scheme: str, width: int) -> None:
        self.url, self.scheme, self.width = url, scheme, width
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, timezone_id="Asia/Tokyo")  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.foreign: set[str] = set()
        self.page.on(
            "request",
            lambda request: (
                self.foreign.add(request.url) if not request.url.startswith((url, url.replace("http", "ws"), "data:", "blob:")) else None
            ),
        )

    def open(self, name: str) -> Page:
        self.page.goto(f"{self.url}/{name}")
        self.settled()
        return self.page

    def settled(self) -> None:
        expect(self.page.locator(".dl-sentence").first).to_be_visible(timeout=PATIENCE)
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=PATIENCE)

    def sees(self, text: str) -> None:
        expect(self.page.locator("body")).to_contain_text(text, timeout=PATIENCE)

    def picture(self, name: str) -> None:
        """Keep a screenshot of the whole page; nothing may be wider than the screen, and nothing may have failed."""
        expect(self.page.get_by_test_id("stException")).to_have_count(0)
        expect(self.page.get_by_role("dialog")).to_have_count(0)
        main = "document.querySelector('[data-testid=stMain]')"
        assert not self.page.evaluate(f"{main}.scrollWidth > {main}.clientWidth"), f"{name} is wider than {self.width} pixels"
        self.page.set_viewport_size(
            {"width": self.width, "height": min(3000, max(900, int(self.page.evaluate(f"{main}.scrollHeight")) + 20))}
        )
        self.page.wait_for_timeout(1000)  # charts take the new width
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}-{self.scheme}-{self.width}.png")
        self.page.set_viewport_size({"width": self.width, "height": 900})


def test_from_drift_to_a_better_model(running: Shop, chromium: Browser) -> None:
    running.send(range(12, 17), turned=False)
    running.send(range(17, 28), turned=True, mean=70)
    visitor = Visitor(chromium, running.url, "light", 1440)

    page = visitor.open("drift?window=all")
    visitor.sees("the predicted one: retrain")
    visitor.sees("Alarm: the rate is")
    visitor.picture("way-1-drift")

    page.get_by_role("button", name="Retrain").click()
    page.get_by_label("Who are you?").fill("Ada")
    page.get_by_label("Who are you?").press("Enter")
    expect(page.get_by_label("Who are you?")).to_have_count(0, timeout=PATIENCE)  # asked once
    reason = page.get_by_role("textbox", name="Reason")
    assert "the rate is" in reason.input_value() or "moved" in reason.input_value()
    begun = time.monotonic()
    page.get_by_role("button", name="Start the run").click()
    visitor.sees("started by a click of Ada")
    print(f"a run after {time.monotonic() - begun:.1f} s")
    page.get_by_role("link", name="Watch the run").or_(page.get_by_role("link", name="Compare and decide")).first.click()

    visitor.sees("waits for you")
    visitor.sees("Champion against challenger")
    visitor.settled()
    visitor.picture("way-2-compare")
    page.get_by_role("textbox", name="Reason").last.fill("the world has turned")
    page.get_by_role("textbox", name="Reason").last.press("Enter")
    page.get_by_role("button", name="Promote").click()
    visitor.sees("Promoted, commit")

    page = visitor.open("models")
    visitor.sees("Version 2 serves")
    visitor.sees("in sync")
    visitor.sees("version 1 is one click away")
    visitor.picture("way-3-models")
    in_the_dark = Visitor(chromium, running.url, "dark", 390)
    for name in PAGES:
        for one in (visitor, in_the_dark):
            one.open(name)
            one.picture(name)
    assert not visitor.foreign and not in_the_dark.foreign
    visitor.context.close()
    in_the_dark.context.close()
