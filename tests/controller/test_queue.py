"""The keyed queue: each key in one pair of hands, nothing lost, nothing twice."""

import threading

from katib.manager.controller.queue import KeyedQueue


def test_a_key_added_twice_is_worked_on_once() -> None:
    queue = KeyedQueue()
    queue.add("a")
    queue.add("a")
    assert queue.get() == "a"
    assert len(queue) == 0


def test_a_key_added_while_it_is_worked_on_comes_again_after_that() -> None:
    queue = KeyedQueue()
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert queue.get() == "a"


def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue = KeyedQueue()
    for key in "abc":
        queue.add(key)
    assert [queue.get() for _ in "abc"] == ["a", "b", "c"]


def test_only_the_soonest_time_of_a_key_counts() -> None:
    now = 0.0
    queue = KeyedQueue(lambda: now)
    queue.add_after("a", 10)
    queue.add_after("a", 1)
    queue.add_after("a", 5)
    now = 1.0
    assert queue.get() == "a"
    queue.done("a")
    now = 20.0
    queue.add("b")
    assert queue.get() == "b"
    assert len(queue) == 0


def test_adding_a_key_takes_the_place_of_its_timer() -> None:
    now = 0.0
    queue = KeyedQueue(lambda: now)
    queue.add_after("a", 1)
    queue.add("a")
    assert queue.get() == "a"
    queue.done("a")
    now = 2.0
    queue.add("b")
    assert queue.get() == "b"
    assert len(queue) == 0


def test_a_timer_sooner_than_the_one_waited_for_wakes_the_waiting_thread() -> None:
    queue = KeyedQueue()
    got: list[str | None] = []
    thread = threading.Thread(target=lambda: got.append(queue.get()))
    queue.add_after("late", 60)
    thread.start()
    queue.add_after("soon", 0.01)
    thread.join(10)
    assert got == ["soon"]


def test_closing_lets_every_waiting_thread_go() -> None:
    queue = KeyedQueue()
    got: list[str | None] = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(10)
    assert got == [None] * 3


def test_many_threads_work_each_key_alone_and_lose_none() -> None:
    queue = KeyedQueue()
    holding: set[str] = set()
    lock = threading.Lock()
    done = {f"k{i}": 0 for i in range(20)}
    clashes = 0

    def work() -> None:
        nonlocal clashes
        while (key := queue.get()) is not None:
            with lock:
                clashes += key in holding
                holding.add(key)
                done[key] += 1
                finished = all(done.values())
            with lock:
                holding.discard(key)
            queue.done(key)
            if finished:
                queue.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        for key in done:
            queue.add(key)
    for thread in threads:
        thread.join(20)
    assert clashes == 0
    assert all(done.values())
