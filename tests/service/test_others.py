"""Studies whose clients ask more than one algorithm, and services that need to know of it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.manager.service_ports import History, SuggestionReply, SuggestionRequest
from tests.service.test_several_managers import Manager, Service, create, value_of


class Noting(Service):
    """Remembers how many trials each question brought; None: it brought their number alone."""

    def __init__(self) -> None:
        super().__init__(History.OTHERS)
        self.needs: dict[str, History] = {}
        self.brought: list[int | None] = []
        # While a question is under way.
        self.asking: Callable[[str], object] = lambda _algorithm: None

    def set_parameters(self, algorithm: str, _study_id: str, _spec: StudySpec) -> "Future[History]":
        done: Future[History] = Future()
        done.set_result(self.needs.get(algorithm, self.history))
        return done

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        history = request.history
        self.brought.append(None if history is None else len(history.all()) + len(request.unfinished))
        self.asking(algorithm)
        return super().generate(algorithm, request)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    it = Manager(f"sqlite:///{tmp_path}/katib.db", History.OTHERS, Noting())
    yield it
    it.storage.close()


def ask(manager: Manager, study_id: str, algorithm: str, count: int = 1) -> Sequence[Trial]:
    return manager.use_cases.suggest_trials(study_id, count, algorithm=algorithm)[0]


def brought(manager: Manager) -> list[int | None]:
    assert isinstance(manager.service, Noting)
    return manager.service.brought


def test_a_service_that_suggested_all_trials_is_told_how_many_and_asked_ahead(manager: Manager) -> None:
    study_id = create(manager)
    values = [t.parameters[0].value for _ in range(100) for t in ask(manager, study_id, "grid")]
    assert values == [value_of(n) for n in range(1, 101)]
    assert set(brought(manager)) == {None}
    assert manager.service.questions < 10


def test_a_service_is_told_of_the_trials_once_another_algorithm_has_suggested_some(manager: Manager) -> None:
    study_id = create(manager)
    ask(manager, study_id, "grid", 3)
    ask(manager, study_id, "random", 2)
    ask(manager, study_id, "grid")
    ask(manager, study_id, "grid")
    ask(manager, study_id, "random")
    assert brought(manager) == [None, 3, 5, 6, 7]


def test_what_was_suggested_ahead_is_not_used_once_another_algorithm_has_suggested_some(manager: Manager) -> None:
    study_id = create(manager)
    for _ in range(4):
        ask(manager, study_id, "grid")
    questions = manager.service.questions
    (trial,) = ask(manager, study_id, "grid")
    assert (trial.number, manager.service.questions) == (5, questions)
    ask(manager, study_id, "random")
    ask(manager, study_id, "grid")
    assert brought(manager)[questions:] == [5, 6]


def test_what_another_manager_has_another_algorithm_suggest_counts(manager: Manager, tmp_path: Path) -> None:
    study_id = create(manager)
    for _ in range(4):
        ask(manager, study_id, "grid")
    questions = manager.service.questions
    other = Manager(f"sqlite:///{tmp_path}/katib.db", History.OTHERS, Noting())
    ask(other, study_id, "random")
    other.storage.close()
    ask(manager, study_id, "grid")
    assert brought(manager)[questions:] == [5]


@pytest.mark.parametrize("needs", [History.OTHERS, History.NONE], ids=["finite", "a continuum"])
def test_who_asks_another_algorithm_gets_a_trial_though_many_take_what_was_suggested_ahead(
    manager: Manager, needs: History
) -> None:
    """Each of these is given its trial faster than the other service answers."""
    assert isinstance(manager.service, Noting)
    manager.service.needs = {"grid": needs, "random": History.FINALS}
    study_id = create(manager)
    for _ in range(4):
        ask(manager, study_id, "grid")
    supply = manager.use_cases._giver._supply

    def meanwhile(algorithm: str) -> None:
        if algorithm == "random" and supply.has_some(study_id, "grid"):
            ask(manager, study_id, "grid")

    manager.service.asking = meanwhile
    numbers = []
    for _ in range(3):
        numbers += [trial.number for trial in ask(manager, study_id, "random")]
        for _ in range(4):
            ask(manager, study_id, "grid")
    assert numbers == [5, 10, 15]
