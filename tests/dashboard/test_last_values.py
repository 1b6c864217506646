"""The further metrics of a study's trials, which are read anew as long as trials end."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from katib.dashboard.last_values import Metrics
from katib.domain.models import SavedModel
from katib.domain.views import Page, StudyDetail
from tests.cli.scripted import NOW, SPEC, study
from tests.e2e.harness import until

A = "a" + "0" * 15


class Store:
    """A manager whose model store takes so long to read; each trial's loss is how often it was read."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.times = 0
        self.detail = StudyDetail(study(A, completed=1), replace(SPEC, metrics=("loss",)), None)

    def get_study(self, _study_id: str) -> StudyDetail:
        return self.detail

    def saved_models(self, name: str, _size: int, _token: str) -> Page[SavedModel]:
        self.times += 1
        time.sleep(self.seconds)
        return Page([SavedModel(name, "t" * 16, (), (("loss", str(self.times)),), "", study_id=A, number=1)], "")

    def end_a_trial(self, **changes: Any) -> None:
        summary = self.detail.summary
        self.detail = replace(self.detail, summary=replace(summary, completed=summary.completed + 1, **changes))


def loss(metrics: Metrics, store: Store) -> Any:
    answer: Any = metrics.of(store, A)  # type: ignore[arg-type]
    return float(answer["values"][1][0])


def test_what_takes_long_to_read_is_not_read_again_for_each_trial_that_ends() -> None:
    store, metrics = Store(0.2), Metrics()
    assert loss(metrics, store) == 1
    for _ in range(3):
        store.end_a_trial()
        assert loss(metrics, store) == 1
    until(lambda: loss(metrics, store) == 2)


def test_the_last_values_of_a_study_that_has_ended_are_there_at_once() -> None:
    store, metrics = Store(0.2), Metrics()
    assert loss(metrics, store) == 1
    store.end_a_trial(ended_at=NOW + timedelta(days=1))

    assert loss(metrics, store) == 2
