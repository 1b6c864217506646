"""The threads that answer calls are on one processor; nothing that they start is."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.admission import Admission, CallLimits
from katib.api.affinity import OneProcessor, choose, everywhere
from katib.api.api_pb2_grpc import ManagerServicer, ManagerStub, add_ManagerServicer_to_server
from katib.api.callers import Asker
from katib.api.channel import open_channel
from katib.api.processors import Load, Processors
from katib.api.rpc import Server
from tests.waiting import until

S = 30
CPUS = sorted(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="there is one processor")


class Told(Processors):
    """How busy others keep each processor is said by the test: nobody can make them so on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.others = dict.fromkeys(CPUS, 0.0)
        self.fails = False
        self._ticks = dict.fromkeys(CPUS, 0.0)
        self._looks = 0

    def known(self) -> bool:
        return True

    def load(self, threads: Iterable[int]) -> Load:
        if self.fails:
            raise PermissionError("sandboxed")
        own = super().load(threads).own
        self._looks += 1
        for cpu, share in self.others.items():
            self._ticks[cpu] += share * 1_000_000
        return Load(
            {cpu: round(ticks) for cpu, ticks in self._ticks.items()},
            dict.fromkeys(CPUS, self._looks * 1_000_000),
            own,
        )


class Busy:
    """A thread that computes, which is what makes it worth looking after."""

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self._end = threading.Event()
        self._first = first
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._first()
        while not self._end.is_set():
            pass

    def places(self) -> set[int]:
        assert self._thread.native_id is not None
        return os.sched_getaffinity(self._thread.native_id)

    def close(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def one(told: Told) -> Iterator[OneProcessor]:
    with closing(OneProcessor(told, pause=0.02)) as it:
        yield it


@pytest.mark.long
def test_threads_that_join_are_on_one_processor_and_move_where_others_leave_more(told: Told, one: OneProcessor) -> None:
    a, b = CPUS[:2]
    told.others = dict.fromkeys(CPUS, 1.0) | {a: 0.0}
    with closing(Busy(one.join)) as busy, closing(Busy()) as other:
        one.start()
        until(lambda: busy.places() == {a})
        told.others |= {a: 0.9, b: 0.0}
        until(lambda: busy.places() == {b})
        with closing(Busy(one.join)) as later:
            until(lambda: later.places() == {b})
        told.others |= {a: 0.0, b: 1.0}
        until(lambda: busy.places() == {a})
        assert other.places() == set(CPUS)
        one.close()
        assert busy.places() == set(CPUS)


def test_what_such_a_thread_begins_is_let_go_unless_it_joins(told: Told, one: OneProcessor) -> None:
    told.others = dict.fromkeys(CPUS, 1.0) | {CPUS[0]: 0.0}
    begun: list[Busy] = []
    asked = threading.Event()

    def begin() -> None:
        one.join()
        asked.wait(S)
        begun.append(Busy())

    with closing(Busy(begin)) as parent, closing(Busy(one.join)):
        one.start()
        until(lambda: parent.places() == {CPUS[0]})
        asked.set()
        until(lambda: bool(begun))
        with closing(begun[0]) as child:
            until(lambda: child.places() == set(CPUS))
        assert parent.places() == {CPUS[0]}


def test_where_the_system_says_nothing_any_more_threads_are_let_go(told: Told, one: OneProcessor) -> None:
    told.others = dict.fromkeys(CPUS, 1.0) | {CPUS[0]: 0.0}
    with closing(Busy(one.join)) as busy:
        one.start()
        until(lambda: busy.places() == {CPUS[0]})
        told.fails = True
        until(lambda: busy.places() == set(CPUS))


def test_a_process_that_such_a_thread_starts_may_run_everywhere() -> None:
    program = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]

    def start() -> tuple[str, str, set[int]]:
        os.sched_setaffinity(0, CPUS[:1])
        inside = subprocess.check_output(program, text=True)
        with everywhere():
            free = subprocess.check_output(program, text=True)
        return inside.strip(), free.strip(), os.sched_getaffinity(0)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(start).result(S) == (str(CPUS[:1]), str(CPUS), set(CPUS[:1]))


class _Tells(ManagerServicer):
    def GetStudy(self, request: pb.GetStudyRequest, context: grpc.ServicerContext) -> pb.GetStudyReply:  # noqa: N802
        reply = pb.GetStudyReply()
        reply.study.name = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        return reply

    def WatchStudy(self, request: pb.WatchStudyRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchStudyReply]:  # noqa: N802
        reply = pb.WatchStudyReply()
        reply.study.name = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        yield reply


