"""Who tells the controller that a study, which clients drive, has come to its end: the completion that brought it there."""

from typing import Any

import pytest

from katib.domain.study import Limits
from katib.domain.trial import TrialState
from katib.manager.service.clients import ClientUseCases
from katib.manager.service.completion import Completion
from katib.manager.service.context import Context
from katib.manager.storage.memory import MemoryStorage
from tests.storage.builders import add, make_spec, make_study, observe


class Wakes:
    """A controller as use cases see it, which writes down what it is told."""

    def __init__(self) -> None:
        self.at_once: list[str] = []
        self.soon: list[str] = []

    def wake(self, study_id: str) -> None:
        self.at_once.append(study_id)

    def wake_soon(self, study_id: str) -> None:
        self.soon.append(study_id)


@pytest.mark.parametrize(
    ("spec", "error", "ends"),
    [
        ({}, "", False),
        ({"limits": Limits(max_trials=3)}, "", False),
        ({"limits": Limits(max_trials=2)}, "", True),
        ({"goal": 0.9}, "", False),
        ({"goal": 0.5}, "", True),
        ({"limits": Limits(max_failed_trials=1)}, "", False),
        ({"limits": Limits(max_failed_trials=1)}, "it broke", True),
    ],
)
def test_a_completion_wakes_the_controller_at_once_where_the_study_is_to_end(
    spec: dict[str, Any], error: str, ends: bool
) -> None:
    storage, controller, nothing = MemoryStorage(), Wakes(), None
    use_cases = ClientUseCases(
        Context(storage, nothing, nothing, nothing, nothing, nothing, controller, nothing, nothing)  # type: ignore[arg-type]
    )
    study = storage.create_study(make_study(spec=make_spec(**spec)))
    first, second = add(storage, study, 2, client_id="c", running=True)
    for trial in (first, second):
        storage.report(trial.id, 0, [observe(0.6)])
    use_cases.complete_trial(study.id, first.id, Completion(is_complete=True))
    assert (controller.soon, controller.at_once) == (([], [study.id]) if spec.get("goal") == 0.5 else ([study.id], []))
    controller.soon.clear()
    controller.at_once.clear()
    use_cases.complete_trial(study.id, second.id, Completion(is_complete=not error, error=error))
    assert (controller.soon, controller.at_once) == (([], [study.id]) if ends else ([study.id], []))
    assert storage.get_trial(second.id).state is (TrialState.ERROR if error else TrialState.COMPLETED)
