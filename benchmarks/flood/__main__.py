"""How much a client that floods slows the others.

    python -m benchmarks.flood [--rounds 8] [--seconds 5] [--clients 1 8] [--arms quiet elsewhere here alone beside]

Well-behaved clients, each a caller of its own, go through their loops (SuggestTrials, ReportMetrics, CompleteTrial) at one
manager. In a round they are measured in turns

    quiet      with nobody else,
    elsewhere  while another caller floods another manager on this machine: what the flood takes of the machine,
    here       while it floods theirs,
    alone      with nobody else, and without one processor,
    beside     while it floods theirs from that processor, on which nothing else is.

`beside` beside `alone` is what the manager lets a flood cost the others when the flooder has a machine of its own, as it has
where there is a network: its own computing costs them nothing then. `here` beside `quiet` is what they lose in all when it
runs on theirs, the flooder at the lowest priority (nice 19) unless --nice says otherwise; `here` beside `elsewhere` the part of
that which is the manager's.

What a loop takes of the processors is that of the manager, its services and the clients, with what the manager spends on the
flood: it says the same when other programs take some of the machine.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from scipy.stats import t

from benchmarks.flood.flooder import KINDS
from benchmarks.flood.loop import TOKENS
from benchmarks.service import systems
from benchmarks.service.systems import Talker
from katib.api.client import ManagerClient
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql.storage import SqlStorage

QUIET: Final = "quiet"
ELSEWHERE: Final = "elsewhere"
HERE: Final = "here"
ALONE: Final = "alone"
BESIDE: Final = "beside"
ARMS: Final = (QUIET, ELSEWHERE, HERE, ALONE, BESIDE)
# What each is compared with.
_BASES: Final = {ELSEWHERE: (QUIET,), HERE: (QUIET, ELSEWHERE), BESIDE: (ALONE,)}
_TRIALS: Final = 1000
_FLOODER: Final = "flooder"
# Of a processor; and the longest that it is waited for.
_IDLE: Final = 0.02
_CALM_S: Final = 30.0


class Site:
    """A manager that asks who calls, its callers' tokens, and a study that its clients drive."""

    def __init__(self, stack: ExitStack, clients: int, extra: list[str]) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="katib-flood-")))
        self.address = f"localhost:{systems.free_port()}"
        service = f"unix:{self.folder}/{{algorithm}}"
        quiet = ("--log-level", "ERROR")
        at = service.format(algorithm="random")
        python = sys.executable
        random = systems.running(python, "-m", "katib.suggestion.server", "random", "--listen", at, *quiet)
        self.processes = [stack.enter_context(random)]
        url = f"sqlite:///{self.folder}/katib.db"
        bootstrap = self.folder / "bootstrap"
        self.manager = stack.enter_context(
            systems.running(
                *(python, "-m", "katib.manager.main", "--listen", self.address, "--http", "", "--database", url),
                *("--data", f"{self.folder}/runs", "--suggestion-address", service, "--auth", "tokens"),
                *("--bootstrap-token-file", str(bootstrap), *extra, *quiet),
            )
        )
        self.processes.append(self.manager)
        systems.wait_for(self.address)
        self.tokens = self.folder / "tokens"
        self.tokens.mkdir()
        admin = stack.enter_context(ManagerClient(self.address, token=bootstrap.read_text().strip()))
        for name in (*(f"client-{i}" for i in range(clients)), _FLOODER):
            _, secret = admin.create_token(name, name, roles=["user", "operator"])
            (self.tokens / name).write_text(secret)
        with closing(open_storage(url)) as storage:
            assert isinstance(storage, SqlStorage)
            self.study, self.flooded = (systems.fill(admin, storage, _TRIALS) for _ in range(2))
            for study in (self.study, self.flooded):
                systems.settle(admin, storage, study)

    def flooder(self, stack: ExitStack, nice: int, kinds: list[str]) -> Talker:
        arguments = ("-m", "benchmarks.flood.flooder", self.address, str(self.tokens / _FLOODER), self.flooded, *kinds)
        talker = Talker(stack, sys.executable, *arguments)
        os.setpriority(os.PRIO_PROCESS, talker.process.pid, nice)
        for task in Path(f"/proc/{talker.process.pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), nice)
        return talker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument(
        "--after", type=float, default=2.0, help="so many seconds of a flood come before they are measured"
    )
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--nice", type=int, default=19)
    parser.add_argument("--manager-option", action="append", default=[], help="for both managers, such as --max-rate=0")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[*ARMS])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS], help="what the flooder does")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        measured(stack, arguments)


