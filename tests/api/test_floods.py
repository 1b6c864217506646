"""Who goes on calling though there is no place for its calls is served least, for as long as it does."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from katib.api.admission import Admission, CallLimits
from katib.api.callers import Asker
from katib.api.later import Later
from katib.api.turns import Turns
from katib.domain.effort import for_flood, waiting
from katib.domain.errors import ResourceExhaustedError
from tests.waiting import compute, until

S = 30
ANN, BOB = Asker("ann", "ann", "ann"), Asker("bob", "bob", "bob")
TRIAL = Asker("trial", "trial", "trial", trial=True)


class Times(Later):
    """Does nothing by itself: the clock goes to the time of the next thing when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.added = threading.Semaphore(0)

    def at(self, when: float, do: Callable[[], None]) -> None:
        self.due.append((when, do))
        self.added.release()

    def go_on(self) -> float:
        """How long it was until the next thing, which is begun with."""
        assert self.added.acquire(timeout=S)
        when, do = self.due.pop(0)
        took, self.now = when - self.now, when
        do()
        return took


@pytest.fixture
def times() -> Times:
    return Times()


def pauses(times: Times, who: Asker, calls: int, cost: float, places: int = 0) -> list[float]:
    """Between calls that cost so much, of one that has so many of them waiting beside another who calls now and then."""
    turns = Turns(times, threads=2, waiting_of_caller=places, clock=lambda: times.now)
    turns.offer(BOB, compute, (0.0,)).result(S)  # type: ignore[union-attr]
    all_there = threading.Event()

    def work() -> None:
        # The pause after a call depends on how many there are when it ends.
        all_there.wait(S)
        compute(cost)

    for _ in range(calls):
        turns.offer(who, work, ())
    all_there.set()
    found = []
    for _ in range(3):
        turns.offer(BOB, compute, (0.0,)).result(S)  # type: ignore[union-attr]
        found.append(times.go_on())
    turns.close()
    return found


def test_a_crowd_that_was_refused_a_place_pauses_longer_than_one_that_was_not(times: Times) -> None:
    cost = 0.005
    assert all(19 * cost <= pause for pause in pauses(times, ANN, 90, cost))
    assert all(49 * cost <= pause for pause in pauses(Times(), ANN, 190, cost, places=90))


def test_a_flood_is_one_also_after_a_pause_in_which_nothing_new_came_of_it(times: Times) -> None:
    # Each of these is longer than a flood is remembered after its last call.
    assert all(pause >= 49 * 0.12 for pause in pauses(times, ANN, 190, 0.12, places=90))


def test_of_a_flood_few_calls_wait_for_a_service_at_once_and_their_pauses_add_up(times: Times) -> None:
    turns = Turns(times, threads=24, clock=lambda: times.now)
    turns.offer(BOB, compute, (0.0,)).result(S)  # type: ignore[union-attr]
    turns.flooded(ANN)
    gate, begun = threading.Event(), []

    def ask() -> None:
        begun.append(None)
        with waiting():
            gate.wait(S)
        compute(0.005)

    for _ in range(20):
        turns.offer(ANN, ask, ())
    ann = turns._shares.callers["ann"]
    until(lambda: ann.waiting == 4)
    time.sleep(0.1)
    assert len(begun) == 4
    gate.set()
    until(lambda: ann.running == 0)
    assert ann.not_before - times.now >= 4 * 49 * 0.005
    turns.close()


def test_who_is_refused_one_call_because_others_have_all_places_does_not_flood(times: Times) -> None:
    turns, gate = Turns(times, threads=1, waiting=3, clock=lambda: times.now), threading.Event()
    turns.offer(BOB, gate.wait, (S,))
    until(lambda: turns._shares.callers["bob"].running == 1)
    for _ in range(3):
        assert isinstance(turns.offer(BOB, gate.wait, (S,)), Future)
    assert isinstance(turns.offer(ANN, compute, (0.0,)), ResourceExhaustedError)
    assert not turns.floods(ANN)
    gate.set()
    turns.close()


