"""How fast the dashboard is in a real browser, beside optuna-dashboard on the same trials: `make bench-dashboard`.

    python -m benchmarks.bench_dashboard [--trials 10000] [--studies 1000] [--runs 5] [--without-peer]

- a study of 10,000 trials, from an empty cache: until its table has rows and its optimisation history is drawn, and what has
  travelled, compressed, once the browser rests; the same for optuna-dashboard until its history is drawn, or, without it, for
  ours until all trials are there;
- what one look for changes moves, without one and with one trial that has ended;
- the page of 1,000 studies as the server answers it.

Katib's trials are put into an SQLite file before the manager starts, with the storage's own writes. optuna-dashboard lives in a
virtual environment of its own, which is made where there is none (KATIB_TEST_CACHE).
"""

import argparse
import json
import os
import random
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
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from katib.api.client import ManagerClient
from katib.domain.metrics import MetricStrategy, Observation
from katib.domain.names import new_id
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType, Scale, SearchSpace
from katib.domain.study import Objective, Study, StudySpec, StudyState
from katib.domain.trial import NewTrial, Trial, TrialState
from katib.manager.changes import Intake, StudyChanges, TrialMove
from katib.manager.ports import Storage
from katib.manager.storage.open import open_storage

BIN = Path(sys.executable).parent
CACHE = Path(os.environ.get("KATIB_TEST_CACHE", Path.home() / ".cache" / "katib-tests")) / "optuna-dashboard"
PARAMETERS = (
    ParameterConfig("--lr", ParameterType.DOUBLE, FeasibleSpace("0.0001", "0.1", scale=Scale.LOG)),
    ParameterConfig("--dropout", ParameterType.DOUBLE, FeasibleSpace("0", "0.6")),
    ParameterConfig("--momentum", ParameterType.DOUBLE, FeasibleSpace("0.5", "0.99")),
    ParameterConfig("--layers", ParameterType.INT, FeasibleSpace("1", "8")),
    ParameterConfig("--optimizer", ParameterType.CATEGORICAL, FeasibleSpace(list=("adam", "sgd", "rmsprop"))),
)
READY_S = 60.0

# What optuna's own environment runs: the same trials, read from a file.
FILL_PEER = """
import json, sys
from datetime import datetime
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
space = {"--lr": FloatDistribution(0.0001, 0.1, log=True), "--dropout": FloatDistribution(0, 0.6),
         "--momentum": FloatDistribution(0.5, 0.99), "--layers": IntDistribution(1, 8),
         "--optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"])}
study = optuna.create_study(storage=sys.argv[1], study_name="bench", direction="maximize")
trials = json.load(open(sys.argv[2]))
study.add_trials([optuna.create_trial(params=t["params"], distributions=space, value=t["value"]) for t in trials])
"""


@dataclass(frozen=True)
class Seen:
    """Until a page was usable, and what had travelled once it rested."""

    seconds: float
    kilobytes: float


def seed(storage: Storage, trials: int, studies: int) -> tuple[str, list[str]]:
    """A study of so many trials, the last three of which run, among so many others. Returns its id and the three."""
    rng, now = random.Random(1), datetime.now(UTC)
    for n in range(studies):
        storage.create_study(
            Study(new_id(), spec(f"study-{n}"), StudyState.RUNNING, now - timedelta(days=1, seconds=n), 1)
        )
    # Without an algorithm nobody asks for more trials.
    study = storage.create_study(Study(new_id(), spec("bench"), StudyState.RUNNING, now - timedelta(hours=6), 1))
    space = SearchSpace.of(PARAMETERS)
    running: list[str] = []
    for begin in range(0, trials, 250):
        points = [[rng.random() for _ in PARAMETERS] for _ in range(min(250, trials - begin))]
        at = study.created_at + timedelta(seconds=2 * begin)
        added = list(
            storage.add_trials(
                study.id,
                storage.get_study(study.id).suggested,
                [NewTrial(new_id(), space.from_unit(point)) for point in points],
                at,
            )
        )
        storage.apply(
            study.id, StudyChanges(moves=tuple(move(t, TrialState.PENDING, TrialState.RUNNING, at) for t in added))
        )
        kept = 3 if begin + 250 >= trials else 0
        running = [trial.id for trial in added[len(added) - kept :]]
        ended = list(zip(added, points, strict=True))[: len(added) - kept]
        storage.apply(
            study.id,
            StudyChanges(
                tuple(intake(t, 1 - (p[0] - 0.6) ** 2 - 0.2 * p[1] + rng.gauss(0, 0.02), at) for t, p in ended),
                tuple(
                    move(t, TrialState.RUNNING, TrialState.COMPLETED, at + timedelta(seconds=rng.uniform(1, 9)))
                    for t, _ in ended
                ),
            ),
        )
    return study.id, running


def spec(name: str) -> StudySpec:
    return StudySpec(name, "accuracy", Objective.MAXIMIZE, PARAMETERS, owner="bench")


