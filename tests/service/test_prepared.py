"""What services suggest before anybody asks for it."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from katib.domain.errors import FailedPreconditionError, UnavailableError
from katib.domain.names import new_id
from katib.domain.study import Study, StudyState
from katib.domain.trial import Tag
from katib.manager.service.prepared import FRESH_S, MOST_AHEAD, Prepared
from katib.manager.service_ports import History, Suggestion, SuggestionReply, SuggestionRequest
from tests.e2e.harness import study
from tests.service.test_several_managers import Manager, Service, create, value_of


@pytest.fixture
def ahead(tmp_path: Path) -> Iterator[Manager]:
    """With a service that needs no history, which is asked for more than is needed."""
    it = Manager(f"sqlite:///{tmp_path}/katib.db", History.NONE)
    yield it
    it.storage.close()


def test_a_service_that_needs_no_history_is_asked_for_some_trials_ahead(ahead: Manager) -> None:
    study_id = create(ahead)
    values = [t.parameters[0].value for _ in range(100) for t in ahead.suggest(study_id, 1)[0]]
    assert values == [value_of(n) for n in range(1, 101)]
    assert ahead.service.questions < 10


def test_what_was_suggested_ahead_is_used_for_the_number_that_it_was_made_for_alone(
    ahead: Manager, tmp_path: Path
) -> None:
    study_id = create(ahead)
    ahead.suggest(study_id, 4)
    ahead.suggest(study_id, 1)
    other = Manager(f"sqlite:///{tmp_path}/katib.db", History.NONE)
    taken = other.suggest(study_id, 2)[0]
    other.storage.close()
    again = ahead.suggest(study_id, 2)[0]
    assert [t.number for t in (*taken, *again)] == [6, 7, 8, 9]
    assert [t.parameters[0].value for t in again] == [value_of(8), value_of(9)]


def test_what_was_suggested_ahead_is_not_used_once_the_study_has_changed(ahead: Manager) -> None:
    study_id = create(ahead)
    for _ in range(4):
        ahead.suggest(study_id, 1)
    asked = ahead.service.questions
    narrower = replace(ahead.storage.get_study(study_id).spec, tags=(Tag("another", "one"),))
    ahead.storage.update_study(study_id, lambda it: replace(it, spec=narrower))
    ahead.suggest(study_id, 1)
    assert ahead.service.questions == asked + 1


def test_what_was_suggested_ahead_is_not_used_beyond_the_studys_limit_nor_after_its_end(ahead: Manager) -> None:
    study_id = create(ahead, max_trials=6)
    for _ in range(4):
        ahead.suggest(study_id, 1)
    given, completed = ahead.suggest(study_id, 5)
    assert ([t.number for t in given], completed) == ([5, 6], False)
    assert ahead.suggest(study_id, 1) == ((), True)
    ahead.storage.update_study(study_id, lambda it: replace(it, state=StudyState.PAUSED))
    with pytest.raises(FailedPreconditionError, match="only a running one"):
        ahead.suggest(study_id, 1)


def test_what_was_suggested_ahead_is_thrown_away_after_a_while() -> None:
    now = [0.0]
    prepared = Prepared(lambda: now[0])
    it = Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1)
    prepared.put(it, "random", [Suggestion(())] * 3, last=False)
    assert prepared.take(it, "random", 2) == [Suggestion(())] * 2
    now[0] = FRESH_S + 1
    assert prepared.take(it, "random", 2) is None


def test_what_was_suggested_ahead_stays_when_an_older_state_of_the_study_asks_for_it() -> None:
    prepared = Prepared()
    older = Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1, suggested=2)
    it = replace(older, suggested=4, revision=3)
    prepared.put(it, "random", [Suggestion(())] * 3, last=False)
    assert prepared.take(older, "random", 1) is None
    assert prepared.take(it, "random", 3) == [Suggestion(())] * 3
    # And is thrown away once all of it has been given.
    assert prepared.take(replace(it, suggested=7), "random", 1) is None
    assert not prepared.has_some(it.id, "random")


def test_a_client_gets_what_there_is_when_a_service_has_less_than_is_asked_for() -> None:
    prepared = Prepared()
    it = Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1)
    prepared.put(it, "grid", [Suggestion(())], last=True)
    assert prepared.take(it, "grid", 3) == [Suggestion(())]
    assert prepared.take(replace(it, suggested=1), "grid", 3) is None


def test_each_time_a_service_is_asked_it_is_asked_for_more_trials_ahead() -> None:
    prepared = Prepared()
    assert [prepared.ahead("s", "random") for _ in range(9)] == [0, 1, 3, 7, 15, 31, 63, 64, 64]
    assert prepared.ahead("s", "grid") == 0


class LateService(Service):
    """One that answers, from a moment on, when it is told to."""

    def __init__(self) -> None:
        super().__init__(History.NONE)
        self.late = False
        self.out: list[tuple[Future[SuggestionReply], SuggestionReply]] = []

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        reply = super().generate(algorithm, request)
        if not self.late:
            return reply
        later: Future[SuggestionReply] = Future()
        self.out.append((later, reply.result()))
        return later

    def answer(self) -> None:
        later, reply = self.out.pop()
        later.set_result(reply)


@pytest.fixture
def late() -> LateService:
    return LateService()


@pytest.fixture
def busy_manager(tmp_path: Path, late: LateService) -> Iterator[Manager]:
    it = Manager(f"sqlite:///{tmp_path}/katib.db", History.NONE, late)
    yield it
    it.storage.close()


def values(manager: Manager, study_id: str, count: int) -> list[str]:
    return [t.parameters[0].value for _ in range(count) for t in manager.suggest(study_id, 1)[0]]


def until_asked(manager: Manager, late: LateService, study_id: str) -> list[str]:
    """The values of the trials until the service is asked for more, and has not answered."""
    late.late = True
    found: list[str] = []
    while not late.out:
        found += values(manager, study_id, 1)
    return found


def test_a_busy_studys_service_is_asked_while_there_is_something_left_and_nobody_waits(
    busy_manager: Manager, late: LateService
) -> None:
    study_id = create(busy_manager)
    values(busy_manager, study_id, 200)
    asked = late.questions
    given = until_asked(busy_manager, late, study_id)
    # Each call returns though the service is silent.
    given += values(busy_manager, study_id, MOST_AHEAD // 2 - 1)
    assert late.questions == asked + 1
    late.answer()
    late.late = False
    given += values(busy_manager, study_id, MOST_AHEAD)
    assert given == [value_of(n) for n in range(201, 201 + len(given))]


def test_a_service_that_fails_when_it_is_asked_ahead_is_asked_again_by_whoever_needs_it(
    busy_manager: Manager, late: LateService
) -> None:
    study_id = create(busy_manager)
    values(busy_manager, study_id, 200)
    until_asked(busy_manager, late, study_id)
    late.out.pop()[0].set_exception(UnavailableError("away"))
    late.late = False
    asked = late.questions
    begin = busy_manager.storage.get_study(study_id).suggested
    given = values(busy_manager, study_id, 2 * MOST_AHEAD)
    assert given == [value_of(n) for n in range(begin + 1, begin + len(given) + 1)]
    assert late.questions > asked


def test_no_more_is_asked_for_ahead_than_the_study_may_get(busy_manager: Manager, late: LateService) -> None:
    study_id = create(busy_manager, max_trials=205)
    values(busy_manager, study_id, 180)
    late.late = True
    asked = late.questions
    assert len(values(busy_manager, study_id, 25)) == 25
    assert late.questions == asked
    assert busy_manager.suggest(study_id, 1) == ((), True)


def busy(prepared: Prepared, it: Study) -> Study:
    """With eight prepared, of a study for which it asks for more."""
    for _ in range(6):
        prepared.ahead(it.id, "random")
    prepared.put(it, "random", [Suggestion(())] * 8, last=False)
    return replace(it, suggester="random")


def test_what_is_asked_for_ahead_is_asked_for_once() -> None:
    prepared = Prepared()
    it = busy(prepared, Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1))
    assert prepared.begin_refill(replace(it, suggested=3), "random", 1) is None
    found = prepared.begin_refill(replace(it, suggested=4), "random", 1)
    assert found is not None
    assert found[0] == 4
    assert prepared.begin_refill(replace(it, suggested=5), "random", 1) is None


def test_what_was_asked_for_ahead_comes_after_what_is_there_and_is_as_fresh_as_its_question() -> None:
    now = [0.0]
    prepared = Prepared(lambda: now[0])
    it = busy(prepared, Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1))
    now[0] = 10.0
    assert prepared.begin_refill(replace(it, suggested=4), "random", 1) is not None
    now[0] = 20.0
    then = replace(it, suggested=8)
    prepared.refill(then, 4, "random", [Suggestion(())] * 4)
    assert len(prepared.take(replace(it, suggested=6), "random", 6) or ()) == 6
    now[0] = FRESH_S + 1
    assert prepared.take(then, "random", 4) == [Suggestion(())] * 4
    now[0] = FRESH_S + 11
    assert prepared.take(then, "random", 4) is None


@pytest.mark.parametrize("change", [{"suggested": 9}, {"spec": study(algorithm="", tags={"another": "one"})}])
def test_what_was_asked_for_ahead_of_a_study_that_has_gone_on_is_not_kept(change: dict[str, object]) -> None:
    prepared = Prepared()
    it = busy(prepared, Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1))
    prepared.begin_refill(replace(it, suggested=4), "random", 1)
    other = replace(replace(it, suggested=8), **change)  # type: ignore[arg-type]
    prepared.refill(other, 4, "random", [Suggestion(())] * 4)
    assert prepared.take(replace(it, suggested=8), "random", 1) is None


def test_what_comes_next_and_is_not_there_leaves_nothing_to_look_for() -> None:
    prepared = Prepared()
    it = Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1)
    prepared.put(it, "grid", [Suggestion(())], last=True)
    assert prepared.has_some(it.id, "grid")
    assert prepared.take(replace(it, suggested=1), "grid", 1) is None
    assert not prepared.has_some(it.id, "grid")


def test_a_study_that_is_asked_for_ahead_is_not_thrown_away_for_others() -> None:
    prepared = Prepared()
    it = busy(prepared, Study(new_id(), study(algorithm=""), StudyState.RUNNING, datetime.now(UTC), revision=1))
    for last in (8, 16, 24):
        for _ in range(600):
            prepared.ahead(new_id(), "random")
        assert prepared.begin_refill(replace(it, suggested=last - 4), "random", 1) is not None
        prepared.refill(replace(it, suggested=last), 4, "random", [Suggestion(())] * 8)


def test_a_client_has_its_trials_though_its_service_cannot_even_be_asked_ahead(
    busy_manager: Manager, late: LateService, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = create(busy_manager)
    values(busy_manager, study_id, 200)

    def refuse(*_arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    asked = late.questions
    while late.questions == asked:
        values(busy_manager, study_id, 1)
    monkeypatch.setattr(late, "set_parameters", refuse)
    begin = busy_manager.storage.get_study(study_id).suggested
    given = values(busy_manager, study_id, MOST_AHEAD)
    assert given == [value_of(n) for n in range(begin + 1, begin + MOST_AHEAD + 1)]


def test_for_clients_that_ask_for_more_than_there_would_be_nothing_is_asked_ahead(ahead: Manager) -> None:
    study_id = create(ahead)
    for _ in range(12):
        ahead.suggest(study_id, 3 * MOST_AHEAD)
    assert ahead.service.questions == 12


def test_a_service_that_gives_few_at_once_is_not_taken_for_one_that_has_no_more(
    busy_manager: Manager, late: LateService, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = create(busy_manager)
    values(busy_manager, study_id, 200)
    generate = late.generate

    def few(algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        reply: Future[SuggestionReply] = Future()
        whole = generate(algorithm, request).result()
        reply.set_result(replace(whole, suggestions=whole.suggestions[:20]))
        return reply

    monkeypatch.setattr(late, "generate", few)
    assert [len(busy_manager.suggest(study_id, 3)[0]) for _ in range(60)] == [3] * 60
