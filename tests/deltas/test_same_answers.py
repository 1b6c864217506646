"""Whatever happens to studies, services and managers, a question by delta gets the answer that the whole history would get."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionStub
from katib.api.channel import open_channel
from katib.api.study_converters import spec_to_proto
from katib.api.trial_converters import trial_to_proto
from katib.domain.study import Setting, Study
from katib.domain.trial import Trial
from katib.manager.changes import StopRequest, StudyChanges
from katib.manager.history import StoredHistory
from katib.manager.remote import deltas
from katib.manager.remote.addresses import AddressTemplate, Channels
from katib.manager.remote.suggestion import RemoteSuggestionServices
from katib.manager.service_ports import AskAgainError, History, SuggestionReply, SuggestionRequest
from katib.suggestion.base import History as Needs
from tests.deltas.database import Database
from tests.deltas.services import Address, Mirror, serving
from tests.examples import examples
from tests.storage.builders import (
    COMPLETED,
    ERROR,
    KILLED,
    PENDING,
    RUNNING,
    add,
    curves_of,
    go,
    make_spec,
    make_study,
    observe,
)

# More than any study here has, so that a manager that knows nothing asks what the service has.
FEW = 3
ROUNDS = 5


class Deltas(RuleBasedStateMachine):
    needs = Needs.FINALS
    memory = 2**24

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.storage = Database()
        spec = make_spec(settings=(Setting("MaxParallel", "1000"),))
        self.studies = [self.storage.create_study(make_study(spec=spec)) for _ in range(2)]
        self.address = Address(Mirror(self.needs), self.memory)
        self.template = AddressTemplate.parse("t", self.stack.enter_context(serving(self.address)))
        channel = self.stack.enter_context(open_channel(self.template.address("t", "mirror")))
        self.stub = SuggestionStub(channel)  # type: ignore[no-untyped-call]
        self.copies: list[Any] = []
        self.restored = False
        self.retired: list[RemoteSuggestionServices] = []
        self.replicas = [self.address.now]
        self.manager = self.new_manager()

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    def new_manager(self) -> RemoteSuggestionServices:
        channels = Channels()
        self.stack.callback(channels.close)
        manager = RemoteSuggestionServices(self.template, channels)
        study = self.studies[0]
        manager.set_parameters("mirror", study.id, study.spec).result(30)
        return manager

    def trial(self, data: st.DataObject, which: str, **kinds: Any) -> Any:
        study = data.draw(st.sampled_from(self.studies))
        trials = {"finished": self.storage.finished_trials, "unfinished": self.storage.unfinished_trials}[which](
            study.id
        )
        found = [t for t in trials if all(getattr(t, name) is value for name, value in kinds.items())]
        return data.draw(st.sampled_from(found)) if found else None

    # The study goes on

    @rule(data=st.data(), count=st.integers(1, 4))
    def trials_are_suggested(self, data: st.DataObject, count: int) -> None:
        add(self.storage, data.draw(st.sampled_from(self.studies)), count)

    @rule(data=st.data(), values=st.lists(st.sampled_from([0.25, -1.5, float("nan"), float("inf")]), max_size=4))
    def many_end_at_once(self, data: st.DataObject, values: list[float]) -> None:
        study = data.draw(st.sampled_from(self.studies))
        if values:
            started = go(self.storage, *add(self.storage, study, len(values)), to=RUNNING, run="r")
            for trial, value in zip(started, values, strict=True):
                self.storage.report(trial.id, 0, [observe(value)])
            go(self.storage, *started, to=COMPLETED)

    @rule(data=st.data())
    def one_starts(self, data: st.DataObject) -> None:
        if (trial := self.trial(data, "unfinished", state=PENDING)) and not trial.stop_reason:
            go(self.storage, trial, to=RUNNING, run="r")

    @rule(data=st.data(), value=st.floats(-2, 2))
    def one_reports(self, data: st.DataObject, value: float) -> None:
        if trial := self.trial(data, "unfinished", state=RUNNING):
            self.storage.report(trial.id, 0, [observe(value)])

    @rule(data=st.data(), to=st.sampled_from([COMPLETED, KILLED, ERROR, PENDING]))
    def one_ends_or_is_tried_again(self, data: st.DataObject, to: Any) -> None:
        trial = self.trial(data, "unfinished", state=RUNNING)
        # One that is to stop is not tried again.
        if trial and not (to is PENDING and trial.stop_reason):
            go(self.storage, trial, to=to)

    @rule(data=st.data())
    def one_is_asked_to_stop(self, data: st.DataObject) -> None:
        if trial := self.trial(data, "unfinished"):
            stop = StopRequest(trial.id, "StoppedByUser", "by a user")
            self.storage.apply(trial.study_id, StudyChanges(stops=(stop,)))

    # The database is not what it was

    @rule()
    def a_copy_is_made(self) -> None:
        self.copies.append(self.storage.copy())

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def the_database_is_restored(self, data: st.DataObject) -> None:
        self.storage.restore(data.draw(st.sampled_from(self.copies)))
        self.restored = True

    @rule(data=st.data())
    def a_finished_trial_is_changed(self, data: st.DataObject) -> None:
        if trial := self.trial(data, "finished"):
            self.storage.mend(trial, objective=(trial.objective or 0.0) + 1.0)

    # Nothing tells a trial that a copy has brought back from another one that is taken out by hand afterwards (docs/adr/0010).
    @precondition(lambda self: not self.restored)
    @rule(data=st.data())
    def a_finished_trial_is_deleted(self, data: st.DataObject) -> None:
        if trial := self.trial(data, "finished"):
            self.storage.remove(trial)

    @rule(data=st.data())
    def a_finished_trial_begins_anew(self, data: st.DataObject) -> None:
        if trial := self.trial(data, "finished"):
            self.storage.begin_anew(trial)

    # The service is not the one it was

    @rule()
    def the_service_restarts(self) -> None:
        self.address.restart()

    @rule()
    def another_replica_comes_up(self) -> None:
        self.address.restart()
        self.replicas.append(self.address.now)

    @rule(data=st.data())
    def a_replica_of_before_answers(self, data: st.DataObject) -> None:
        self.address.now = data.draw(st.sampled_from(self.replicas))

    @rule()
    def it_is_rolled_back(self) -> None:
        self.address.roll_back()

    @rule(data=st.data())
    def its_cache_is_evicted(self, data: st.DataObject) -> None:
        self.address.histories.forget(data.draw(st.sampled_from(self.studies)).id)

    @rule()
    def the_study_is_said_to_have_ended(self) -> None:
        self.manager.stop("mirror", self.studies[0].id)

    # The manager is not the one it was

    @rule()
    def another_manager_takes_over(self) -> None:
        self.retired.append(self.manager)
        self.manager = self.new_manager()

    @precondition(lambda self: self.retired)
    @rule(data=st.data())
    def an_earlier_manager_takes_over(self, data: st.DataObject) -> None:
        self.retired.append(self.manager)
        self.manager = self.retired.pop(data.draw(st.integers(0, len(self.retired) - 2)))

    @rule()
    def a_minute_passes(self) -> None:
        self.manager._deltas._refused.clear()

    @rule()
    def the_settings_are_sent_again(self) -> None:
        study = self.studies[0]
        self.manager.set_parameters("mirror", study.id, study.spec).result(30)

    # What must be

    def question(self, study: Study, unfinished: Sequence[Trial] | None) -> SuggestionRequest:
        return SuggestionRequest(
            study_id=study.id,
            spec=study.spec,
            history=StoredHistory(self.storage, study, History[self.needs.name]),
            unfinished=self.storage.unfinished_trials(study.id) if unfinished is None else unfinished,
            finished_count=study.finished_trials,
            unfinished_count=study.unfinished_trials,
            first_number=study.suggested + 1,
        )

    def by_delta(self, study: Study, unfinished: Sequence[Trial] | None = None) -> SuggestionReply:
        for _ in range(ROUNDS):
            answer: Future[SuggestionReply] = self.manager.generate("mirror", self.question(study, unfinished))
            try:
                return answer.result(30)
            except AskAgainError:
                continue
        raise AssertionError(f"asked {ROUNDS} times in vain")

    def by_the_whole_history(self, study: Study) -> pb.GenerateTrialsReply:
        names = (study.spec.objective_name,)
        wants = self.needs is Needs.CURVES
        finished = self.storage.finished_trials(study.id)
        unfinished = self.storage.unfinished_trials(study.id)
        curves = curves_of(self.storage, [*finished, *unfinished], names)

        def sent(trials: Any) -> list[pb.Trial]:
            return [trial_to_proto(t, curves.get(t.id, ()) if wants else ()) for t in trials]

        question = pb.GenerateTrialsRequest(
            study_id=study.id,
            configs=spec_to_proto(study.spec),
            completed_trials=sent(finished),
            running_trials=sent(unfinished),
            completed_count=study.finished_trials,
            running_count=study.unfinished_trials,
            first_number=study.suggested + 1,
        )
        reply: pb.GenerateTrialsReply = self.stub.GenerateTrials(question, timeout=30)
        return reply

    def compare(self, study: Study) -> None:
        study = self.storage.get_study(study.id)
        (expected,) = self.by_the_whole_history(study).trials
        (answer,) = self.by_delta(study).suggestions
        assert answer.parameters[0].value == expected.parameter_set[0].value

    @rule(data=st.data())
    def a_question_about_one_study(self, data: st.DataObject) -> None:
        self.compare(data.draw(st.sampled_from(self.studies)))

    @rule(data=st.data())
    def a_question_while_one_ends(self, data: st.DataObject) -> None:
        study = data.draw(st.sampled_from(self.studies))
        (trial,) = go(self.storage, *add(self.storage, study), to=RUNNING, run="r")
        study = self.storage.get_study(study.id)
        (expected,) = self.by_the_whole_history(study).trials
        unfinished = self.storage.unfinished_trials(study.id)
        go(self.storage, trial, to=COMPLETED)
        (answer,) = self.by_delta(study, unfinished).suggestions
        assert answer.parameters[0].value == expected.parameter_set[0].value

    @rule()
    def a_question_about_each(self) -> None:
        for study in self.studies:
            self.compare(study)

    @rule(data=st.data(), times=st.integers(1, 4))
    def a_question_whenever_one_ends(self, data: st.DataObject, times: int) -> None:
        study = data.draw(st.sampled_from(self.studies))
        for _ in range(times):
            go(self.storage, *go(self.storage, *add(self.storage, study), to=RUNNING, run="r"), to=COMPLETED)
            self.compare(study)

    @invariant()
    def the_cache_keeps_to_its_bounds(self) -> None:
        if hasattr(self, "address"):
            assert 0 <= self.address.histories._memory <= self.memory


class Curves(Deltas):
    needs = Needs.CURVES


class Cramped(Deltas):
    memory = 30_000


class Forgetful(Deltas):
    memory = 0


EVERYTHING = settings(stateful_step_count=50, deadline=None, print_blob=True)


@pytest.fixture(autouse=True)
def _managers_that_know_nothing_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas, "_UNASKED", FEW)


@contextmanager
def begun() -> Iterator[Deltas]:
    """The same world, for a story that is told."""
    world = Deltas()
    world.begin()
    try:
        yield world
    finally:
        world.teardown()


def finish(world: Deltas, *objectives: float) -> Sequence[Trial]:
    """Trials of the first study, one after the other."""
    for value in objectives:
        (trial,) = go(world.storage, *add(world.storage, world.studies[0]), to=RUNNING, run="r")
        world.storage.report(trial.id, 0, [observe(value)])
        go(world.storage, world.storage.get_trial(trial.id), to=COMPLETED)
    return world.storage.finished_trials(world.studies[0].id)


def test_a_database_that_was_restored_and_went_another_way_to_the_same_revision_is_told_from_the_one_before() -> None:
    with begun() as world:
        finish(world, 0.1, 0.2, 0.3, 0.4)
        copy = world.storage.copy()
        finish(world, 0.5, 0.6)
        world.compare(world.studies[0])
        before = world.storage.get_study(world.studies[0].id)
        world.storage.restore(copy)
        finish(world, -0.5, -0.6)
        after = world.storage.get_study(world.studies[0].id)
        assert (after.revision, after.finished_trials) == (before.revision, before.finished_trials)
        world.compare(world.studies[0])


def test_a_replica_that_missed_a_change_is_not_taken_for_the_one_that_did_not() -> None:
    with begun() as world:
        first, *_ = finish(world, 0.1, 0.2, 0.3, 0.4)
        world.compare(world.studies[0])
        one = world.address.now
        world.address.restart()
        world.compare(world.studies[0])
        world.storage.mend(first, objective=9.0)
        world.compare(world.studies[0])
        # As many trials as the other has, and none that came since.
        world.address.now = one
        world.compare(world.studies[0])


@pytest.mark.long
@pytest.mark.parametrize(("machine", "count"), [(Deltas, 100), (Curves, 40), (Cramped, 40), (Forgetful, 10)])
def test_answers_are_those_of_the_whole_history(machine: type[Deltas], count: int) -> None:
    run_state_machine_as_test(machine, settings=settings(EVERYTHING, max_examples=examples(count)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("machine", [Deltas, Curves, Cramped])
def test_answers_are_those_of_the_whole_history_in_long_runs(machine: type[Deltas]) -> None:
    run_state_machine_as_test(machine, settings=settings(EVERYTHING, max_examples=120, stateful_step_count=80))
