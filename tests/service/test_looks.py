"""Of those that watch, one stream of a caller looks at a time, and a caller's streams together take little beside others."""

import threading
import time
from collections.abc import Callable

import pytest

from katib.domain.effort import working_for
from katib.manager.service.looks import Looks
from tests.e2e.harness import until
from tests.waiting import compute

S = 30


def never() -> bool:
    return False


class Watcher:
    """Looks once, for as long as it is let."""

    def __init__(self, looks: Looks, caller: str, ended: Callable[[], bool] = never) -> None:
        self.looked = threading.Event()
        self.may_leave = threading.Event()
        self.was_let: list[bool] = []
        self._how = looks, caller, ended
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        self.may_leave.set()
        self._thread.join(S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        looks, caller, ended = self._how
        with looks.of(caller, ended) as may:
            self.was_let.append(may)
            if may:
                self.looked.set()
                self.may_leave.wait(S)


def test_two_streams_of_a_caller_never_look_at_once_and_another_callers_does() -> None:
    looks = Looks()
    anns, other = [Watcher(looks, "ann") for _ in range(3)], Watcher(looks, "bob")
    assert other.looked.wait(S)
    other.leave()
    for _ in range(3):
        first = until(lambda: next((w for w in anns if w.looked.is_set()), None), S)
        time.sleep(0.1)
        assert [w for w in anns if w.looked.is_set()] == [first]
        first.leave()
        anns.remove(first)
    assert not anns


def test_of_all_callers_a_few_look_at_once() -> None:
    looks = Looks(at_once=2)
    watchers = [Watcher(looks, f"caller {i}") for i in range(5)]
    looking = until(lambda: w if len(w := [w for w in watchers if w.looked.is_set()]) == 2 else None, S)
    time.sleep(0.1)
    assert [w for w in watchers if w.looked.is_set()] == looking
    for watcher in watchers:
        watcher.may_leave.set()
    for watcher in watchers:
        watcher.leave()
    assert [w.was_let for w in watchers] == [[True]] * 5


@pytest.mark.long
def test_who_has_left_meanwhile_does_not_look_and_leaves_its_place() -> None:
    looks = Looks()
    first = Watcher(looks, "ann")
    assert first.looked.wait(S)
    left = threading.Event()
    second = Watcher(looks, "ann", left.is_set)
    left.set()
    until(lambda: second.was_let == [False], S)
    third = Watcher(looks, "ann")
    first.leave()
    assert third.looked.wait(S)
    third.leave()


def test_an_error_in_a_look_leaves_the_place() -> None:
    looks = Looks(at_once=1)
    with pytest.raises(ZeroDivisionError), looks.of("ann", never):
        raise ZeroDivisionError
    third = Watcher(looks, "ann")
    assert third.looked.wait(S)
    third.leave()


@pytest.mark.long
def test_beside_others_a_caller_pauses_nine_times_as_long_as_it_looked() -> None:
    looks = Looks(used=time.monotonic)  # the processor is never idle
    time.sleep(0.6)
    with looks.of("ann", never) as may:
        assert may
        compute(0.05)
    ended = time.monotonic()
    bob = Watcher(looks, "bob")
    # It does not wait for the end of another's pause.
    assert bob.looked.wait(S)
    bob.leave()
    with looks.of("ann", never) as may:
        assert may
        assert time.monotonic() - ended >= 0.4


@pytest.mark.long
def test_a_caller_that_floods_pauses_for_longest() -> None:
    looks = Looks(used=time.monotonic)
    time.sleep(0.6)
    with working_for(lambda: True):
        with looks.of("ann", never):
            compute(0.02)
        ended = time.monotonic()
        with looks.of("ann", never) as may:
            assert may
            assert time.monotonic() - ended >= 0.9


@pytest.mark.long
def test_with_many_streams_that_wait_a_caller_pauses_for_longer() -> None:
    looks = Looks(used=time.monotonic)
    time.sleep(0.6)
    over = threading.Event()
    with looks.of("ann", never):
        many = [Watcher(looks, "ann", over.is_set) for _ in range(20)]
        until(lambda: looks._turns["ann"].users == 21, S)
        compute(0.05)
        before = time.monotonic()
    assert looks._turns["ann"].not_before - before >= 0.05 * 15
    over.set()
    for watcher in many:
        watcher.leave()
    assert [w.was_let for w in many] == [[False]] * 20


@pytest.mark.long
def test_alone_a_caller_makes_no_pause_and_nothing_is_kept_of_it() -> None:
    looks = Looks(used=lambda: 0.0)
    time.sleep(0.6)
    with looks.of("ann", never):
        compute(0.05)
    assert looks._turns == {}
