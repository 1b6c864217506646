"""The benchmark of the controller: a run of it, small."""

import argparse

import pytest

from benchmarks.controller import __main__ as bench


@pytest.mark.slow
def test_a_manager_runs_trials_on_the_simulated_worker_and_what_it_costs_is_told() -> None:
    options = argparse.Namespace(
        studies=4,
        parallel=3,
        seconds=1.0,
        reports=2,
        idle=1.0,
        windows=2,
        window=3.0,
        late=30.0,
        patience=60.0,
        database="",
    )
    found = bench.measure(options)
    first, last = found["windows"]  # type: ignore[misc]
    assert last["finished_before"] > first["finished_before"]
    assert 0 < last["p50_ms"] <= last["p99_ms"] <= last["most_ms"]
    # Twelve runs of a second each at a time.
    assert 4 < last["ends_per_s"] < 16
    assert last["not_stored"] == 0
    assert found["memory_running_mib"] > 20  # type: ignore[operator]


def test_an_end_that_is_not_stored_yet_counts_with_its_age() -> None:
    rows = [["a", "9.0"], ["b", "10.0"], ["b", "10.0", "0.25"], ["c", "11.0"], ["d", "20.0"], ["d", "20.0", "0.1"]]
    assert bench.told(rows, 10.0, 20.0, 41.0) == ([0.25, 30.0], 1)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(i) for i in range(1, 101)]
    assert (bench.percentile(values, 0.5), bench.percentile(values, 0.99)) == (51.0, 100.0)
    assert bench.percentile([3.0], 0.99) == 3.0