def test_trials_of_which_many_wait_do_not_flood(times: Times) -> None:
    turns = Turns(times, threads=2, waiting_of_caller=90, clock=lambda: times.now)
    gate = threading.Event()
    for _ in range(190):
        turns.offer(TRIAL, gate.wait, (S,))
    turns.offer(BOB, gate.wait, (S,))
    assert not turns.floods(TRIAL)
    gate.set()
    turns.close()


def test_a_flood_is_over_a_while_after_its_last_call_is_answered(times: Times) -> None:
    turns = Turns(times, threads=2, waiting_of_caller=1, clock=lambda: times.now)
    gate = threading.Event()
    calls = [turns.offer(ANN, gate.wait, (S,)) for _ in range(20)]
    assert turns.floods(ANN)
    gate.set()
    for call in calls:
        if isinstance(call, Future):
            call.result(S)
    times.now += 4
    assert turns.floods(ANN)
    times.now += 2
    assert not turns.floods(ANN)
    turns.close()


def test_a_flood_that_is_alone_has_two_calls_in_hand_so_that_few_are_in_the_way_of_who_comes_next(times: Times) -> None:
    turns = Turns(times, threads=12, waiting_of_caller=90, clock=lambda: times.now)
    turns.flooded(ANN)
    gate, begun = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        gate.wait(S)

    for _ in range(50):
        turns.offer(ANN, hold, ())
    assert begun.acquire(timeout=S)
    assert begun.acquire(timeout=S)
    assert not begun.acquire(timeout=0.1)
    gate.set()
    turns.close()


def test_after_a_flood_has_begun_others_count_longer_than_they_are_seen(times: Times) -> None:
    """While a thousand calls are taken in, another's next one waits to be."""
    turns = Turns(times, threads=6, waiting_of_caller=90, clock=lambda: times.now)
    turns.offer(BOB, compute, (0.0,)).result(S)  # type: ignore[union-attr]
    times.now += 2
    gate, begun = threading.Event(), []

    def hold() -> None:
        begun.append(1)
        gate.wait(S)

    for _ in range(190):
        turns.offer(ANN, hold, ())
    before = len(begun)
    time.sleep(0.1)
    # What had begun before it was known for a flood goes on; four of six threads may be its own.
    assert len(begun) <= max(before, 4)
    gate.set()
    deadline = time.monotonic() + S
    while turns._shares.callers["ann"].running:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert not turns._shares.is_alone(turns._shares.callers["ann"], times.now)
    turns.close()


class Calls:
    """Offers calls as gRPC does, of a caller whose name is its address."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._pool = ThreadPoolExecutor(4)

    def args(self, who: str) -> tuple[Any, ...]:
        peer = f"ipv4:{who}:1".encode()
        return (SimpleNamespace(invocation_metadata=(), call=SimpleNamespace(peer=lambda: peer)),)

    def unary(self, who: str, fn: Callable[..., Any]) -> "Future[Any]":
        return self._admission.offer(self._admission.unary(), fn, self.args(who))

    def stream(self, who: str, fn: Callable[..., Any]) -> "Future[Any]":
        return self._admission.open(self._admission.stream(self._pool), self._pool, fn, self.args(who))


@pytest.fixture
def admission(request: pytest.FixtureRequest) -> Iterator[Admission]:
    it = Admission(lambda _token, address: Asker(address, address, address), request.param)
    yield it
    it.close()


LIMITED = [CallLimits(rate_of_caller=20)]


@pytest.mark.parametrize("admission", LIMITED, indirect=True)
def test_a_stream_knows_whether_its_caller_goes_on_calling_though_it_is_refused(admission: Admission) -> None:
    calls, asked = Calls(admission), threading.Event()

    def stream(_event: Any) -> bool:
        assert asked.wait(S)
        return for_flood()

    anns, bobs = calls.stream("ann", stream), calls.stream("bob", stream)
    for _ in range(250):
        calls.unary("ann", lambda _event: None)
    for _ in range(60):
        calls.unary("bob", lambda _event: None)
    asked.set()
    assert anns.result(S)
    # It was refused too, but not so often.
    assert not bobs.result(S)
    assert not for_flood()
