"""Callers are served in turns: whoever has many calls waiting holds up itself."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from katib.api.callers import Asker
from katib.api.later import Later
from katib.api.rates import BURST_S, Rates
from katib.api.turns import Turns
from katib.domain.effort import spend_for_others, waiting
from katib.domain.errors import ResourceExhaustedError
from tests.waiting import compute, until

S = 30


def asker(name: str, *, trial: bool = False) -> Asker:
    return Asker(name, name, name, trial)


@pytest.fixture
def later() -> Iterator[Later]:
    it = Later()
    yield it
    it.close()


class Work:
    """Calls that say that they have begun, and some that wait until they may end."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.gate = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def note(self, name: str) -> None:
        self.order.append(name)

    def hold(self, _name: str) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.gate.wait(S)
        with self._lock:
            self.running -= 1


def offered(turns: Turns, who: Asker, function: object, count: int) -> list[object]:
    return [turns.offer(who, function, (who.name,)) for _ in range(count)]  # type: ignore[arg-type]


def test_one_who_comes_late_does_not_wait_for_all_that_another_has_waiting(later: Later) -> None:
    turns, work = Turns(later, threads=1), Work()
    (held,) = offered(turns, asker("ann"), work.hold, 1)
    until(lambda: work.running)
    calls = offered(turns, asker("ann"), work.note, 20)
    calls += offered(turns, asker("bob"), work.note, 5)
    work.gate.set()
    for call in (held, *calls):
        call.result(S)  # type: ignore[attr-defined]
    # They alternate, but for the first, whose held call has cost its caller something.
    assert work.order.index("bob") <= 1
    assert max(i for i, name in enumerate(work.order) if name == "bob") <= 11
    turns.close()


def test_a_caller_never_has_all_threads_and_beside_others_its_share(later: Later) -> None:
    turns, work = Turns(later, threads=6), Work()
    offered(turns, asker("ann"), work.hold, 20)
    until(lambda: work.running == 4)
    bobs = Work()
    offered(turns, asker("bob"), bobs.hold, 20)
    until(lambda: bobs.running == 2)
    time.sleep(0.1)
    assert (work.most, bobs.most) == (4, 2)
    work.gate.set()
    bobs.gate.set()
    turns.close()


@pytest.mark.long
def test_calls_that_come_at_once_are_all_begun_though_none_ends(later: Later) -> None:
    for _ in range(50):
        turns, work = Turns(later, threads=6), Work()
        offered(turns, asker("ann"), work.hold, 4)
        until(lambda work=work: work.running == 4)
        work.gate.set()
        turns.close()


@pytest.mark.long
def test_a_crowd_gets_one_call_at_a_time_beside_others_and_all_of_them_in_the_end(later: Later) -> None:
    turns, work = Turns(later, threads=6), Work()
    (first,) = offered(turns, asker("bob"), work.note, 1)
    first.result(S)  # type: ignore[attr-defined]
    crowd = Work()
    calls = offered(turns, asker("ann"), crowd.hold, 100)
    until(lambda: crowd.running)
    stop = threading.Event()

    def keep_calling() -> None:
        while not stop.wait(0.05):
            turns.offer(asker("bob"), work.note, ("bob",))

    other = threading.Thread(target=keep_calling)
    other.start()
    begun = crowd.most
    time.sleep(0.3)
    # What had begun before it was a crowd goes on.
    assert crowd.most == begun <= 4
    crowd.gate.set()
    stop.set()
    other.join()
    for call in calls:
        call.result(S)  # type: ignore[attr-defined]
    turns.close()


@pytest.mark.long
def test_who_makes_long_calls_beside_others_that_work_makes_one_at_a_time_and_pauses(later: Later) -> None:
    turns, begun, running, most = Turns(later, threads=6), [], [0], [0]
    lock, stop = threading.Lock(), threading.Event()

    def long_call() -> None:
        with lock:
            begun.append(time.monotonic())
            running[0] += 1
            most[0] = max(most[0], running[0])
        compute(0.03)
        with lock:
            running[0] -= 1

    def keep_calling() -> None:
        while not stop.is_set():
            turns.offer(asker("bob"), compute, (0.005,)).result(S)  # type: ignore[union-attr]

    other = threading.Thread(target=keep_calling)
    other.start()
    until(lambda: turns._shares.total > 0.1)
    # What its calls cost is known after some, and the first of them are free.
    for _ in range(3):
        turns.offer(asker("ann"), long_call, ()).result(S)  # type: ignore[union-attr]
    assert turns._shares.callers["ann"].not_before == 0.0
    turns.offer(asker("ann"), compute, (0.8,)).result(S)  # type: ignore[union-attr]
    until(lambda: turns._shares.callers["ann"].not_before > 0.0)
    calls = [turns.offer(asker("ann"), long_call, ()) for _ in range(4)]
    for call in calls:
        call.result(S)  # type: ignore[union-attr]
    stop.set()
    other.join()
    assert most == [1]
    # Nine times as long as they took, which is at least so much; bob has had more than a tenth of the time.
    assert all(later_ - earlier >= 0.25 for earlier, later_ in pairwise(begun[3:]))
    turns.close()


def test_calls_are_known_for_long_ones_before_the_first_has_ended(later: Later) -> None:
    turns, over = Turns(later, threads=6), threading.Event()

    def compute_on() -> None:
        while not over.is_set():
            pass

    turns.offer(asker("ann"), compute_on, ())
    until(lambda: turns._shares.has_long(turns._shares.callers["ann"], time.monotonic()))
    work = Work()
    offered(turns, asker("ann"), work.hold, 6)
    until(lambda: work.running == 1)
    time.sleep(0.1)
    assert work.most == 1
    over.set()
    work.gate.set()
    turns.close()


