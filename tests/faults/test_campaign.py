"""A short campaign on each database; `make faults` runs the long one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import World
from tests.faults.campaign import Campaign, Order, new_seed
from tests.storage import servers

KILLS, TRIALS = 8, 60


@pytest.fixture(params=["sqlite", *servers.KINDS])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/data/katib.db"
        return
    with servers.database_url(request.param) as url:
        servers.drop_tables(url)
        yield url


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_is_killed_every_study_comes_to_its_end_and_every_trial_ran_once(address: str, katib: World) -> None:
    seed = int(os.environ.get("KATIB_TEST_SEED") or new_seed())
    print(f"seed {seed}: again with KATIB_TEST_SEED={seed}")
    figures = Campaign(katib, Order(address, seed, KILLS, TRIALS, share=0.25, most_s=300)).run()
    assert figures.kills >= KILLS
    assert figures.trials >= TRIALS / 2
    assert figures.observations > figures.trials
