"""Some hostile inputs against every surface; `make fuzz` puts ten thousand against each."""

import secrets
from pathlib import Path

import pytest

from tests.fuzz.surface import attack
from tests.fuzz.surfaces import SURFACES

# Enough to fill what is filled once; a leak shows in `make fuzz`.
_INPUTS = {"study-file": 300, "metrics": 500, "terminal": 500}
_USUAL = 400


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", SURFACES)
def test_no_hostile_input_breaks_it(name: str, tmp_path: Path) -> None:
    seed = secrets.randbelow(10**9)
    print(f"seed {seed}")
    with SURFACES[name](tmp_path) as target:
        outcome = attack(target, name, seed, 0, _INPUTS.get(name, _USUAL))
    print(f"{name}: {outcome}")
