"""The clients: a process that runs some of them as threads, each going through its loop as fast as it is answered.

    python -m benchmarks.service.generator MODULE ADDRESS

`MODULE`, beside this one or by its whole name, has `connect(address)`, which gives a function from a study and a client's name
to the client's loop. Commands are lines of JSON on the standard input, each answered by one on the standard output.
"""

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

Loop = Callable[[], None]
Connect = Callable[[str], Callable[[str, str], Loop]]


def measure(make: Callable[[str, str], Loop], study: str, names: list[str], seconds: float) -> dict[str, Any]:
    """Each client begins its last loop before the time is over and finishes it: a slow system is not cut off at zero."""
    loops = [make(study, name) for name in names]
    times: list[list[float]] = [[] for _ in names]
    errors: list[str] = []
    gate = threading.Barrier(len(names) + 1)

    def run(loop: Loop, mine: list[float]) -> None:
        gate.wait()
        until = time.perf_counter() + seconds
        try:
            while (began := time.perf_counter()) < until:
                loop()
                mine.append(time.perf_counter() - began)
            if hasattr(loop, "end"):
                # What its last round has left for the next one to do.
                loop.end()
        except Exception as error:  # noqa: BLE001 - told to who measures
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=pair) for pair in zip(loops, times, strict=True)]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    return {"seconds": took, "times": sorted(t for mine in times for t in mine), "errors": errors[:3]}


def main() -> None:
    module, address = sys.argv[1:]
    name = module if "." in module else f"benchmarks.service.{module}"
    make = importlib.import_module(name).connect(address)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(measure(make, command["study"], command["names"], command["seconds"])), flush=True)


if __name__ == "__main__":
    main()
