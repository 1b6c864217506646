"""Clients that ask several algorithms for the points of one finite space."""

from pathlib import Path
from typing import Any

import pytest

from katib.api import api_pb2 as pb
from katib.api import api_pb2_grpc
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType, Scale
from tests.e2e.harness import stub, study, world

PARAMETERS = (
    ParameterConfig("layers", ParameterType.INT, FeasibleSpace("1", "4")),
    ParameterConfig("rate", ParameterType.DOUBLE, FeasibleSpace("0.001", "1", step="0.333", scale=Scale.LOG)),
    ParameterConfig("optimizer", ParameterType.CATEGORICAL, FeasibleSpace(list=("sgd", "adam", "ftrl"))),
)
SIZE = 4 * 4 * 3


def given(manager: api_pb2_grpc.ManagerStub, study_id: str, algorithm: str, count: int) -> Any:
    request = pb.SuggestTrialsRequest(study_id=study_id, suggest_algorithm=algorithm, count=count)
    return manager.SuggestTrials(request, timeout=60)


@pytest.mark.long
def test_each_point_is_tried_once_whichever_algorithms_are_asked_by_turns(tmp_path: Path) -> None:
    algorithms = ["grid", "random", "sobol"]
    with world(tmp_path) as katib:
        for algorithm in algorithms:
            katib.suggestion(algorithm)
        katib.manager()
        manager = stub(katib.address)
        spec = study(parameters=PARAMETERS, algorithm="", limits={"max_trials": None, "max_parallel": None})
        with katib.client() as client:
            study_id = client.create_study(spec)
        points: list[frozenset[tuple[str, str]]] = []
        # One alone first, which need not know of the trials; then by turns, some of them ended and some not.
        for turn, algorithm in enumerate(["grid"] * 3 + algorithms * SIZE):
            reply = given(manager, study_id, algorithm, 1 + turn % 3)
            if not reply.trials:
                break
            points += [frozenset((p.name, p.value) for p in trial.parameter_set) for trial in reply.trials]
            for trial in reply.trials[turn % 2 :]:
                done = pb.CompleteTrialRequest(
                    study_id=study_id, trial_id=trial.trial_id, is_complete=True, objective_value="0.5"
                )
                manager.CompleteTrial(done, timeout=60)

        assert len(points) == len(set(points)) == SIZE
        # Nobody has any more.
        assert not any(given(manager, study_id, algorithm, 1).trials for algorithm in algorithms)
