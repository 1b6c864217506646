"""The long campaign: python -m tests.faults --seed N --database sqlite --database mariadb --database mysql"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import world
from tests.faults.campaign import Campaign, Order, new_seed, say
from tests.storage import servers

_KINDS = ("sqlite", *servers.KINDS)


@contextmanager
def address(kind: str, folder: Path) -> Iterator[str]:
    """An empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/data/katib.db"
        return
    with servers.database_url(kind) as url:
        servers.drop_tables(url)
        yield url


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="where the random instants come from; left out, a new one")
    parser.add_argument("--kills", type=int, default=200, help="of the manager, at least")
    parser.add_argument("--trials", type=int, default=1000, help="begun, at least")
    parser.add_argument("--database", action="append", choices=_KINDS, help="one after the other")
    parser.add_argument("--share", type=float, default=1.0, help="the size of the studies, of the usual one")
    arguments = parser.parse_args()
    # Whoever ends it leaves no process behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = new_seed() if arguments.seed is None else arguments.seed
    failed = False
    for kind in arguments.database or _KINDS:
        say(f"{kind}: seed {seed} (again with SEED={seed})")
        folder = Path(tempfile.mkdtemp(prefix=f"katib-faults-{kind}-"))
        try:
            with address(kind, folder) as url, world(folder) as it:
                order = Order(url, seed, arguments.kills, arguments.trials, arguments.share)
                try:
                    figures = Campaign(it, order, say).run()
                except AssertionError as error:
                    failed = True
                    say(f"{kind}: FAILED, everything is kept in {folder}\n{error}")
                    continue
        except pytest.skip.Exception as missing:
            failed = True
            say(f"{kind}: {missing}")
            continue
        say(f"{kind}: all is well after {figures}")
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
