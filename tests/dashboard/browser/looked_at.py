"""Studies that tests of the pages look at."""

import pytest

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Setting
from tests.e2e.harness import World, finished, study

HOSTILE = "<img src=x onerror=document.title='broken'>"
PARAMETERS = (
    ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
    ParameterConfig("size", ParameterType.INT, FeasibleSpace("1", "8")),
    ParameterConfig("kind", ParameterType.CATEGORICAL, FeasibleSpace(list=("a", "b", HOSTILE))),
)
CURVE = 'for i in 1 2 3 4 5 6; do echo "epoch=$i acc=0.$i loss=$((9-i))"; sleep 0.3; done; echo "epoch=7 acc=$x loss=1"'


@pytest.fixture(scope="module")
def lively(katib: World, url: str) -> str:
    """A study that runs for a while."""
    with katib.client() as client:
        spec = study(
            f"lively {HOSTILE}",
            CURVE,
            owner=HOSTILE,
            parameters=PARAMETERS,
            metrics=("loss",),
            early_stopping="medianstopping",
            limits={"max_trials": 400, "max_parallel": 2},
        )
        return client.create_study(spec)


@pytest.fixture(scope="module")
def whole(katib: World, url: str) -> str:
    """A study that has ended, with forty trials."""
    with katib.client() as client:
        spec = study(
            "whole", "echo acc=$x", parameters=PARAMETERS, settings=(Setting("Seed", "3"),), limits={"max_trials": 40}
        )
        study_id = client.create_study(spec)
        finished(client, study_id, 120)
        return study_id
