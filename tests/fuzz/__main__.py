"""Hostile inputs against every surface: `python -m tests.fuzz [--seed N] [--inputs N] [--first N] [SURFACE ...]`.

The seed is printed; the same seed gives the same inputs. An input that breaks something is named by its number:
`--seed S --first NUMBER --inputs 1 SURFACE` puts it alone.
"""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fuzz.surface import BrokenError, attack
from tests.fuzz.surfaces import SURFACES


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("surfaces", nargs="*", choices=[[], *SURFACES], metavar="SURFACE", help=", ".join(SURFACES))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--inputs", type=int, default=10_000, help="for each surface")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    broken = 0
    for name in options.surfaces or SURFACES:
        with tempfile.TemporaryDirectory(prefix="katib-fuzz-") as folder:
            try:
                with SURFACES[name](Path(folder)) as target:
                    outcome = attack(target, name, options.seed, options.first, options.inputs)
                print(f"{name}: {outcome}", flush=True)
            except BrokenError as error:
                broken += 1
                print(f"BROKEN {error}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
