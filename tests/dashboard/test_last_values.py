"""The further metrics of a study's trials, which are read anew as long as trials end."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from katib.dashboard import last_values
from katib.dashboard.last_values import Metrics
from katib.domain.errors import NotFoundError, UnimplementedError
from katib.domain.models import SavedModel
from katib.domain.trial import Trial, TrialState
from katib.domain.trial_columns import TrialChanges, columns_of
from katib.domain.views import Page, StudyDetail
from tests.cli.scripted import NOW, SPEC, study, trial
from tests.e2e.harness import until

A = "a" + "0" * 15
COMPLETED = TrialState.COMPLETED


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole reading is good for a second, where it takes a fifth of one."""
    monkeypatch.setattr(last_values, "_REST", 5)


class Store:
    """A manager whose model store takes so long to read; each trial's loss is how often the store had been read."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.times = 0
        self.asked: list[str] = []
        # Whose models are there yet.
        self.saved = {trial(1).id}
        self.trials = [trial(1, revision=1, state=COMPLETED)]
        self.detail = StudyDetail(study(A, completed=1), replace(SPEC, metrics=("loss",)), None)

    def get_study(self, _study_id: str) -> StudyDetail:
        return self.detail

    def saved_models(self, name: str, _size: int, _token: str) -> Page[SavedModel]:
        self.times += 1
        time.sleep(self.seconds)
        return Page([self._model(t) for t in self.trials if t.id in self.saved], "")

    def trial_changes(self, _study_id: str, after: int, size: int) -> TrialChanges:
        changed = [t for t in self.trials if t.revision > after]
        revision = changed[size - 1].revision if len(changed) > size else self.detail.summary.revision
        return TrialChanges(self.detail.summary, columns_of(changed[:size]), revision)

    def saved_model(self, _name: str, trial_id: str) -> SavedModel:
        self.asked.append(trial_id)
        if trial_id not in self.saved:
            raise NotFoundError("not yet")
        return next(self._model(t) for t in self.trials if t.id == trial_id)

    def _model(self, it: Trial) -> SavedModel:
        return SavedModel(SPEC.name, it.id, (), (("loss", str(self.times)),), "", study_id=A, number=it.number)

    def end_trials(self, count: int = 1, saved: bool = True, **changes: Any) -> list[str]:
        summary = self.detail.summary
        revision = summary.revision
        begun = len(self.trials)
        new = [trial(begun + i, revision=revision + i, state=COMPLETED) for i in range(1, count + 1)]
        self.trials += new
        if saved:
            self.saved |= {t.id for t in new}
        summary = replace(summary, completed=summary.completed + count, revision=revision + count, **changes)
        self.detail = replace(self.detail, summary=summary)
        return [t.id for t in new]


def values(metrics: Metrics, store: Store) -> Any:
    answer: Any = metrics.of(store, A)  # type: ignore[arg-type]
    return {number: float(value) for number, (value,) in answer["values"].items()}


@pytest.mark.long
def test_what_takes_long_to_read_is_read_once_and_those_that_end_meanwhile_are_asked_for_one_by_one() -> None:
    store, metrics = Store(0.2), Metrics()
    assert values(metrics, store) == {1: 1}
    new = [id_ for _ in range(3) for id_ in store.end_trials() if len(values(metrics, store)) == len(store.trials)]
    assert store.asked == new
    assert (len(new), store.times) == (3, 1)
    # What was saved without the study's knowing is seen with the next whole reading.
    until(lambda: store.end_trials() and values(metrics, store)[1] == 2)
    assert set(values(metrics, store)) == {t.number for t in store.trials}


def test_a_model_that_comes_a_moment_after_its_trial_s_end_is_asked_for_again() -> None:
    store, metrics = Store(1.0), Metrics()
    values(metrics, store)
    (late,) = store.end_trials(saved=False)
    assert set(values(metrics, store)) == {1}
    store.saved.add(late)
    store.end_trials()
    assert set(values(metrics, store)) == {1, 2, 3}
    store.end_trials()
    values(metrics, store)
    assert store.asked.count(late) == 2
    assert store.times == 1


@pytest.mark.long
def test_of_many_that_end_at_once_some_are_asked_for_and_the_others_come_with_the_next_whole_reading() -> None:
    store, metrics = Store(0.3), Metrics()
    values(metrics, store)
    store.end_trials(1000)
    assert len(values(metrics, store)) == 51
    until(lambda: store.end_trials() and len(values(metrics, store)) == len(store.trials) and store.times == 2)


@pytest.mark.long
def test_an_older_manager_that_gives_no_changes_is_read_whole_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    store, metrics = Store(0.2), Metrics()

    def unknown(*_arguments: object) -> NoReturn:
        raise UnimplementedError("no such call")

    monkeypatch.setattr(store, "trial_changes", unknown)
    assert values(metrics, store) == {1: 1}
    store.end_trials()
    assert values(metrics, store) == {1: 1}
    until(lambda: store.end_trials() and len(values(metrics, store)) == len(store.trials))


def test_the_last_values_of_a_study_that_has_ended_are_there_at_once() -> None:
    store, metrics = Store(0.2), Metrics()
    assert values(metrics, store) == {1: 1}
    store.end_trials(ended_at=NOW + timedelta(days=1))

    assert values(metrics, store) == {1: 2, 2: 2}
