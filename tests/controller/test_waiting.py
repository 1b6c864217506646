"""What a study shows while its suggestion service has not answered yet."""

import math
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.names import new_id
from katib.domain.study import Limits, Study, StudyReason, StudySpec, StudyState
from katib.manager.changes import StudyMove
from katib.manager.controller.asking import Conversation
from katib.manager.controller.means import Means, Outside
from katib.manager.controller.observed import Asking, Observed
from katib.manager.controller.plan import plan
from katib.manager.controller.reconcile import Reconciler
from katib.manager.metrics import Metrics
from katib.manager.quotas import Room
from katib.manager.service_ports import History, MoreToTellError, SuggestionReply, SuggestionRequest
from katib.manager.storage.memory import MemoryStorage
from katib.worker.local.worker import LocalWorker
from tests.e2e.harness import study

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Silent:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.settings: Future[History] = Future()
        self.reply: Future[SuggestionReply] = Future()

    def set_parameters(self, _algorithm: str, _study_id: str, _spec: StudySpec) -> "Future[History]":
        return self.settings

    def generate(self, _algorithm: str, _request: SuggestionRequest) -> "Future[SuggestionReply]":
        return self.reply

    def stop(self, _algorithm: str, _study_id: str) -> None: ...


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def made(storage: MemoryStorage) -> Study:
    return storage.create_study(Study(new_id(), study(), StudyState.RUNNING, NOW, 1))


@pytest.fixture
def silent() -> Silent:
    return Silent()


@pytest.fixture
def conversation(made: Study, silent: Silent, storage: MemoryStorage) -> Conversation:
    """A question has gone out at NOW."""
    it = Conversation(silent, storage, lambda: None, Room(storage))
    it.prepared(made, History.FINALS)
    it.take(made, NOW)
    it.ask(made, [], 1)
    return it


def shown(conversation: Conversation, made: Study, seconds: float) -> Asking:
    assert conversation.take(made, NOW + timedelta(seconds=seconds)) == []
    return conversation.look(made)


def said(seconds: int) -> tuple[str, str]:
    message = f"suggestion-random was asked more than {seconds} s ago and has not answered yet; it may compute long, "
    return StudyReason.WAITING_FOR_SUGGESTIONS, message + "and its log may say more"


def test_a_question_that_is_out_is_shown_after_five_seconds_and_each_half_minute_anew(
    conversation: Conversation, made: Study
) -> None:
    for seconds, trouble, until in (
        (0, None, 5),
        (4.9, None, 5),
        (5, said(5), 30),
        (29.9, said(5), 30),
        (30, said(30), 60),
        (59, said(30), 60),
        (61, said(60), 90),
    ):
        asking = shown(conversation, made, seconds)
        assert (asking.trouble, asking.trouble_until) == (trouble, NOW + timedelta(seconds=until))


def test_a_study_is_looked_at_when_its_question_is_to_be_shown_though_nothing_happens(
    silent: Silent, storage: MemoryStorage, tmp_path: Path
) -> None:
    made = storage.create_study(Study(new_id(), study(), StudyState.RUNNING, datetime.now(UTC), 1, manager="a" * 16))
    worker = LocalWorker(tmp_path)
    outside = Outside(storage, worker, silent, None, Metrics())  # type: ignore[arg-type]
    reconciler = Reconciler(Means("a" * 16, outside, lambda _: None))

    def look() -> float:
        again = reconciler.reconcile(made.id)
        return math.inf if again is None else (again - datetime.now(UTC)).total_seconds()

    assert 0 < look() <= 5
    silent.settings.set_result(History.FINALS)
    # The question goes out now.
    assert 0 < look() <= 5
    worker.close()


def test_settings_that_are_not_accepted_yet_are_shown_too(made: Study, silent: Silent) -> None:
    storage = MemoryStorage()
    conversation = Conversation(silent, storage, lambda: None, Room(storage))
    conversation.take(made, NOW)
    conversation.ask(made, [], 1)
    assert shown(conversation, made, 6).trouble == said(5)
    silent.settings.set_result(History.FINALS)
    assert shown(conversation, made, 7).trouble is None


def test_a_service_that_is_told_the_study_in_parts_is_waited_for_from_the_first_of_them_on(
    made: Study, silent: Silent, conversation: Conversation
) -> None:
    for seconds in (4, 8):
        reply, silent.reply = silent.reply, Future()
        reply.set_exception(MoreToTellError("a part has been sent"))
        assert not shown(conversation, made, seconds).in_flight
        conversation.ask(made, [], 1)
    assert shown(conversation, made, 9).trouble == said(5)
    # What is asked after an answer is another question.
    reply, silent.reply = silent.reply, Future()
    reply.set_result(SuggestionReply((), completed=False))
    shown(conversation, made, 20)
    conversation.ask(made, [], 1)
    assert shown(conversation, made, 24).trouble != said(5)