def test_what_a_call_computes_for_others_does_not_count_as_its_callers(later: Later) -> None:
    def for_others() -> None:
        compute(0.05)
        spend_for_others(0.05)

    totals = []
    for call in (for_others, lambda: compute(0.05)):
        turns = Turns(later, threads=6)
        turns.offer(asker("ann"), call, ()).result(S)  # type: ignore[union-attr]
        until(lambda turns=turns: turns._shares.callers["ann"].running == 0)
        totals.append(turns._shares.callers["ann"].total)
        turns.close()
    assert totals[0] < 0.025
    assert totals[1] >= 0.05


def test_who_makes_long_calls_alone_makes_no_pause_and_two_at_once(later: Later) -> None:
    turns = Turns(later, threads=6)
    for _ in range(5):
        turns.offer(asker("ann"), compute, (0.03,)).result(S)  # type: ignore[union-attr]
    assert turns._shares.callers["ann"].not_before == 0.0
    work = Work()
    offered(turns, asker("ann"), work.hold, 6)
    until(lambda: work.running == 2)
    time.sleep(0.1)
    assert work.most == 2
    work.gate.set()
    turns.close()


@pytest.mark.long
@pytest.mark.parametrize("beside_others", [False, True])
def test_a_long_call_that_waits_for_somebody_else_does_not_hold_up_its_callers_next(
    later: Later, *, beside_others: bool
) -> None:
    turns, work = Turns(later, threads=6), Work()

    def ask_a_service(name: str) -> None:
        with waiting():
            work.hold(name)

    for _ in range(5):
        turns.offer(asker("ann"), compute, (0.03,)).result(S)  # type: ignore[union-attr]
    if beside_others:
        turns.offer(asker("bob"), work.note, ("bob",)).result(S)  # type: ignore[union-attr]
    # Its share of the threads, of which the calls that wait take all but one: that one is the next short call's.
    share = 3 if beside_others else 4
    calls = offered(turns, asker("ann"), ask_a_service, share - 1)
    until(lambda: work.running == share - 1)
    offered(turns, asker("ann"), work.note, 1)[0].result(S)  # type: ignore[attr-defined]
    # Those that do not wait are one or two at a time as before, and threads are shared as before.
    calls += offered(turns, asker("ann"), ask_a_service, 3)
    until(lambda: work.running == share)
    time.sleep(0.1)
    assert work.most == share
    work.gate.set()
    for call in calls:
        call.result(S)  # type: ignore[attr-defined]
    until(lambda: turns._shares.callers["ann"].running == 0)
    assert turns._shares.callers["ann"].waiting == 0
    turns.close()


def test_places_are_counted_for_each_and_in_all(later: Later) -> None:
    turns, work = Turns(later, threads=1, waiting=5, waiting_of_caller=3), Work()
    offered(turns, asker("ann"), work.hold, 1)
    until(lambda: work.running)
    last = offered(turns, asker("ann"), work.note, 4)[-1]
    assert isinstance(last, ResourceExhaustedError)
    assert "ann has 3 calls waiting" in last.message
    assert last.retry_after
    last = offered(turns, asker("bob"), work.note, 3)[-1]
    assert isinstance(last, ResourceExhaustedError)
    assert last.message.startswith("5 calls wait for this manager")
    work.gate.set()
    turns.close()


def test_what_waits_when_it_closes_is_cancelled(later: Later) -> None:
    turns, work = Turns(later, threads=1), Work()
    offered(turns, asker("ann"), work.hold, 1)
    until(lambda: work.running)
    (waiting,) = offered(turns, asker("ann"), work.note, 1)
    turns.close()
    work.gate.set()
    assert waiting.cancelled()  # type: ignore[attr-defined]
    assert offered(turns, asker("bob"), work.note, 1)[0].cancelled()  # type: ignore[attr-defined]


def test_callers_that_have_gone_are_forgotten(later: Later) -> None:
    now = [0.0]
    turns, work = Turns(later, threads=1, clock=lambda: now[0]), Work()
    for i in range(300):
        now[0] += 0.1
        (call,) = offered(turns, asker(f"caller {i}"), work.note, 1)
        call.result(S)  # type: ignore[attr-defined]
    assert len(turns._shares.callers) < 30
    turns.close()


def test_a_rate_lets_a_burst_through_and_then_says_how_long_to_wait() -> None:
    rates = Rates()
    let = 0
    while not rates.wait("ann", 10, 100.0):
        let += 1
    assert let == 10 * BURST_S + 1
    wait = rates.wait("ann", 10, 100.0)
    assert 0 < wait <= 0.1
    assert rates.wait("bob", 10, 100.0) == 0
    assert rates.wait("ann", 10, 100.0 + wait) == 0


def test_rates_remember_so_many_callers_and_no_more() -> None:
    rates = Rates(most=10)
    for i in range(1000):
        rates.wait(str(i), 1, 0.0)
    assert len(rates._until) == 10


def test_what_is_to_be_done_later_is_done_in_the_order_of_its_times(later: Later) -> None:
    done: list[int] = []
    now = time.monotonic()
    later.at(now + 0.2, lambda: done.append(2))
    later.at(now + 0.1, lambda: done.append(1))
    later.at(now, lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    until(lambda: done == [1, 2])
