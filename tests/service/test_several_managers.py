"""Client-driven trials asked for at several managers of one database at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from katib.domain.lease import DEFAULT_LEASE
from katib.domain.metrics import Observation
from katib.domain.names import new_id
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Study, StudySpec, StudyState
from katib.domain.trial import Trial, TrialState
from katib.manager.ports import Storage
from katib.manager.service.ask import Ask
from katib.manager.service.clients import ClientUseCases
from katib.manager.service.completion import Completion
from katib.manager.service.context import Context
from katib.manager.service.lines import Lines
from katib.manager.service_ports import History, Suggestion, SuggestionReply, SuggestionRequest
from katib.manager.storage.open import open_storage
from tests.e2e.harness import study, until
from tests.storage import servers


def value_of(number: int) -> str:
    return repr(number / 1000)


class Service:
    """A suggestion service that gives as many as it is asked for, to each trial its number; before it answers it can be made
    to wait."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.questions = 0
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def set_parameters(self, _algorithm: str, _study_id: str, _spec: StudySpec) -> "Future[History]":
        done: Future[History] = Future()
        done.set_result(self.history)
        return done

    def generate(self, _algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        self.asked.set()
        assert self.answers.wait(60)
        settings = {s.name: s.value for s in request.spec.settings}
        count = int(settings["MaxParallel"]) - request.unfinished_count
        self.questions += 1
        reply: Future[SuggestionReply] = Future()
        numbers = range(request.first_number, request.first_number + count)
        suggestions = [Suggestion((Parameter("x", ParameterType.DOUBLE, value_of(number)),)) for number in numbers]
        reply.set_result(SuggestionReply(tuple(suggestions), completed=False))
        return reply

    def freeze(self) -> None:
        self.asked.clear()
        self.answers.clear()


class Manager:
    """What one manager has of its own: a connection to the database, and calls under way."""

    def __init__(self, url: str, history: History, service: Service | None = None) -> None:
        self.storage: Storage = open_storage(url)
        self.service = service or Service(history)
        nothing: Any = None
        controller: Any = SimpleNamespace(wake_soon=lambda _study_id: None, wake=lambda _study_id: None)
        self.use_cases = ClientUseCases(
            Context(self.storage, nothing, self.service, nothing, nothing, nothing, controller, nothing, nothing)  # type: ignore[arg-type]
        )

    @property
    def lines(self) -> Lines:
        return self.use_cases._giver.lines

    def suggest(self, study_id: str, count: int = 2, client_id: str = "") -> tuple[Sequence[Trial], bool]:
        return self.use_cases.suggest_trials(study_id, count, client_id)

    def go_on(self, trial: Trial) -> tuple[Sequence[Trial], bool] | None:
        """Its client ends it, and asks for the next one in the same call."""
        left = [Observation("acc", 0.5, trial.created_at, 1, "", 1)]
        return self.use_cases.complete_trial(
            trial.study_id, trial.id, Completion(is_complete=True, observations=left), Ask(1, trial.client_id)
        )


@pytest.fixture(params=["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in servers.KINDS)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/katib.db"
        return
    with servers.database_url(request.param) as it:
        servers.drop_tables(it)
        yield it


@pytest.fixture(params=[History.FINALS, History.NONE])
def manager(request: pytest.FixtureRequest, url: str) -> Iterator[Callable[[], Manager]]:
    made: list[Manager] = []

    def make() -> Manager:
        made.append(Manager(url, request.param))
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


@pytest.mark.long
def test_a_client_that_asks_another_manager_meanwhile_gets_its_trials_once(manager: Callable[[], Manager]) -> None:
    frozen, other = manager(), manager()
    study_id = create(frozen)
    (late, _), (ahead, _) = ask_with_one_frozen(frozen, other, study_id, client_id="the same")
    assert [t.id for t in late] == [t.id for t in ahead]
    assert len(all_of(other, study_id)) == 2


def meanwhile(manager: Manager, what: Callable[[], object]) -> None:
    """`what` happens between the manager's look for the client's own trials, which finds none, and all that follows."""
    look = manager.storage.has_trials_for

    def look_and_freeze(study_id: str, client_id: str) -> bool:
        found = look(study_id, client_id)
        manager.storage.has_trials_for = look  # type: ignore[method-assign]
        what()
        return found

    manager.storage.has_trials_for = look_and_freeze  # type: ignore[method-assign]


def test_a_client_that_asks_another_manager_after_the_first_has_looked_for_its_trials_gets_the_same(
    manager: Callable[[], Manager],
) -> None:
    frozen, other = manager(), manager()
    study_id = create(frozen)
    ahead: list[Trial] = []
    meanwhile(frozen, lambda: ahead.extend(other.suggest(study_id, 2, "the same")[0]))
    late, _ = frozen.suggest(study_id, 2, "the same")
    assert len(ahead) == 2
    assert [t.id for t in late] == [t.id for t in ahead]
    assert len(all_of(other, study_id)) == 2


def test_a_client_that_another_manager_has_handed_a_trial_meanwhile_gets_no_new_one_beside_it(
    manager: Callable[[], Manager],
) -> None:
    frozen, other = manager(), manager()
    study_id = create(frozen)
    ((left,), _) = other.suggest(study_id, 1, "gone")
    soon = timedelta(milliseconds=1)

    def hand_on() -> Sequence[Trial]:
        # No trial is new: only the client's own tell.
        other.storage.hand_out(study_id, "gone", 1, soon, datetime.now(UTC))
        return until(lambda: other.storage.hand_out(study_id, "the same", 1, DEFAULT_LEASE, datetime.now(UTC)))

    meanwhile(frozen, hand_on)
    ((late,), _) = frozen.suggest(study_id, 1, "the same")
    assert (late.id, late.attempt) == (left.id, 2)
    assert len(all_of(other, study_id)) == 1


@pytest.mark.long
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
    assert [t.parameters[0].value for t in sorted(given, key=lambda t: t.number)] == [value_of(n) for n in range(1, 26)]


@pytest.mark.long
def test_clients_that_go_round_at_one_manager_after_the_other_end_each_trial_once_and_get_each_number_once(
    manager: Callable[[], Manager],
) -> None:
    managers = [manager() for _ in range(3)]
    study_id = create(managers[0], max_trials=25)

    def client(number: int) -> list[Trial]:
        found: list[Trial] = []
        name = f"client {number}"
        trials, _ = managers[number % 3].suggest(study_id, 1, name)
        while trials:
            found += trials
            here, there = (managers[(number + len(found) + i) % 3] for i in range(2))
            given = here.go_on(found[-1])
            # As one that has not heard the answer does.
            again = there.go_on(found[-1])
            if given is not None and given[0]:
                assert again is not None
                assert [t.id for t in again[0]] == [t.id for t in given[0]]
            trials, _ = again or here.suggest(study_id, 1, name)
        return found

    with ThreadPoolExecutor(6) as pool:
        given = [t for trials in pool.map(client, range(6)) for t in trials]
    assert sorted(t.number for t in given) == list(range(1, 26))
    after = managers[1].storage.get_study(study_id)
    assert (after.completed, after.unfinished_trials, after.suggested, after.observed) == (25, 0, 25, 25)
    assert {t.state for t in all_of(managers[1], study_id)} == {TrialState.COMPLETED}


def test_clients_that_wait_for_a_service_are_served_by_one_question_and_one_write(
    manager: Callable[[], Manager],
) -> None:
    it = manager()
    study_id = create(it)
    it.service.freeze()
    names = [f"client {i}" for i in range(5)]
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(it.suggest, study_id, 1, "first")
        assert it.service.asked.wait(60)
        others = [pool.submit(it.suggest, study_id, 1 + i % 2, name) for i, name in enumerate(names)]
        until(lambda: it.lines.waiting(study_id, "random") == 5)
        revision = it.storage.get_study(study_id).revision
        it.service.answers.set()
        assert [t.client_id for t in first.result(60)[0]] == ["first"]
        given = [other.result(60)[0] for other in others]
    assert [[t.client_id for t in trials] for trials in given] == [[n] * (1 + i % 2) for i, n in enumerate(names)]
    assert sorted(t.number for trials in given for t in trials) == list(range(2, 9))
    assert {t.lease for trials in given for t in trials} == {DEFAULT_LEASE}
    assert it.service.questions == 2
    if it.service.history is not History.NONE:
        # The first one's and the others'.
        assert it.storage.get_study(study_id).revision == revision + 2


def test_a_client_that_asks_again_while_its_call_before_waits_gets_the_same_trial(
    manager: Callable[[], Manager],
) -> None:
    it = manager()
    study_id = create(it)
    it.service.freeze()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(it.suggest, study_id, 1, "first")
        assert it.service.asked.wait(60)
        twice = [pool.submit(it.suggest, study_id, 1, name) for name in ("again", "first")]
        until(lambda: it.lines.waiting(study_id, "random") == 2)
        again = pool.submit(it.suggest, study_id, 1, "again")
        it.service.answers.set()
        assert twice[1].result(60)[0][0].id == first.result(60)[0][0].id
        assert again.result(60)[0][0].id == twice[0].result(60)[0][0].id
    assert len(all_of(it, study_id)) == 2


@pytest.mark.long
def test_a_trial_that_has_silenced_two_clients_is_given_to_a_third_only_when_there_is_no_other(
    manager: Callable[[], Manager],
) -> None:
    it = manager()
    study_id = create(it, max_trials=2)
    ((bad,), _) = it.suggest(study_id, 1, "first")
    soon = timedelta(milliseconds=1)
    it.storage.hand_out(study_id, "first", 1, soon, datetime.now(UTC))
    until(lambda: it.storage.hand_out(study_id, "second", 1, soon, datetime.now(UTC)))
    assert until(lambda: it.storage.has_trials_for(study_id, "third"))
    ((other,), _) = it.suggest(study_id, 1, "third")
    assert other.number == 2
    ((last,), completed) = it.suggest(study_id, 1, "fourth")
    assert (last.id, last.attempt, completed) == (bad.id, 3, False)
