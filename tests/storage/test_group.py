"""Work that many bring and one does at a time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from katib.domain.effort import spent_for_others
from katib.domain.errors import DeadlineExceededError, UnavailableError
from katib.manager.storage.sql.group import Group


class Work:
    """Runs the jobs of a group; holds the first group until it is let go."""

    def __init__(self, hold=False):
        self.groups = []
        self.threads = []
        self.entered = threading.Event()
        self.go_on = threading.Event()
        if not hold:
            self.go_on.set()

    def __call__(self, jobs):
        self.groups.append([job.function for job in jobs])
        self.threads.append(threading.get_ident())
        self.entered.set()
        assert self.go_on.wait(30)
        for job in jobs:
            try:
                job.succeed(job.function())
            except Exception as error:  # noqa: BLE001  # the job's own
                job.fail(error)


def until(condition):
    for _ in range(30000):
        if condition():
            return
        threading.Event().wait(0.001)
    pytest.fail("it never came to that")


def queue(group, pool, *functions):
    """Brings the functions one after the other."""
    futures = []
    for function in functions:
        before = group.waiting
        futures.append(pool.submit(group.do, function))
        until(lambda before=before: group.waiting == before + 1)
    return futures


def test_who_does_the_work_of_a_group_has_spent_all_but_its_own_share_for_others():
    work = Work(hold=True)
    group = Group(work, 8, 30, "here")

    def compute():
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    def bring(function):
        before, began = spent_for_others(), time.thread_time()
        group.do(function)
        return spent_for_others() - before, time.thread_time() - began

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(bring, lambda: None)
        assert work.entered.wait(30)
        others = []
        for _ in range(4):
            before = group.waiting
            others.append(pool.submit(bring, compute))
            until(lambda before=before: group.waiting == before + 1)
        work.go_on.set()
        assert first.result(30)[0] == 0
        spent = [future.result(30) for future in others]
    ((for_others, in_all),) = [one for one in spent if one[0]]
    assert 0.06 <= for_others <= 0.75 * in_all


def test_one_alone_does_its_own_work():
    work = Work()
    group = Group(work, 8, 30, "here")
    assert group.do(lambda: 7) == 7
    assert work.threads == [threading.get_ident()]


def test_what_comes_meanwhile_is_one_group_in_its_order_done_by_one_of_those_who_wait():
    work = Work(hold=True)
    group = Group(work, 8, 30, "here")
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(group.do, lambda: "first")
        assert work.entered.wait(30)
        functions = [lambda i=i: i for i in range(5)]
        others = queue(group, pool, *functions)
        work.go_on.set()
        assert first.result(30) == "first"
        assert [other.result(30) for other in others] == list(range(5))
    assert work.groups[1:] == [functions]
    assert work.threads[0] != work.threads[1]


def test_a_group_is_no_larger_than_it_may_be():
    work = Work(hold=True)
    group = Group(work, 2, 30, "here")
    with ThreadPoolExecutor(6) as pool:
        pool.submit(group.do, lambda: None)
        assert work.entered.wait(30)
        others = queue(group, pool, *[lambda i=i: i for i in range(5)])
        work.go_on.set()
        assert [other.result(30) for other in others] == list(range(5))
    assert [len(jobs) for jobs in work.groups] == [1, 2, 2, 1]


def test_each_gets_its_own_error():
    work = Work()
    group = Group(work, 8, 30, "here")
    with pytest.raises(ZeroDivisionError):
        group.do(lambda: 1 / 0)
    assert group.do(lambda: 1) == 1


def test_many_threads_get_every_job_done_once():
    work = Work()
    group = Group(work, 4, 30, "here")
    done = []

    def bring(i):
        return [group.do(lambda i=i, j=j: done.append((i, j)) or (i, j)) for j in range(50)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(bring, range(8)))
    assert results == [[(i, j) for j in range(50)] for i in range(8)]
    assert sorted(done) == [(i, j) for i in range(8) for j in range(50)]
    # One at a time, and each thread's own in their order.
    assert all([j for i, j in done if i == thread] == list(range(50)) for thread in range(8))


def test_one_that_waits_too_long_is_given_up_and_never_done():
    work = Work(hold=True)
    group = Group(work, 8, 0.2, "here")
    done = []
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(group.do, lambda: done.append("first"))
        assert work.entered.wait(30)
        with pytest.raises(UnavailableError, match="nothing was stored"):
            group.do(lambda: done.append("second"))
        work.go_on.set()
        first.result(30)
    group.do(lambda: done.append("third"))
    assert done == ["first", "third"]


def test_one_that_was_begun_and_takes_too_long_may_have_taken_place():
    work = Work()
    group = Group(work, 8, 0.3, "here")
    inside, go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(3) as pool:
        work.go_on.clear()
        first = pool.submit(group.do, lambda: "first")
        assert work.entered.wait(30)

        def slow():
            inside.set()
            assert go_on.wait(30)

        leads = pool.submit(group.do, slow)
        until(lambda: group.waiting == 1)
        (late,) = queue(group, pool, lambda: "late")
        work.go_on.set()
        first.result(30)
        assert inside.wait(30)
        with pytest.raises(DeadlineExceededError, match="unknown"):
            late.result(30)
        go_on.set()
        leads.result(30)
    assert group.do(lambda: "next") == "next"


def test_an_interrupt_in_the_thread_that_works_leaves_nobody_waiting():
    work = Work(hold=True)

    def run(jobs):
        if len(work.groups) == 1:
            work.groups.append(None)
            raise KeyboardInterrupt
        work(jobs)

    group = Group(run, 8, 30, "here")

    def interrupted():
        try:
            group.do(lambda: "interrupted")
        except KeyboardInterrupt as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(group.do, lambda: "first")
        assert work.entered.wait(30)
        leads = pool.submit(interrupted)
        until(lambda: group.waiting == 1)
        (with_it,) = queue(group, pool, lambda: "with it")
        work.go_on.set()
        assert first.result(30) == "first"
        assert isinstance(leads.result(30), KeyboardInterrupt)
        with pytest.raises(UnavailableError, match="interrupted"):
            with_it.result(30)
    assert group.do(lambda: "next") == "next"


def test_closing_waits_for_what_is_queued_and_takes_no_more():
    work = Work(hold=True)
    group = Group(work, 8, 30, "here")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(group.do, lambda: "first")
        assert work.entered.wait(30)
        (second,) = queue(group, pool, lambda: "second")
        closing = pool.submit(group.close)
        until(lambda: not group._open)
        with pytest.raises(UnavailableError, match="closed"):
            group.do(lambda: None)
        assert not closing.done()
        work.go_on.set()
        closing.result(30)
        assert (first.result(0), second.result(30)) == ("first", "second")
    group.close()


def test_a_job_within_a_job_is_a_mistake_that_is_told():
    group = Group(Work(), 8, 30, "here")
    with pytest.raises(RuntimeError, match="must not wait"):
        group.do(lambda: group.do(lambda: None))
