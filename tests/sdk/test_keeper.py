"""The thread of a loop, which sends what is reported and signs of life for one trial after the other."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import katib
from katib.api.client import ManagerClient
from katib.sdk.held import Held, Keeper
from tests.e2e.harness import World, until, world

LEASE = timedelta(seconds=1)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("keeper")) as it:
        it.suggestion("random")
        it.manager()
        yield it


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments = {"max_trials": 3, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, maximize="acc", server=it.address, **arguments)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "katib-lease"}


@pytest.fixture
def others() -> set[threading.Thread]:
    """Threads of loops that other tests have left in the middle of a call."""
    return threads()


def held_with(give_sign: Callable[[], None]) -> Held:
    held = Held(ManagerClient("unix:/nowhere/at/all"), "t000000000000000", 1)
    held.give_sign = give_sign  # type: ignore[method-assign]
    return held


def test_a_loop_has_one_thread_for_all_its_trials_and_none_once_it_is_over(
    it: World, others: set[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No call of it is under way when the next trial begins.
    monkeypatch.setattr("katib.sdk.held._INTERVAL_S", 3600.0)
    study = create(it, "one thread", max_trials=4)
    seen = set()
    for trial in study.trials():
        mine = threads() - others
        assert len(mine) == 1
        seen |= mine
        trial.report(acc=0.5)
    assert len(seen) == 1
    assert until(lambda: not threads() - others)


def test_a_loop_that_is_left_leaves_no_thread(it: World, others: set[threading.Thread]) -> None:
    study = create(it, "left", max_trials=5)
    trials = study.trials()
    assert not threads() - others
    next(trials).report(acc=0.5)
    assert threads() - others
    trials.close()  # type: ignore[attr-defined]
    assert until(lambda: not threads() - others)
    for trial in study.trials():
        trial.report(acc=0.5)
        break
    del trial
    assert until(lambda: not threads() - others)
    with pytest.raises(ZeroDivisionError):
        study.run(lambda _trial: 1 / 0)
    assert until(lambda: not threads() - others)


@pytest.mark.long
def test_a_call_about_the_trial_before_that_hangs_does_not_keep_the_next_one_waiting(
    others: set[threading.Thread],
) -> None:
    hangs, goes_on, signs = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        assert goes_on.wait(120)

    try:
        with Keeper(LEASE) as keeper:
            keeper.keep(held_with(hang))
            assert hangs.wait(60)
            keeper.let_go()
            keeper.keep(held_with(signs.set))
            assert signs.wait(60)
            # The one that comes back late has nothing to say any more.
            goes_on.set()
            assert until(lambda: len(threads() - others) == 1)
            signs.clear()
            assert signs.wait(60)
    finally:
        goes_on.set()
    assert until(lambda: not threads() - others)


@pytest.mark.long
def test_a_trial_that_was_let_go_is_given_no_sign_of(others: set[threading.Thread]) -> None:
    first: list[int] = []
    second: list[int] = []
    with Keeper(LEASE) as keeper:
        keeper.keep(held_with(lambda: first.append(1)))
        until(lambda: first)
        keeper.let_go()
        keeper.keep(held_with(lambda: second.append(1)))
        there = len(first)
        until(lambda: len(second) > 1)
        # At most the one that was under way.
        assert len(first) <= there + 1
    assert until(lambda: not threads() - others)


@pytest.mark.slow
def test_the_leases_of_trials_that_came_with_the_end_of_another_are_kept_too(it: World) -> None:
    study = create(it, "kept", max_trials=2)
    with it.client() as client:
        for trial in study.trials(lease=2.0):
            time.sleep(3.0)
            seen = client.get_trial(trial.id).trial
            assert (seen.reason, seen.attempt) == ("", 1)
            trial.report(acc=0.5)
    assert [r.state for r in study.results()] == ["COMPLETED", "COMPLETED"]


FORKS = """
import os, signal, sys, threading
import katib, katib.sdk.loop
from katib.sdk.held import Keeper

keepers = []

class Noted(Keeper):
    def __enter__(self):
        keepers.append(self)
        return super().__enter__()

katib.sdk.loop.Keeper = Noted
study = katib.open_study(sys.argv[2], server=sys.argv[1])

def body():
    parent = os.getpid()
    for trial in study.trials():
        if os.getpid() != parent:
            return 3
        trial.report(acc=0.5)
        if sys.argv[3] == "ended":
            trial.complete()
        held, forked = threading.Event(), threading.Event()

        def hold():
            with keepers[0]._changed:
                held.set()
                forked.wait()

        # As the loop's own thread may have it at that moment.
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        child = os.fork()
        forked.set()
        if not child:
            # Ends it where it hangs.
            signal.alarm(60)
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
        elif sys.argv[3] == "left":
            return 4
    return 0

try:
    code = body()
except katib.KatibError as error:
    assert "forked" in str(error), error
    code = 4
os._exit(code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["goes on", "ended", "left"])
def test_a_forked_child_that_comes_to_the_end_of_the_body_is_told_so_and_waits_for_nothing(it: World, how: str) -> None:
    study = create(it, f"forks {how}", max_trials=1)
    words = [sys.executable, "-c", FORKS, it.address, study.id, how]
    done = subprocess.run(words, check=False, timeout=100, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [r.state for r in study.results()] == ["COMPLETED"]
