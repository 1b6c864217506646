"""How fast the dashboard is in a real browser, beside optuna-dashboard on the same trials: `make bench-dashboard`.

    python -m benchmarks.dashboard [--trials 10000] [--studies 1000] [--runs 5] [--without-peer]

- a study of 10,000 trials, from an empty cache in a window that is open: until its header and the table of its newest trials
  can be read and sorted; until it is usable, which is when all its trials are there and its optimisation history is drawn to
  the end, with each of them; and what has travelled, compressed, once the browser rests. optuna-dashboard is usable when there
  is a picture of its history, which has all trials;
- what one look for changes moves, without one and with one trial that has ended;
- the page of 1,000 studies: the server's answer, and until a browser has its rows.

Katib's trials are put into an SQLite file before the manager starts, with the storage's own writes. optuna-dashboard runs from
an environment of its own, .peers-dashboard, which the make target makes.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.dashboard.studies import fill_peer, seed
from katib.api.client import ManagerClient
from katib.manager.storage.open import open_storage

BIN = Path(sys.executable).parent
PEER = Path(".peers-dashboard/bin")
READY_S = 180.0
WINDOW_S = 2.0


@dataclass(frozen=True)
class Seen:
    """Until something could be read, until a page was usable, and what had travelled once it rested."""

    read: float
    usable: float
    kilobytes: float


@contextmanager
def started(*command: str | Path, ready: str) -> Iterator[None]:
    """A program until `ready`, an address, answers; ended afterwards."""
    process = subprocess.Popen(list(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                urllib.request.urlopen(ready, timeout=10).read()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} does not answer at {ready}: {error}") from error
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def look(browser: Browser, url: str, usable: tuple[str, ...], read: tuple[str, ...] = (), rest_s: float = 1.5) -> Seen:
    """`read`: what is there once there is something to be read; `usable`: what is there then, one after the other."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    moved = [0.0]
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: moved.__setitem__(0, moved[0] + event["encodedDataLength"]))
    # Its window is made of pages too, which take a second of a processor: that is the browser's start, not the page's.
    page.wait_for_timeout(WINDOW_S * 1000)
    begin = time.perf_counter()
    page.goto(url, wait_until="commit")
    times = []
    for selectors in (read, usable):
        for selector in selectors:
            page.wait_for_selector(selector, state="attached", timeout=120_000)
        times.append(time.perf_counter() - begin)
    page.wait_for_timeout(rest_s * 1000)
    context.close()
    return Seen(times[0] if read else times[1], times[1], moved[0] / 1000)


def updates(browser: Browser, url: str, study: str, client: ManagerClient, running: list[str]) -> tuple[float, float]:
    """Bytes of one look for changes: without any, and after one trial has ended."""
    page = browser.new_page()
    sizes: list[float] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    asked: set[str] = set()
    session.on(
        "Network.requestWillBeSent",
        lambda event: asked.add(event["requestId"]) if "/changes?" in event["request"]["url"] else None,
    )
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.append(event["encodedDataLength"]) if event["requestId"] in asked else None,
    )
    page.goto(url)
    page.wait_for_selector("#study[data-ready]", state="attached")
    page.wait_for_timeout(1500)
    sizes.clear()
    page.wait_for_timeout(7000)
    quiet = statistics.median(sizes)
    sizes.clear()
    client.complete_trial(study, running[0], 0.5)
    page.wait_for_timeout(5000)
    changed = max(sizes)
    page.close()
    return quiet, changed


def answers(url: str, count: int = 10) -> float:
    """The median time of a whole answer."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        urllib.request.urlopen(url, timeout=30).read()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def show(name: str, seen: list[Seen]) -> None:
    def spread(times: list[float]) -> str:
        return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"

    print(
        f"{name:18} read after {spread([s.read for s in seen])}, usable after {spread([s.usable for s in seen])}, "
        f"moved {statistics.median(s.kilobytes for s in seen):.0f} kB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without-peer", action="store_true")
    given = parser.parse_args()
    chromium = os.environ.get("KATIB_TEST_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise SystemExit("bench-dashboard needs Chromium: make chromium")
    if not given.without_peer and not PEER.exists():
        raise SystemExit(
            f"{PEER} does not exist: `make bench-dashboard` makes it, or leave the peer out (--without-peer)"
        )
    with tempfile.TemporaryDirectory(prefix="katib-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        storage = open_storage(f"sqlite:///{folder}/katib.db")
        study, running = seed(storage, given.trials, given.studies)
        storage.close()
        http, pages, peer = (free_port() for _ in range(3))
        address = f"unix:{folder}/m"
        base, health = f"http://127.0.0.1:{pages}", f"http://127.0.0.1:{http}/readyz"
        manager = ("--listen", address, "--http", f"127.0.0.1:{http}", "--database", f"sqlite:///{folder}/katib.db")
        stack.enter_context(started(BIN / "katib-manager", *manager, "--data", folder / "data", ready=health))
        dashboard = ("-s", address, "--listen", f"127.0.0.1:{pages}")
        stack.enter_context(started(BIN / "katib-dashboard", *dashboard, ready=f"{base}/"))
        client = stack.enter_context(ManagerClient(address, 60))
        theirs = ""
        if not given.without_peer:
            database = fill_peer(PEER / "python", folder, client, study)
            theirs = f"http://127.0.0.1:{peer}/"
            stack.enter_context(started(PEER / "optuna-dashboard", database, "--port", str(peer), ready=theirs))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        measure(browser, base, theirs, study, client, running, given.runs, given.trials)
        rows = f"{given.studies + 1} studies"
        print(f"the page of {rows} is answered within {answers(base + '/') * 1000:.0f} ms", flush=True)
        print(f"the same, sorted and searched: {answers(base + '/?q=bench&sort=-best') * 1000:.0f} ms")
        show(rows, [look(browser, f"{base}/", ("#studies tbody tr",)) for _ in range(given.runs)])


def measure(
    browser: Browser,
    base: str,
    theirs: str,
    study: str,
    client: ManagerClient,
    running: list[str],
    runs: int,
    trials: int,
) -> None:
    url = f"{base}/studies/{study}"
    newest = f"#trial-table tbody tr:first-child a:text-is('{trials}')"
    read = (".headline .state", ".tiles .big", newest)
    usable = (newest, "#study[data-ready]", "[data-chart=history][data-drawn]")
    print(f"{trials} trials, {runs} times from an empty cache; load average {os.getloadavg()[0]:.1f}", flush=True)
    mine: list[Seen] = []
    others: list[Seen] = []
    # In turn, so that both meet the same machine.
    for _ in range(runs):
        mine.append(look(browser, url, usable, read))
        if theirs:
            others.append(look(browser, f"{theirs}dashboard/studies/1", (".js-plotly-plot .main-svg",)))
    show("katib-dashboard", mine)
    if others:
        show("optuna-dashboard", others)
    quiet, changed = updates(browser, url, study, client, running)
    print(f"a look for changes moves {quiet:.0f} bytes, {changed:.0f} with one trial that has ended", flush=True)


if __name__ == "__main__":
    main()
