"""The benchmark of the controller: a run of it, small."""

import argparse

import pytest

from benchmarks.controller import __main__ as bench


@pytest.mark.slow
def test_a_manager_runs_trials_on_the_simulated_worker_and_what_it_costs_is_told() -> None:
    options = argparse.Namespace(
        studies=4, parallel=3, seconds=1.0, reports=2, idle=1.0, windows=2, window=3.0, patience=60.0, database=""
    )
    found = bench.measure(options)
    first, last = found["windows"]  # type: ignore[misc]
    assert last["finished_before"] > first["finished_before"]
    assert 0 < last["p50_ms"] <= last["p99_ms"] <= last["most_ms"]
    # Twelve runs of a second each at a time.
    assert 4 < last["ends_per_s"] < 16
    assert found["memory_running_mib"] > 20  # type: ignore[operator]


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(i) for i in range(1, 101)]
    assert (bench.percentile(values, 0.5), bench.percentile(values, 0.99)) == (51.0, 100.0)
    assert bench.percentile([3.0], 0.99) == 3.0
