"""How many trials a second clients of a service get through, as a study grows and beside peers and limits.

    python -m benchmarks.service run [--quick] [--rounds 3] [--systems ...] [--trials ...] [--clients ...] [--results FILE]
    python -m benchmarks.service report [--results FILE]

`run` adds a line of JSON for each measurement to the results, so that a broken run loses nothing and a run may be made in
parts; `report` writes the table and the picture of docs/performance.md from them. In a round each system is measured at each
size with each number of clients, the systems in turns, so that all meet the same moments of the machine.
"""

import argparse
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.service import processor, report, results, systems, work
from tests.storage import servers

SIZES = (100, 1000, 5000, 10_000, 100_000)
CLIENTS = (1, 8, 32)
# A study that is smaller is made anew for each measurement, which would make it a larger one.
_LASTING = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "report"))
    parser.add_argument(
        "--quick", action="store_true", help="to see that it runs, not to quote: ours and echo, small studies"
    )
    parser.add_argument("--systems", nargs="+", choices=work.SYSTEMS)
    parser.add_argument("--trials", nargs="+", type=int)
    parser.add_argument(
        "--peer-trials", type=int, default=10_000, help="the largest study that peers are measured with"
    )
    parser.add_argument("--clients", nargs="+", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--results", type=Path)
    parser.add_argument(
        "--peers", default=".peers-service/bin/python", help="the Python that has benchmarks/service/peers.txt"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    path = arguments.results or Path("service-quick.jsonl" if quick else "service.jsonl")
    if arguments.action == "run":
        measure(
            path,
            arguments.systems or ((*work.OURS, work.ECHO) if quick else work.SYSTEMS),
            arguments.trials or ((100, 1000) if quick else SIZES),
            arguments.clients or ((1, 8) if quick else CLIENTS),
            arguments.rounds or (1 if quick else 3),
            arguments.seconds or (1.0 if quick else 2.0),
            arguments.peer_trials,
            arguments.peers,
        )
        print(report.markdown(results.read(path)))
    else:
        report.write(results.read(path), Path("docs"))


def measure(
    path: Path,
    names: "tuple[str, ...] | list[str]",
    sizes: "tuple[int, ...] | list[int]",
    clients: "tuple[int, ...] | list[int]",
    rounds: int,
    seconds: float,
    peer_trials: int,
    peers: str,
) -> None:
    if set(names) & set(work.PEERS) and not Path(peers).exists():
        sys.exit(f"{peers} does not exist: `make bench-service` makes it, or leave the peers out with --systems")
    with ExitStack() as stack:
        mariadb = stack.enter_context(servers.started())
        standing = [systems.start(stack, name, mariadb.create_database, peers) for name in names]
        lasting: dict[tuple[str, int], str] = {}
        began = results.next_round(path)
        for round_ in range(began, began + rounds):
            for size in sizes:
                for system in standing:
                    if system.name in work.PEERS and size > peer_trials:
                        continue
                    # What does nothing does so at any size.
                    if system.name in work.LIMITS and size != sizes[0] and system.name != work.ECHO:
                        continue
                    for n in clients:
                        study = lasting.get((system.name, size))
                        if study is None:
                            study = system.fill(size)
                            if size >= _LASTING:
                                lasting[system.name, size] = study
                            # What it did to make the study is over before it is measured.
                            system.measure(study, n, min(0.2, seconds / 5))
                        load = os.getloadavg()[0]
                        used = processor.seconds()
                        found = system.measure(study, n, seconds)
                        used = (processor.seconds() - used) / found["loops"]
                        row = results.Row(
                            round=round_,
                            system=system.name,
                            trials=size,
                            clients=n,
                            load=round(load, 2),
                            at=time.time(),
                            processor_ms=round(used * 1e3, 3),
                            **found,
                        )
                        results.add(path, row)
                        print(
                            f"round {round_}, {size:6} trials, {n:2} clients: {system.name:16} {row.rate:8.1f}/s, "
                            f"p50 {row.p50_ms:.1f} ms, p99 {row.p99_ms:.1f} ms, "
                            f"processor {row.processor_ms:.2f} ms (load {load:.1f})",
                            flush=True,
                        )
            lasting = {key: study for key, study in lasting.items() if key[1] > _LASTING}


if __name__ == "__main__":
    main()
