"""How much a client that floods slows the others.

    python -m benchmarks.flood [--rounds 5] [--seconds 6] [--clients 1 8]

Well-behaved clients, each a caller of its own, go through their loops (SuggestTrials, ReportMetrics, CompleteTrial) at one
manager. In a round they are measured in turns

    quiet      with nobody else,
    elsewhere  while another caller floods another manager on this machine: what the flood takes of the machine,
    here       while it floods theirs.

The flooder runs with the lowest priority (nice 19) unless --nice says otherwise: its own computing would else be most of what
the others lose on a small machine. `here` beside `elsewhere` is what the manager itself loses to the flood, `here` beside
`quiet` is what the others lose in all.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from benchmarks.flood.flooder import KINDS
from benchmarks.flood.loop import TOKENS
from benchmarks.service import systems
from benchmarks.service.systems import Talker
from katib.api.client import ManagerClient
from katib.manager.storage.open import open_storage

QUIET: Final = "quiet"
ELSEWHERE: Final = "elsewhere"
HERE: Final = "here"
_TRIALS: Final = 1000
_FLOODER: Final = "flooder"


class Site:
    """A manager that asks who calls, its callers' tokens, and a study that its clients drive."""

    def __init__(self, stack: ExitStack, clients: int, extra: list[str]) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="katib-flood-")))
        self.address = f"localhost:{systems.free_port()}"
        service = f"unix:{self.folder}/{{algorithm}}"
        quiet = ("--log-level", "ERROR")
        at = service.format(algorithm="random")
        python = sys.executable
        stack.enter_context(systems.running(python, "-m", "katib.suggestion.server", "random", "--listen", at, *quiet))
        url = f"sqlite:///{self.folder}/katib.db"
        bootstrap = self.folder / "bootstrap"
        self.manager = stack.enter_context(
            systems.running(
                *(python, "-m", "katib.manager.server", "--listen", self.address, "--http", "", "--database", url),
                *("--data", f"{self.folder}/runs", "--suggestion-address", service, "--auth", "tokens"),
                *("--bootstrap-token-file", str(bootstrap), *extra, *quiet),
            )
        )
        systems.wait_for(self.address)
        self.tokens = self.folder / "tokens"
        self.tokens.mkdir()
        admin = stack.enter_context(ManagerClient(self.address, token=bootstrap.read_text().strip()))
        for name in (*(f"client-{i}" for i in range(clients)), _FLOODER):
            _, secret = admin.create_token(name, name, roles=["user", "operator"])
            (self.tokens / name).write_text(secret)
        with closing(open_storage(url)) as storage:
            self.study = systems.fill(admin, storage, _TRIALS)
            self.flooded = systems.fill(admin, storage, _TRIALS)

    def processor_s(self) -> float:
        """What the manager has used so far."""
        fields = Path(f"/proc/{self.manager.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def flooder(self, stack: ExitStack, nice: int, kinds: list[str]) -> Talker:
        arguments = ("-m", "benchmarks.flood.flooder", self.address, str(self.tokens / _FLOODER), self.flooded, *kinds)
        talker = Talker(stack, sys.executable, *arguments)
        os.setpriority(os.PRIO_PROCESS, talker.process.pid, nice)
        for task in Path(f"/proc/{talker.process.pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), nice)
        return talker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--nice", type=int, default=19)
    parser.add_argument("--manager-option", action="append", default=[], help="for both managers, such as --max-rate=0")
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
    flooders = {
        ELSEWHERE: elsewhere.flooder(stack, arguments.nice, arguments.kinds),
        HERE: here.flooder(stack, arguments.nice, arguments.kinds),
    }
    clients.measure(here.study, most, 1.0)
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    answers: Counter[str] = Counter()
    for round_ in range(arguments.rounds):
        for count in arguments.clients:
            for arm in (QUIET, ELSEWHERE, HERE):
                flooder = flooders.get(arm)
                if flooder is not None:
                    flooder.tell("begin")
                    # It has opened its connections, and has all out that it can.
                    time.sleep(2.0)
                before = here.processor_s()
                row = dict(clients.measure(here.study, count, arguments.seconds))
                row["processor"] = (here.processor_s() - before) / row["seconds"]
                if flooder is not None:
                    flooder.tell("end")
                    said = flooder.answer()
                    row["answers"] = sum(said["answers"].values()) / said["seconds"]
                    if arm == HERE:
                        answers.update(said["answers"])
                    # What it has out is answered.
                    time.sleep(4.0)
                found.setdefault((count, arm), []).append(row)
                print(
                    f"round {round_}, {count:2} clients, {arm:9}: {row['rate']:7.1f} loops/s, p50 {row['p50_ms']:6.1f} ms, "
                    f"p99 {row['p99_ms']:6.1f} ms, manager {row['processor']:.2f} cores, "
                    f"flooder answered {row.get('answers', 0):.0f}/s (load {os.getloadavg()[0]:.1f})",
                    flush=True,
                )
    print(table(found, arguments.clients))
    print("what the flooder was answered here:", dict(answers.most_common()))


def table(found: dict[tuple[int, str], list[dict[str, Any]]], clients: list[int]) -> str:
    lines = [
        "| clients | beside them | loops a second | of quiet | of elsewhere | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for count in clients:
        for arm in (QUIET, ELSEWHERE, HERE):
            rows = found[count, arm]
            middle = {key: statistics.median(row[key] for row in rows) for key in ("rate", "p50_ms", "p99_ms")}
            of = [
                f"{statistics.median(a['rate'] / b['rate'] for a, b in zip(rows, found[count, base], strict=True)):.2f}"
                for base in (QUIET, ELSEWHERE)
            ]
            lines.append(
                f"| {count} | {arm} | {middle['rate']:.0f} | {of[0]} | {of[1]} | {middle['p50_ms']:.1f} | "
                f"{middle['p99_ms']:.1f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
