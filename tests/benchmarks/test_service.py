"""The benchmark of the manager's speed: a run of it, small, and what is said of its results."""

import json
import subprocess
import sys
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from benchmarks.service import plot, processor, report, results, systems, work
from katib.domain.trial import TrialState
from katib.manager.ports import TrialFilter
from katib.manager.storage.open import open_storage
from tests.e2e.harness import until


def row(system: str, rate: float, *, round_: int = 1, trials: int = 100, clients: int = 8) -> results.Row:
    return results.Row(round_, system, trials, clients, 10, 1.0, rate, 1.0, 2.0, 0.5, 0.0)


@pytest.mark.slow
def test_clients_run_trials_of_a_study_that_was_filled_and_each_loop_is_a_trial_that_completed(tmp_path):
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/katib.db"
        system = systems.start_katib(stack, work.KATIB_SQLITE, url)
        study = system.fill(100)
        found = system.measure(study, 3, 1.0)
        with closing(open_storage(url)) as storage:
            after = storage.get_study(study)
            (last,) = storage.list_trials(TrialFilter(study, newest_first=True), 1, "").items
            reported, _ = storage.latest_observations(last.id, 10)
    assert found["loops"] >= 3
    # One more with which the manager was told of those that were there.
    assert (after.completed, after.suggested) == (101 + found["loops"], 101 + found["loops"])
    assert last.state is TrialState.COMPLETED
    assert [o.name for o in reported] == [name for name, _ in work.METRICS]


def test_a_client_that_fails_ends_the_measurement_with_its_error():
    with ExitStack() as stack:
        generator = systems.Talker(
            stack, sys.executable, "-m", "benchmarks.service.generator", "loop_echo", "localhost:1"
        )
        with pytest.raises(RuntimeError, match=r"(?s)test: .*UNAVAILABLE"):
            systems.System("test", lambda _: "s", [generator]).measure("s", 2, 0.1)


def test_a_ratio_is_of_measurements_of_the_same_round():
    rows = [row(work.KATIB_SQLITE, 100, round_=1), row(work.ECHO, 200, round_=1)]
    rows += [
        row(work.KATIB_SQLITE, 300, round_=2),
        row(work.ECHO, 400, round_=2),
        row(work.KATIB_SQLITE, 900, round_=3),
    ]
    assert results.ratio(rows, work.KATIB_SQLITE, work.ECHO, 100, 8) == results.Spread(0.625, 0.5, 0.75)
    assert results.ratio(rows, work.KATIB_SQLITE, work.VIZIER, 100, 8) is None


def test_a_run_that_broke_off_goes_on_with_the_next_round(tmp_path):
    path = tmp_path / "results.jsonl"
    assert results.next_round(path) == 1
    results.add(path, row(work.ECHO, 5.0, round_=3))
    assert results.read(path) == [row(work.ECHO, 5.0, round_=3)]
    assert results.next_round(path) == 4
    assert json.loads(path.read_text())["system"] == work.ECHO


def test_the_processor_that_a_loop_takes_is_that_of_every_process_below():
    before = processor.seconds()
    child = subprocess.Popen(
        [sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass\ninput()"], stdin=subprocess.PIPE
    )
    try:
        until(lambda: processor.seconds() - before >= 0.25)
    finally:
        child.communicate(b"\n")
    rows = [replace(row(work.ECHO, 5.0), processor_ms=p) for p in (2.0, 0.0, 4.0)]
    assert results.processor(rows, work.ECHO, 100, 8) == [2.0, 4.0]
    assert "| three gRPC calls that do nothing | 3.0 ms (2.0 to 4.0) |" in report.markdown(rows)


def test_the_page_gets_a_table_and_a_picture_between_its_marks(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    rows = [row(name, 10.0 * (i + 1), trials=n) for i, name in enumerate(work.SYSTEMS) for n in (100, 1000)]
    report.write(rows, tmp_path)
    text = page.read_text()
    assert text.startswith(f"before\n{report.BEGIN}")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert "| Katib on SQLite | 10 | 10 |" in text
    assert "| Katib on MariaDB : Vizier | 1,000 | 0.25 (0.25 to 0.25) |" in text
    assert (tmp_path / "service.svg").read_text() == plot.svg(rows)
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no lines"):
        report.write(rows, tmp_path)
