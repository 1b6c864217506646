"""Clients that act in the middle of a pass over the study that they drive."""

from datetime import UTC, datetime, timedelta

from katib.domain.names import new_id
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import StudyReason
from katib.domain.trial import NewTrial
from tests.controller.desk import Desk
from tests.e2e.harness import study


def test_a_study_does_not_end_while_a_client_takes_a_trial(desk: Desk) -> None:
    study_id = desk.create(study(algorithm="", limits={"max_duration": timedelta(seconds=0.01)}))
    new = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),), client_id="me")
    desk.storage.meanwhile = lambda: desk.storage.add_trials(study_id, 0, [new], datetime.now(UTC), running=True)
    ended = desk.finish(study_id)
    assert desk.storage.meanwhile is None
    assert (ended.reason, ended.unfinished_trials, ended.killed) == (StudyReason.MAX_DURATION, 0, 1)