def measured(stack: ExitStack, arguments: argparse.Namespace) -> None:
    most = max(arguments.clients)
    here, elsewhere = (Site(stack, most, arguments.manager_option) for _ in range(2))
    os.environ[TOKENS] = str(here.tokens)
    clients = systems.System(
        "katib",
        lambda _: here.study,
        [
            Talker(stack, sys.executable, "-m", "benchmarks.service.generator", "benchmarks.flood.loop", here.address)
            for _ in range(2)
        ],
    )
    flooders = {at: at.flooder(stack, arguments.nice, arguments.kinds) for at in (here, elsewhere)}
    floods = {ELSEWHERE: flooders[elsewhere], HERE: flooders[here], BESIDE: flooders[here]}
    processes = [process.pid for process in (*here.processes, *elsewhere.processes)]
    processes += [os.getpid(), *(talker.process.pid for talker in clients.generators)]
    managers = [here.manager.pid, elsewhere.manager.pid]
    clients.measure(here.study, most, 1.0)
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    answers: Counter[str] = Counter()
    arms = [arm for arm in ARMS if arm in arguments.arms]
    for round_ in range(arguments.rounds):
        for count in arguments.clients:
            for arm in arms:
                flooder = floods.get(arm)
                with placed(processes, [t.process.pid for t in flooders.values()], apart=arm in (ALONE, BESIDE)):
                    row = measured_once(clients, here, managers, count, flooder, arguments)
                if flooder is flooders[here]:
                    answers.update(row["answers"])
                found.setdefault((count, arm), []).append(row)
                print(
                    f"round {round_}, {count:2} clients, {arm:9}: {row['rate']:7.1f} loops/s, p50 {row['p50_ms']:6.1f} ms, "
                    f"p99 {row['p99_ms']:6.1f} ms, {row['cost_ms']:.2f} ms of the processor each, "
                    f"manager {row['processor']:.2f} cores, "
                    f"flooder answered {row['answered']:.0f}/s (load {os.getloadavg()[0]:.1f})",
                    flush=True,
                )
    print(table(found, arguments.clients, arms))
    print("what the flooder was answered here:", dict(answers.most_common()))


def measured_once(
    clients: systems.System,
    site: Site,
    managers: list[int],
    count: int,
    flooder: Talker | None,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    if flooder is not None:
        flooder.tell("begin")
        # Two seconds: it has opened its connections, and has all out that it can.
        time.sleep(arguments.after)
    manager = site.manager.pid
    others = [process.pid for process in site.processes if process.pid != manager]
    others += [talker.process.pid for talker in clients.generators]
    before = processor_s([manager]), processor_s(others)
    row = dict(clients.measure(site.study, count, arguments.seconds))
    used = processor_s([manager]) - before[0], processor_s(others) - before[1]
    row["processor"] = used[0] / row["seconds"]
    row["cost_ms"] = sum(used) / row["loops"] * 1e3
    row["answers"], row["answered"] = {}, 0.0
    if flooder is not None:
        flooder.tell("end")
        said = flooder.answer()
        row["answers"], row["answered"] = said["answers"], sum(said["answers"].values()) / said["seconds"]
        wait_for_calm(managers)
    return row


def wait_for_calm(managers: list[int]) -> None:
    """Until they have done with what the flooder left: calls that were taken back take their turns all the same."""
    deadline = time.monotonic() + _CALM_S
    while time.monotonic() < deadline:
        before = processor_s(managers)
        time.sleep(1.0)
        if processor_s(managers) - before <= _IDLE:
            return


def processor_s(pids: list[int]) -> float:
    """What they have used so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(user) + int(system) for user, system in (f[11:13] for f in fields)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def placed(processes: list[int], flooders: list[int], *, apart: bool) -> Iterator[None]:
    """Where it is `apart`, the last processor is the flooders' and theirs alone."""
    everywhere = os.sched_getaffinity(0)
    if not apart:
        yield
        return
    last = {max(everywhere)}
    if everywhere == last:
        raise RuntimeError(
            "a flooder that has a processor for itself takes two of them: leave out the arms alone and beside"
        )
    for pids, where in ((processes, everywhere - last), (flooders, last)):
        for pid in pids:
            place(pid, where)
    try:
        yield
    finally:
        for pid in (*processes, *flooders):
            place(pid, everywhere)


def place(pid: int, processors: set[int]) -> None:
    """All its threads, those too that were begun meanwhile by one that was not placed yet."""
    for _ in range(2):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), processors)


def table(found: dict[tuple[int, str], list[dict[str, Any]]], clients: list[int], arms: list[str]) -> str:
    """Ratios are of the rounds' own, and their mean is with its interval of 95 %: a processor's speed may change from one round
    to the next."""
    lines = [
        "| clients | | loops a second | beside that | ms of the processor a loop | beside that | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for count in clients:
        for arm in arms:
            rows = found[count, arm]
            middle = {
                key: statistics.median(row[key] for row in rows) for key in ("rate", "cost_ms", "p50_ms", "p99_ms")
            }
            rates, costs = (
                ", ".join(
                    of(rows, found[count, base], key) + f" of {base}" for base in _BASES.get(arm, ()) if base in arms
                )
                for key in ("rate", "cost_ms")
            )
            lines.append(
                f"| {count} | {arm} | {middle['rate']:.0f} | {rates} | {middle['cost_ms']:.2f} | {costs} | "
                f"{middle['p50_ms']:.1f} | {middle['p99_ms']:.1f} |"
            )
    return "\n".join(lines)


def of(rows: list[dict[str, Any]], bases: list[dict[str, Any]], key: str) -> str:
    logs = [math.log(a[key] / b[key]) for a, b in zip(rows, bases, strict=True)]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return f"{math.exp(mean):.2f}"
    within = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(mean):.2f} ({math.exp(mean - within):.2f} to {math.exp(mean + within):.2f})"


if __name__ == "__main__":
    main()
