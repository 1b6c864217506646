"""Trials that have reported more values than one answer holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from katib.domain.metrics import Observation
from tests.e2e.harness import World, study

BATCH = 1000
LATEST = -777.0


@dataclass(frozen=True)
class Long:
    study: str
    trial: str
    count: int


@pytest.fixture(scope="module", params=[1500, 10_600, 12_000])
def long(katib: World, request: pytest.FixtureRequest) -> Iterator[Long]:
    """A trial with so many values of `acc`, at the steps from 1 on, the last of which is unlike all others."""
    count: int = request.param
    with katib.client() as client:
        spec = study("long", algorithm="", command=(), limits={"max_trials": 1, "max_parallel": 1})
        study_id = client.create_study(spec)
        (trial,), _ = client.suggest_trials(study_id, 1, algorithm="random")
        now = datetime.now(UTC)
        values = [Observation("acc", LATEST if n == count else n, now, 1, "", n, step=n) for n in range(1, count + 1)]
        for begin in range(0, count, BATCH):
            client.report_metrics(trial.id, values[begin : begin + BATCH], reporter="test")
        yield Long(study_id, trial.id, count)
        client.delete_study(study_id)


def check(points: list[list[float]], long: Long) -> None:
    assert points[0] == [1, 1.0]
    assert points[-1] == [long.count, LATEST]
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps))
    # The latest part is there as it was reported, and not its end alone.
    assert sum(step > long.count - 1000 for step in steps) > 10


@pytest.mark.long
def test_the_page_of_a_trial_has_its_beginning_and_its_latest_values(pages: TestClient, long: Long) -> None:
    state = pages.get(f"/api/trials/{long.trial}").json()
    check(state["metrics"]["acc"], long)
    assert state["cut"] == (long.count > 11_000)


@pytest.mark.long
def test_so_have_the_curves_of_its_study(pages: TestClient, long: Long) -> None:
    answer = pages.get(f"/api/studies/{long.study}/curves", params={"metric": "acc", "ids": long.trial[:8]})
    (curve,) = answer.json()
    check(curve["points"], long)
    assert curve["cut"] == (long.count > 11_000)
