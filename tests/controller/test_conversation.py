"""What a suggestion service is told and when, where it keeps a state of its own as those of 0.1 did."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.names import new_id
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Study, StudyReason, StudySpec, StudyState
from katib.domain.trial import NewTrial, Tag
from katib.manager.controller.asking import MAX_TAG_CHARACTERS, Conversation
from katib.manager.controller.means import Means, Outside
from katib.manager.controller.reconcile import Reconciler
from katib.manager.metrics import Metrics
from katib.manager.quotas import Room
from katib.manager.service_ports import History, Suggestion, SuggestionReply, SuggestionRequest
from katib.manager.storage.memory import MemoryStorage
from katib.worker.local.worker import LocalWorker
from tests.e2e.harness import study, until

ME = "a" * 16


class Counting:
    """Gives out as many suggestions as the study asked for, and counts them since it was last told the settings. `meanwhile`
    happens once, before its answer arrives."""

    def __init__(self) -> None:
        self.told = 0
        self.given = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def set_parameters(self, _algorithm: str, _study_id: str, _spec: StudySpec) -> "Future[History]":
        self.told += 1
        self.given = 0
        done: Future[History] = Future()
        done.set_result(History.FINALS)
        return done

    def generate(self, _algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        limits = request.spec.limits
        assert limits.max_trials is not None
        count = min((limits.max_parallel or 1) - request.unfinished_count, limits.max_trials - self.given)
        points = [f"0.{self.given + i + 1}" for i in range(count)]
        self.given += count
        completed = count == 0 and not request.unfinished_count
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        done: Future[SuggestionReply] = Future()
        suggestions = tuple(Suggestion((Parameter("x", ParameterType.DOUBLE, point),)) for point in points)
        done.set_result(SuggestionReply(suggestions, completed))
        return done

    def stop(self, _algorithm: str, _study_id: str) -> None: ...


class Away(MemoryStorage):
    """Cannot store new trials `times` times."""

    times = 0

    def add_trials(self, *arguments: object, **named: object):  # type: ignore[no-untyped-def]
        if self.times:
            self.times -= 1
            raise UnavailableError("the database is away")
        return super().add_trials(*arguments, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trouble", "told", "points"),
    [
        ("paused", 1, ["0.1", "0.2", "0.3", "0.4"]),
        ("away", 1, ["0.1", "0.2", "0.3", "0.4"]),
        # What was suggested without knowing of it is of no use: the service begins anew.
        ("another has added one", 2, ["0.9", "0.1", "0.2", "0.3"]),
    ],
)
def test_suggestions_that_cannot_be_stored_at_once_are_stored_later_or_begun_anew(
    tmp_path: Path, trouble: str, told: int, points: list[str]
) -> None:
    storage, service, worker = Away(), Counting(), LocalWorker(tmp_path)
    outside = Outside(storage, worker, service, None, Metrics())  # type: ignore[arg-type]
    reconciler = Reconciler(Means(ME, outside, lambda _: None))
    spec = study(script="echo acc=1", limits={"max_trials": 4, "max_parallel": 2})
    made = storage.create_study(Study(new_id(), spec, StudyState.RUNNING, datetime.now(UTC), 1, manager=ME))

    def set_state(state: StudyState) -> None:
        storage.update_study(made.id, lambda it: replace(it, state=state))

    if trouble == "paused":
        service.meanwhile = lambda: set_state(StudyState.PAUSED)
    elif trouble == "away":
        storage.times = 1
    else:
        one = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.9"),))
        service.meanwhile = lambda: storage.add_trials(made.id, 0, [one], datetime.now(UTC))

    def look() -> Study | None:
        before = storage.get_study(made.id)
        try:
            reconciler.reconcile(made.id)
        except UnavailableError:
            pass
        if before.state is StudyState.PAUSED:
            # The pass has met it so.
            set_state(StudyState.RUNNING)
        found = storage.get_study(made.id)
        return found if found.state.finished else None

    ended = until(look, poll=0.01)
    worker.close()

    assert (ended.reason, ended.completed) == (StudyReason.MAX_TRIALS, 4)
    assert service.told == told
    tried = sorted(storage.finished_trials(made.id), key=lambda trial: trial.number)
    assert [trial.parameters[0].value for trial in tried] == points


def test_a_pause_in_the_very_moment_of_storing_loses_no_suggestion(tmp_path: Path) -> None:
    storage, service, worker = Away(), Counting(), LocalWorker(tmp_path)
    outside = Outside(storage, worker, service, None, Metrics())  # type: ignore[arg-type]
    reconciler = Reconciler(Means(ME, outside, lambda _: None))
    spec = study(script="echo acc=1", limits={"max_trials": 2, "max_parallel": 2})
    made = storage.create_study(Study(new_id(), spec, StudyState.RUNNING, datetime.now(UTC), 1, manager=ME))
    add, paused = storage.add_trials, []

    def pause_first(*arguments: object, **named: object) -> object:
        if not paused:
            storage.update_study(made.id, lambda it: replace(it, state=StudyState.PAUSED))
            paused.append(True)
        return add(*arguments, **named)

    storage.add_trials = pause_first  # type: ignore[method-assign]
    until(lambda: reconciler.reconcile(made.id) or paused, poll=0.01)
    for _ in range(3):
        reconciler.reconcile(made.id)
    assert storage.get_study(made.id).suggested == 0
    storage.update_study(made.id, lambda it: replace(it, state=StudyState.RUNNING))

    def ended() -> bool:
        reconciler.reconcile(made.id)
        return storage.get_study(made.id).state.finished

    until(ended, poll=0.01)
    worker.close()
    assert (service.told, service.given) == (1, 2)


LONG_TAG = Suggestion((Parameter("x", ParameterType.DOUBLE, "0.5"),), (Tag("state", "x" * (MAX_TAG_CHARACTERS + 1)),))
LONG_NUMBER = Suggestion((Parameter("x", ParameterType.DOUBLE, "0." + "1" * 5_000_000),), ())


@pytest.mark.parametrize(
    ("suggestion", "field"), [(LONG_TAG, "trials.tags"), (LONG_NUMBER, "parameter_set.x")], ids=["tag", "number"]
)
def test_more_than_is_kept_is_refused_and_the_study_says_so(suggestion: Suggestion, field: str) -> None:
    class Talkative(Counting):
        def generate(self, _algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
            done: Future[SuggestionReply] = Future()
            done.set_result(SuggestionReply((suggestion,), completed=False))
            return done

    storage = MemoryStorage()
    spec = study(limits={"max_trials": 1})
    made = storage.create_study(Study(new_id(), spec, StudyState.RUNNING, datetime.now(UTC), 1, manager=ME))
    conversation = Conversation(Talkative(), storage, lambda: None, Room(storage))
    conversation.prepared(made, History.FINALS)
    conversation.ask(made, [], 1)
    assert conversation.take(made, datetime.now(UTC)) == []
    trouble = conversation.look(made).trouble
    assert trouble is not None
    assert field in trouble[1]
    assert len(trouble[1]) < 1000