def move(trial: Trial, before: TrialState, after: TrialState, at: datetime) -> TrialMove:
    return TrialMove(trial.id, 1, before, after, run=f"{trial.id}-1" if after is TrialState.RUNNING else "", at=at)


def intake(trial: Trial, value: float, at: datetime) -> Intake:
    seen = Observation("accuracy", value, at, 1, "output", 1)
    return Intake(trial.id, 1, "", "1", (seen,), "accuracy", MetricStrategy.LATEST)


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


def look(browser: Browser, url: str, usable: tuple[str, ...], rest_s: float = 1.5) -> Seen:
    """`usable`: what is there once a reader can begin."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    moved = [0.0]
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: moved.__setitem__(0, moved[0] + event["encodedDataLength"]))
    begin = time.perf_counter()
    page.goto(url, wait_until="commit")
    for selector in usable:
        page.wait_for_selector(selector, state="attached", timeout=120_000)
    seconds = time.perf_counter() - begin
    page.wait_for_timeout(rest_s * 1000)
    context.close()
    return Seen(seconds, moved[0] / 1000)


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


def peer_environment() -> Path:
    python = CACHE / "bin" / "python"
    if not (CACHE / "bin" / "optuna-dashboard").exists():
        subprocess.run([sys.executable, "-m", "venv", CACHE], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "optuna", "optuna-dashboard"], check=True)
    return python


def fill_peer(folder: Path, client: ManagerClient, study: str) -> str:
    """The completed trials of the study in a database of optuna's."""
    found, token = [], ""
    while True:
        page = client.list_trials(study, [TrialState.COMPLETED], page_size=1000, page_token=token)
        found += [
            {"value": t.objective, "params": {p.name: _value(p.type, p.value) for p in t.parameters}}
            for t in page.items
        ]
        token = page.next_token
        if not token:
            break
    (folder / "trials.json").write_text(json.dumps(found))
    (folder / "fill.py").write_text(FILL_PEER)
    url = f"sqlite:///{folder}/optuna.db"
    subprocess.run(
        [peer_environment(), folder / "fill.py", url, folder / "trials.json"], check=True, capture_output=True
    )
    return url


def _value(type_: ParameterType, text: str) -> object:
    return text if type_ is ParameterType.CATEGORICAL else int(text) if type_ is ParameterType.INT else float(text)


def show(name: str, seen: list[Seen]) -> None:
    times = sorted(s.seconds for s in seen)
    print(
        f"{name:18} usable after {statistics.median(times):.2f} s ({times[0]:.2f} to {times[-1]:.2f}), "
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
    with tempfile.TemporaryDirectory(prefix="katib-bench-") as name, sync_playwright() as playwright:
        folder = Path(name)
        storage = open_storage(f"sqlite:///{folder}/katib.db")
        study, running = seed(storage, given.trials, given.studies)
        storage.close()
        http, pages, peer = (free_port() for _ in range(3))
        address = f"unix:{folder}/m"
        base, health = f"http://127.0.0.1:{pages}", f"http://127.0.0.1:{http}/readyz"
        manager = ("--listen", address, "--http", f"127.0.0.1:{http}", "--database", f"sqlite:///{folder}/katib.db")
        with (
            started(BIN / "katib-manager", *manager, "--data", folder / "data", ready=health),
            started(BIN / "katib-dashboard", "-s", address, "--listen", f"127.0.0.1:{pages}", ready=f"{base}/"),
            ManagerClient(address, 60) as client,
        ):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            ours = ("#trial-table tbody tr", "[data-chart=history] canvas")
            url = f"{base}/studies/{study}"
            print(
                f"{given.trials} trials, {given.runs} times from an empty cache; load average {os.getloadavg()[0]:.1f}"
            )
            if given.without_peer:
                show("katib-dashboard", [look(browser, url, ours) for _ in range(given.runs)])
                show("... all trials", [look(browser, url, ("#study[data-ready]",)) for _ in range(given.runs)])
            else:
                database = fill_peer(folder, client, study)
                program = peer_environment().with_name("optuna-dashboard")
                theirs = (".js-plotly-plot .main-svg",)
                with started(program, database, "--port", str(peer), ready=f"http://127.0.0.1:{peer}/"):
                    mine, others = [], []
                    # In turn, so that both meet the same machine.
                    for _ in range(given.runs):
                        mine.append(look(browser, url, ours))
                        others.append(look(browser, f"http://127.0.0.1:{peer}/dashboard/studies/1", theirs))
                show("katib-dashboard", mine)
                show("optuna-dashboard", others)
            quiet, changed = updates(browser, url, study, client, running)
            print(f"a look for changes moves {quiet:.0f} bytes, {changed:.0f} with one trial that has ended")
            print(f"the page of {given.studies + 1} studies takes {answers(base + '/') * 1000:.0f} ms")
            print(f"the same, sorted and searched: {answers(base + '/?q=bench&sort=-best') * 1000:.0f} ms")
            browser.close()


if __name__ == "__main__":
    main()
