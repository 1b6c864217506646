"""Client-driven trials asked for at several managers of one database at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from katib.domain.names import new_id
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Study, StudySpec, StudyState
from katib.domain.trial import Trial
from katib.manager.ports import History, Storage, Suggestion, SuggestionReply, SuggestionRequest
from katib.manager.service.clients import ClientUseCases
from katib.manager.service.context import Context
from katib.manager.storage.open import open_storage
from tests.e2e.harness import study
from tests.storage import servers


class Service:
    """A suggestion service that gives as many as it is asked for; before it answers it can be made to wait."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def set_parameters(self, _algorithm: str, _study_id: str, _spec: StudySpec) -> "Future[History]":
        done: Future[History] = Future()
        done.set_result(History.FINALS)
        return done

    def generate(self, _algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        self.asked.set()
        assert self.answers.wait(60)
        settings = {s.name: s.value for s in request.spec.settings}
        count = int(settings["MaxParallel"]) - request.unfinished_count
        reply: Future[SuggestionReply] = Future()
        suggestion = Suggestion((Parameter("x", ParameterType.DOUBLE, "0.5"),))
        reply.set_result(SuggestionReply((suggestion,) * count, completed=False))
        return reply

    def freeze(self) -> None:
        self.asked.clear()
        self.answers.clear()


class Manager:
    """What one manager has of its own: a connection to the database, and calls under way."""

    def __init__(self, url: str) -> None:
        self.storage: Storage = open_storage(url)
        self.service = Service()
        nothing: Any = None
        self.use_cases = ClientUseCases(
            Context(self.storage, nothing, self.service, nothing, nothing, nothing, nothing, nothing, nothing)  # type: ignore[arg-type]
        )

    def suggest(self, study_id: str, count: int = 2, client_id: str = "") -> tuple[Sequence[Trial], bool]:
        return self.use_cases.suggest_trials(study_id, count, client_id)


@pytest.fixture(params=["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in servers.KINDS)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/katib.db"
        return
    with servers.database_url(request.param) as it:
        servers.drop_tables(it)
        yield it


@pytest.fixture
def manager(url: str) -> Iterator[Callable[[], Manager]]:
    made: list[Manager] = []

    def make() -> Manager:
        made.append(Manager(url))
        return made[-1]

    yield make
    for it in made:
        it.service.answers.set()
        it.storage.close()


def create(manager: Manager, **limits: int) -> str:
    spec = study(algorithm="", limits={"max_trials": None, "max_parallel": None, **limits})
    made = Study(new_id(), spec, StudyState.RUNNING, datetime.now(UTC), revision=1)
    return manager.storage.create_study(made).id


def all_of(manager: Manager, study_id: str) -> list[Trial]:
    return [*manager.storage.finished_trials(study_id), *manager.storage.unfinished_trials(study_id)]


def ask_with_one_frozen(
    frozen: Manager, other: Manager, study_id: str, client_id: str = ""
) -> tuple[tuple[Sequence[Trial], bool], tuple[Sequence[Trial], bool]]:
    """What each gives: `frozen` has read how many there are, and inserts when `other` has gone ahead."""
    frozen.service.freeze()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(frozen.suggest, study_id, 2, client_id)
        assert frozen.service.asked.wait(60)
        ahead = other.suggest(study_id, 2, client_id)
        frozen.service.answers.set()
        return late.result(60), ahead


def test_a_manager_frozen_between_reading_and_inserting_adds_no_trial_too_many(
    manager: Callable[[], Manager],
) -> None:
    frozen, other = manager(), manager()
    study_id = create(frozen, max_trials=3)
    (late, none_left), (ahead, _) = ask_with_one_frozen(frozen, other, study_id)
    assert (len(late), len(ahead)) == (1, 2)
    assert not none_left
    trials = all_of(other, study_id)
    assert [t.number for t in trials] == [1, 2, 3]
    assert {t.id for t in trials} == {t.id for t in (*late, *ahead)}
    assert other.storage.get_study(study_id).suggested == 3
    assert frozen.suggest(study_id) == ((), True)


def test_a_client_that_asks_another_manager_meanwhile_gets_its_trials_once(manager: Callable[[], Manager]) -> None:
    frozen, other = manager(), manager()
    study_id = create(frozen)
    (late, _), (ahead, _) = ask_with_one_frozen(frozen, other, study_id, client_id="the same")
    assert [t.id for t in late] == [t.id for t in ahead]
    assert len(all_of(other, study_id)) == 2


def test_clients_of_several_managers_at_once_get_each_number_once_and_none_too_many(
    manager: Callable[[], Manager],
) -> None:
    managers = [manager() for _ in range(3)]
    study_id = create(managers[0], max_trials=25)

    def client(number: int) -> list[Trial]:
        found: list[Trial] = []
        while True:
            trials, completed = managers[number % 3].suggest(study_id, 1)
            found += trials
            if completed:
                return found

    with ThreadPoolExecutor(6) as pool:
        given = [t for trials in pool.map(client, range(6)) for t in trials]
    assert sorted(t.number for t in given) == list(range(1, 26))
    assert len({t.id for t in given}) == 25
    assert len(all_of(managers[1], study_id)) == 25
