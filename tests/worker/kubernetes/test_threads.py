"""Threads that wait most of the time, and how they are shared."""

import threading

import pytest

from katib.worker.kubernetes.threads import Threads

DEADLINE_S = 10.0


@pytest.fixture
def shared():
    """Four threads, two of them for one kind; each piece of work, named KIND-NUMBER, goes on until it is let go."""
    begun: list[str] = []
    changed = threading.Condition()
    let_go: set[str] = set()

    def work(name: str) -> None:
        with changed:
            begun.append(name)
            changed.notify_all()
            changed.wait_for(lambda: name in let_go or "all" in let_go, DEADLINE_S)

    def finish(name: str) -> None:
        with changed:
            let_go.add(name)
            changed.notify_all()

    def until(names: set[str]) -> None:
        with changed:
            assert changed.wait_for(lambda: set(begun) == names, DEADLINE_S), begun

    threads = Threads("test", 4, work, lambda name: name.partition("-")[0], 2)
    yield threads, until, finish
    finish("all")
    threads.close()


def test_one_kind_of_work_has_no_more_threads_than_its_share_and_what_waits_behind_it_goes_first(shared):
    threads, until, finish = shared
    for name in ("a-1", "a-2", "a-3", "a-4", "b-1"):
        threads.put(name)
    until({"a-1", "a-2", "b-1"})
    finish("a-1")
    until({"a-1", "a-2", "b-1", "a-3"})