@pytest.mark.parametrize(
    ("said", "shown_as"),
    [
        ("suggestion-random failed (UNKNOWN): odd", "suggestion-random failed (UNKNOWN): odd"),
        ("nothing answers at x:6789", "suggestion-random: nothing answers at x:6789"),
        ("suggestion-random-two failed", "suggestion-random: suggestion-random-two failed"),
    ],
)
def test_a_failure_names_its_service_once(
    made: Study, silent: Silent, conversation: Conversation, said: str, shown_as: str
) -> None:
    silent.reply.set_exception(UnavailableError(said))
    trouble = shown(conversation, made, 1).trouble
    assert trouble is not None
    assert trouble[1] == f"{shown_as}; it is asked again until it answers"


def test_no_more_of_a_failure_is_shown_than_fits(made: Study, silent: Silent, conversation: Conversation) -> None:
    silent.reply.set_exception(UnavailableError(10_000 * "z"))
    trouble = shown(conversation, made, 1).trouble
    assert trouble is not None
    assert 1000 < len(trouble[1]) < 1100
    assert trouble[1].endswith("it is asked again until it answers")


def test_a_service_that_has_nothing_is_asked_ever_more_seldom_until_another_trial_ends(
    made: Study, silent: Silent, conversation: Conversation
) -> None:
    """As hyperband's, whose rung waits for a trial of hours while slots are free."""

    def nothing(study: Study) -> float:
        """In how many seconds it may be asked again, when it has nothing now."""
        reply, silent.reply = silent.reply, Future()
        reply.set_result(SuggestionReply((), completed=False))
        conversation.take(study, NOW)
        before = conversation.look(study).not_before
        conversation.ask(study, [], 1)
        return 0.0 if before is None else (before - NOW).total_seconds()

    running = replace(made, running=2)
    waits = [nothing(running) for _ in range(10)]
    assert 0 < waits[0] <= 0.25
    assert 18 <= waits[-1] <= 30
    finished = replace(running, running=1, completed=1)
    # The question that was out says nothing of it.
    assert nothing(finished) == 0
    assert 0 < nothing(finished) <= 0.25
    assert nothing(finished) > 0.25
    # Nothing runs any more: whoever has nothing then is at work on it.
    over = [nothing(replace(finished, running=0, completed=2)) for _ in range(10)]
    assert 1 <= over[-1] <= 2
    more = replace(finished, spec=replace(made.spec, limits=Limits(max_parallel=9)))
    assert conversation.look(more).not_before is None


def test_a_service_that_fails_after_it_had_nothing_for_long_is_asked_again_as_soon_as_any_other(
    made: Study, silent: Silent, conversation: Conversation
) -> None:
    made = replace(made, running=1)
    for _ in range(10):
        reply, silent.reply = silent.reply, Future()
        reply.set_result(SuggestionReply((), completed=False))
        conversation.take(made, NOW)
        conversation.ask(made, [], 1)
    reply, silent.reply = silent.reply, Future()
    # As one of 0.1 that was restarted meanwhile, and wants to be told the study first.
    reply.set_exception(NotFoundError("no such study"))
    conversation.take(made, NOW)
    before = conversation.look(made).not_before
    assert before is not None
    assert before <= NOW + timedelta(seconds=0.25)


def test_an_answer_ends_the_wait_and_a_failure_is_shown_in_its_place(
    conversation: Conversation, made: Study, silent: Silent
) -> None:
    assert shown(conversation, made, 6).trouble == said(5)
    silent.reply.set_exception(UnavailableError("it is frozen"))
    asking = shown(conversation, made, 7)
    assert asking.trouble is not None
    assert asking.trouble[0] == StudyReason.SUGGESTION_UNAVAILABLE
    assert asking.trouble_until is None


def test_a_study_with_room_is_looked_at_again_when_it_shows_something_else(made: Study) -> None:
    until = NOW + timedelta(seconds=5)
    asking = Asking(in_flight=True, history=History.FINALS, trouble=said(5), trouble_until=until)
    observed = Observed(made, (), {}, asking=asking)
    todo = plan(observed, NOW)
    assert todo.wake_at == until
    assert [(a.reason, a.message) for a in todo.actions if isinstance(a, StudyMove)] == [said(5)]