@pytest.mark.long
@pytest.mark.parametrize("admits", [False, True])
def test_calls_and_streams_are_answered_there(told: Told, tmp_path: Path, admits: bool) -> None:
    told.others = dict.fromkeys(CPUS, 1.0) | {CPUS[1]: 0.0}
    one = OneProcessor(told, pause=0.02)
    admission = Admission(lambda *_: Asker("a", "a", "a"), CallLimits(), begin=one.join) if admits else None
    server = Server(("api.Manager",), admission=admission, one_processor=one)
    add_ManagerServicer_to_server(_Tells(), server.grpc)
    server.listen(f"unix:{tmp_path}/s")
    server.start()
    with closing(Busy()), open_channel(f"unix:{tmp_path}/s") as channel:
        stub = ManagerStub(channel)
        there = str(CPUS[1])
        until(lambda: stub.GetStudy(pb.GetStudyRequest(), timeout=S).study.name == there)
        until(lambda: [r.study.name for r in stub.WatchStudy(pb.WatchStudyRequest(), timeout=S)] == [there])
    server.drain(0.1)


FREE = dict.fromkeys(range(4), 0.0)


@pytest.mark.parametrize(
    ("at", "others", "there"),
    [
        (2, FREE, 2),
        (2, FREE | {2: 0.25}, 2),
        (0, dict.fromkeys(range(4), 1.0) | {0: 0.5}, 0),
        (0, {0: 0.5, 1: 0.1}, 1),
        (0, {0: 0.9, 1: 0.7}, 0),
        (0, {0: 0.9, 1: 0.1}, 1),
        (None, {0: 0.9, 1: 0.1}, 1),
        (None, {0: 0.9, 1: 0.8}, 1),
        # Ours has been taken away.
        (3, {0: 0.1, 1: 0.9}, 0),
    ],
)
def test_a_processor_is_left_for_a_clearly_better_one_only(
    at: int | None, others: dict[int, float], there: int
) -> None:
    assert choose(at, others) == there


def test_several_programs_do_not_all_take_the_first_of_those_that_are_free() -> None:
    assert {choose(None, FREE) for _ in range(1000)} == set(FREE)


def test_what_others_take_is_what_our_own_threads_do_not() -> None:
    before = Load({0: 100, 1: 100}, {0: 1000, 1: 1000}, {7: 50})
    now = Load({0: 180, 1: 120}, {0: 1100, 1: 1100}, {7: 100, 8: 10})
    assert now.others_since(before, 0) == {0: pytest.approx(0.2), 1: pytest.approx(0.2)}
    # Anywhere: of 100 ticks 60 were ours.
    assert now.others_since(before, None) == {0: pytest.approx(0.32), 1: pytest.approx(0.08)}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """Of its own are the processors' times and the control groups; the rest is this machine's."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "task").symlink_to("/proc/self/task")
    (proc / "self" / "cgroup").write_text("0::/pod/container\n4:cpu,cpuacct:/pod\n")
    (proc / "stat").write_text("cpu 1 1\n" + "".join(f"cpu{cpu} 10 0 5 80 5 0 0 0 0 0\n" for cpu in CPUS) + "intr 1\n")
    return tmp_path


def known(machine: Path) -> bool:
    return Processors(machine / "proc", machine / "groups").known()


def test_how_busy_each_processor_is_is_read_with_what_our_threads_used(machine: Path) -> None:
    load = Processors(machine / "proc").load([threading.get_native_id(), 2**22 + 1])
    assert (load.busy[CPUS[0]], load.total[CPUS[0]]) == (15, 100)
    assert load.own.keys() == {threading.get_native_id()}
    assert known(machine)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("cpu.max", "50000 100000\n"),
        ("pod/cpu.max", "50000 100000\n"),
        ("pod/container/cpu.max", "150000 100000\n"),
        ("cpu,cpuacct/cpu.cfs_quota_us", "100000\n"),
        ("cpu,cpuacct/pod/cpu.cfs_quota_us", "100000\n"),
    ],
)
def test_with_a_quota_of_processor_time_nothing_is_done(machine: Path, path: str, text: str) -> None:
    file = machine / "groups" / path
    file.parent.mkdir(parents=True)
    file.write_text("max 100000\n" if file.name == "cpu.max" else "-1\n")
    assert known(machine)
    file.write_text(text)
    assert not known(machine)


@pytest.mark.parametrize("text", [None, "", "cpu 1 1\n", "cpu0 0 0 0 0 0 0 0 0\n", "cpu0 ten\n", "cpu0\n"])
def test_where_it_is_not_known_how_busy_processors_are_nothing_is_done(machine: Path, text: str | None) -> None:
    if text is None:
        (machine / "proc" / "stat").unlink()
    else:
        (machine / "proc" / "stat").write_text(text)
    assert not known(machine)


def test_with_one_processor_nothing_is_done(machine: Path) -> None:
    def asked() -> bool:
        os.sched_setaffinity(0, CPUS[:1])
        return known(machine)

    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(asked).result(S)
