"""The dashboard in Chromium. Skipped where there is none, and a failure in CI.

Whatever a page writes to the console as an error, and whatever it throws, fails the test. Screenshots go to the folder
`screenshots` of KATIB_TEST_ARTIFACTS, or of `.artifacts` in this checkout.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.harness import World, until, world

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
AXE = (HERE.parent / "axe.min.js").read_text()
SHOTS = Path(os.environ.get("KATIB_TEST_ARTIFACTS", ROOT / ".artifacts")) / "screenshots"


def chromium() -> str | None:
    return os.environ.get("KATIB_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@dataclass
class Eyes:
    """A page that is looked at. `expected`: patterns of console errors that belong to what the test does."""

    page: Page
    url: str
    expected: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(self.url.rstrip("/") + path)
        return self.page

    def shoot(self, name: str, *, full: bool = False) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=full)

    def check_access(self) -> None:
        """Axe finds no barrier, in either of the themes."""
        for theme in ("light", "dark"):
            self.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            self.page.evaluate(AXE)
            found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            broken = [
                f"{theme}: {rule['id']}: {rule['help']}: {node['html'][:200]} {node['failureSummary']}"
                for rule in found["violations"]
                for node in rule["nodes"][:3]
            ]
            assert broken == []

    def check_width(self) -> None:
        """Nothing is wider than the window, which would have to be scrolled sideways."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0

    def check_on_a_phone(self) -> None:
        size = self.page.viewport_size
        assert size
        self.page.set_viewport_size({"width": 390, "height": 800})
        self.check_width()
        self.check_access()
        self.page.set_viewport_size(size)

    def unexpected(self) -> list[str]:
        return [error for error in self.errors if not any(re.search(pattern, error) for pattern in self.expected)]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium to test the dashboard with: make chromium")
        pytest.skip("NOTHING IS TESTED IN A BROWSER: there is no Chromium; make chromium installs it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        expect.set_options(timeout=20_000)
        yield started
        started.close()


@pytest.fixture(scope="module")
def katib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("katib")) as it:
        yield it


@pytest.fixture(scope="module")
def url(katib: World) -> str:
    """The address that katib-local prints."""
    process = katib.local("--dashboard", "127.0.0.1:0")
    return until(lambda: printed(process.output))


def printed(output: str) -> str:
    found = re.search(r"The dashboard is at (\S+)", output)
    return found.group(1) if found else ""


@pytest.fixture
def eyes(browser: Browser, url: str) -> Iterator[Eyes]:
    yield from watched(browser, url)


def watched(browser: Browser, url: str) -> Iterator[Eyes]:
    context = browser.new_context(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(30_000)
    it = Eyes(page, url)
    page.on("console", lambda message: it.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: it.errors.append(str(error)))
    yield it
    context.close()
    assert it.unexpected() == []
