"""Clients that wait in line for a suggestion service."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from katib.domain.effort import tell_waits
from katib.domain.errors import InvalidArgumentError, KatibError, UnavailableError
from katib.manager.service.lines import Lines, Want
from tests.e2e.harness import until


class Service:
    """Answers when it is let, one want by the others that were served with it."""

    def __init__(self) -> None:
        self.served: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.failure: KatibError | None = None

    def serve(self, wants: Sequence[Want]) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=60)
        if self.failure is not None:
            raise self.failure
        self.served.append([want.client_id for want in wants])
        for want in wants:
            want.answer = (), True


Answer = Future[object]


class Clients:
    def __init__(self, lines: Lines, pool: ThreadPoolExecutor) -> None:
        self.lines = lines
        self.pool = pool
        self.service = Service()

    def ask(self, name: str, count: int = 1, seconds: float = 60, study: str = "s") -> Answer:
        want, end = Want(name, count, None), time.monotonic() + seconds
        return self.pool.submit(self.lines.ask, study, "tpe", want, end, 10, self.service.serve)

    def queue(self, names: str, count: int = 1) -> list[Answer]:
        asked = []
        for i, name in enumerate(names, start=1):
            asked.append(self.ask(name, count))
            until(lambda i=i: self.lines.waiting("s", "tpe") == i)  # type: ignore[misc]
        return asked


def clients(pool: ThreadPoolExecutor, most: int = 8) -> Clients:
    return Clients(Lines(most, 0.05), pool)


def test_all_that_wait_are_served_together_and_who_comes_meanwhile_next() -> None:
    with ThreadPoolExecutor(8) as pool:
        it = clients(pool)
        asked = [it.ask("a")]
        assert it.service.begun.acquire(timeout=60)
        asked += it.queue("bcd")
        it.service.go.release()
        assert it.service.begun.acquire(timeout=60)
        asked += it.queue("e")
        it.service.go.release(2)
        assert [one.result(60) for one in asked] == [((), True)] * 5
        assert it.service.served == [["a"], ["b", "c", "d"], ["e"]]


def test_who_waits_in_line_says_so_to_whom_its_thread_works_for() -> None:
    told: list[bool] = []
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1, initializer=tell_waits, initargs=(told.append,)) as other:
        it = clients(pool)
        first = it.ask("a")
        assert it.service.begun.acquire(timeout=60)
        it.pool = other
        second = it.ask("b")
        until(lambda: told.count(True) == 2)
        # For a place it has waited, for its turn it still does.
        assert told == [True, False, True]
        it.service.go.release(2)
        assert [one.result(60) for one in (first, second)] == [((), True)] * 2
        assert told.count(True) == told.count(False)


def test_one_question_is_for_so_many_trials_at_most() -> None:
    with ThreadPoolExecutor(8) as pool:
        it = clients(pool)
        asked = [it.ask("a")]
        assert it.service.begun.acquire(timeout=60)
        asked += it.queue("bcdef", 4)
        it.service.go.release(5)
        for one in asked:
            one.result(60)
        assert it.service.served == [["a"], ["b", "c"], ["d", "e"], ["f"]]


def test_what_the_service_says_against_it_is_told_to_all_that_wait() -> None:
    with ThreadPoolExecutor(8) as pool:
        it = clients(pool)
        it.service.failure = InvalidArgumentError("no such setting")
        first = it.ask("a")
        assert it.service.begun.acquire(timeout=60)
        others = it.queue("bc")
        it.service.go.release(2)
        for one in (first, *others):
            with pytest.raises(InvalidArgumentError, match="no such setting"):
                one.result(60)
        it.service.failure = None
        it.service.go.release()
        assert it.ask("d").result(60) == ((), True)


def test_who_waits_in_vain_leaves_the_line() -> None:
    with ThreadPoolExecutor(8) as pool:
        it = clients(pool)
        first = it.ask("a")
        assert it.service.begun.acquire(timeout=60)
        with pytest.raises(UnavailableError, match="still computes"):
            it.ask("b", seconds=0.1).result(60)
        last = it.queue("c")
        it.service.go.release(2)
        assert [first.result(60), last[0].result(60)] == [((), True)] * 2
        assert it.service.served == [["a"], ["c"]]


def test_of_many_that_wait_some_are_refused_and_another_studys_line_is_none_of_this_one() -> None:
    with ThreadPoolExecutor(8) as pool:
        it = clients(pool, most=3)
        asked = [it.ask("a"), it.ask("other", study="another")]
        for _ in range(2):
            assert it.service.begun.acquire(timeout=60)
        asked += it.queue("b")
        with pytest.raises(UnavailableError, match="3 calls wait for suggestion services"):
            it.ask("c").result(60)
        it.service.go.release(3)
        assert [one.result(60) for one in asked] == [((), True)] * 3
        it.service.go.release()
        assert it.ask("c").result(60) == ((), True)
