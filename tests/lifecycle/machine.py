"""The lifecycle as a state machine: everything that can happen, in any order.

What must hold after each transaction stands in `Ledger`; what a call must answer, and that everything ends once nothing fails
any more, stands here.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from hypothesis.stateful import initialize, precondition, rule

from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from katib.domain.study import Intent, Limits, StudyReason, StudySpec, StudyState
from katib.domain.views import StudySummary
from katib.manager.ports import StudyFilter, TrialFilter
from katib.worker.base import RunPhase
from tests.lifecycle import scripts
from tests.lifecycle.clients import Clients
from tests.lifecycle.scripts import Deed, Script
from tests.lifecycle.services import ERRORS

MOST_STUDIES: Final = 2
MANY_DAYS: Final = timedelta(days=3000)


class Lifecycle(Clients):
    """All that can happen, as rules; deeds are the same as methods, for what happens in the middle of something."""

    # Trouble

    @rule(manager=scripts.which_manager, script=scripts.crashes)
    def a_manager_will_be_killed(self, manager: int, script: Script) -> None:
        self.arm(manager, script)

    @rule(manager=scripts.which_manager, script=scripts.absences)
    def the_database_or_the_worker_will_be_away(self, manager: int, script: Script) -> None:
        self.arm(manager, script)

    @rule(manager=scripts.which_manager, script=scripts.freezes)
    def a_manager_will_freeze(self, manager: int, script: Script) -> None:
        self.arm(manager, script)

    # What users do

    @initialize(spec=scripts.specs)
    def one_study_at_least(self, spec: StudySpec) -> None:
        with self.step():
            self.api(self.manager).create_study(spec)

    @precondition(lambda self: len(self.ledger.known) < MOST_STUDIES)
    @rule(
        spec=scripts.specs,
        request_id=scripts.request_ids,
        manager=scripts.which_manager,
        kind=scripts.answers,
        then=scripts.then,
    )
    def create_study(self, spec: StudySpec, request_id: str, manager: int, kind: str, then: str) -> None:
        with self.step(manager=manager, then=then):
            there = {k.study.request_id: i for i, k in self.ledger.known.items() if k.study.request_id}
            if request_id in there:
                # Another study under a request id that was used is refused (tests/sdk/test_loop.py).
                spec = self.ledger.known[there[request_id]].study.spec
            before = set(self.ledger.known)
            at_once = self.manager.at_once
            at_once.kind = kind
            try:
                study_id = self.world.do(self.manager, lambda: self.api(self.manager).create_study(spec, request_id))
            except UnavailableError:
                assert not self.quiet
                if not request_id:
                    return
                # Nobody knows whether it was stored. Asked again with the same request id, there is one.
                at_once.kind = "ok"
                study_id = self.api(self.world.managers[manager]).create_study(spec, request_id)
            except (FailedPreconditionError, InvalidArgumentError):
                assert kind in ERRORS
                assert spec.algorithm or spec.rule
                if self.quiet:
                    assert set(self.ledger.known) == before
                return
            finally:
                at_once.kind = "ok"
            if request_id:
                assert sum(k.study.request_id == request_id for k in self.ledger.known.values()) <= 1
            if not self.quiet:
                return
            assert study_id in self.ledger.known
            assert set(self.ledger.known) - before == (set() if request_id in there else {study_id})
            if request_id:
                assert study_id == there.get(request_id, study_id)
                assert self.api(self.manager).create_study(spec, request_id) == study_id

    @precondition(lambda self: self.ledger.known)
    @rule(
        study=scripts.which,
        manager=scripts.which_manager,
        deed=scripts.controls,
        then=scripts.then,
    )
    def control(self, study: int, manager: int, deed: Deed, then: str) -> None:
        with self.step(study, manager, then):
            self.perform(deed)

    def stop(self) -> None:
        before = self.known
        done, _ = self.call(lambda api: api.stop_study(self.study_id))
        if done and self.quiet and before is not None and (study := self.known) is not None:
            assert study.intent is not Intent.NONE or study.state.finished

    def delete(self) -> None:
        done, _ = self.call(lambda api: api.delete_study(self.study_id))
        if done and self.quiet and (study := self.known) is not None:
            assert study.intent is Intent.DELETE

    def pause(self) -> None:
        self._update(None, None, True)  # noqa: FBT003

    def resume(self) -> None:
        self._update(None, None, False)  # noqa: FBT003

    def change(self, limits: Limits, goal: float | None) -> None:
        self._update(limits, goal, None)

    def _update(self, limits: Limits | None, goal: float | None, paused: bool | None) -> None:
        before = self.known
        assert before is not None
        done, _ = self.call(
            lambda api: _without_revision(api.update_study(self.study_id, limits, goal, paused)),
            FailedPreconditionError,
        )
        if not self.quiet:
            return
        stopping = before.intent is not Intent.NONE
        finished = before.state.finished
        over = self.ledger.is_over(before) if finished and paused is False else {False}
        assert done in {not (stopping or (paused is True and finished) or it) for it in over}, before
        study = self.known
        assert study is not None
        if not done:
            assert study == before
        elif paused is not None:
            assert study.state is (StudyState.PAUSED if paused else StudyState.RUNNING)
        elif finished:
            stays = {True} if study.spec == before.spec else self.ledger.is_over(study)
            assert study.state in {before.state if it else StudyState.RUNNING for it in stays}
            assert study.state is not before.state or study.ended_at == before.ended_at

    def stop_trial(self, number: int) -> None:
        trial = self.trial(number)
        if trial is None:
            return
        done, _ = self.call(lambda api: api.stop_trial(trial.id))
        if done:
            known = self.ledger.known.get(self.study_id)
            if known is None:
                return
            now = known.trials[trial.id]
            if self.quiet:
                assert now.state.finished or now.stop_reason
            if not now.state.finished:
                self.ledger.stopped.setdefault(trial.id, now.attempt)

    @precondition(lambda self: self.ledger.known)
    @rule(
        study=scripts.which,
        manager=scripts.which_manager,
        deed=scripts.client_deeds,
        then=scripts.then,
    )
    def be_a_client(self, study: int, manager: int, deed: Deed, then: str) -> None:
        with self.step(study, manager, then):
            self.perform(deed)

    @precondition(lambda self: self.ledger.known)
    @rule(study=scripts.which, manager=scripts.which_manager, race=scripts.races, then=scripts.then)
    def users_race(self, study: int, manager: int, race: tuple[Deed, Script], then: str) -> None:
        deed, script = race
        if deed.what in ("suggest", "go_on"):
            # Of others there is nothing to be had.
            driven = self.driven
            study = driven[study % len(driven)] if driven else study
        with self.step(study, manager, then):
            self.arm(manager, script)
            self.perform(deed)

    @precondition(lambda self: self.driven)
    @rule(
        study=scripts.which,
        manager=scripts.which_manager,
        client=scripts.clients,
        values=scripts.some_values,
        script=scripts.perhaps_frozen,
        then=scripts.then,
    )
    def a_client_goes_round(
        self, study: int, manager: int, client: str, values: list[float], script: Script | None, then: str
    ) -> None:
        """As the SDK's loop does: a question, and then one call for each trial."""
        driven = self.driven
        with self.step(driven[study % len(driven)], manager, then):
            self.suggest(1, client, "ok", "random")
            for i, value in enumerate(values, start=1):
                known = self.ledger.known.get(self.study_id)
                mine = [t for t in known.trials.values() if t.client_id == client] if known else []
                unfinished = [t for t in mine if not t.state.finished]
                if script is not None and i == len(values):
                    self.arm(manager, script)
                if unfinished:
                    self.go_on(unfinished[0].number - 1, value, i, client, "random", "ok")

    # What the world does

    @precondition(lambda self: self.place.runs)
    @rule(study=scripts.which, deeds=scripts.several_happenings, then=scripts.then)
    def runs_go_on(self, study: int, deeds: Sequence[Deed], then: str) -> None:
        with self.step(study, then=then):
            for deed in deeds:
                self.perform(deed)

    def happen(self, number: int, what: str, value: float, exit_: tuple[int | None, str, str]) -> None:
        alive = self.place.alive(self.study_id)
        if not alive:
            return
        run = alive[number % len(alive)]
        waiting = run.phase is RunPhase.WAITING
        if what == "wait" and waiting:
            self.place.wait(run, "Unschedulable", "no node has room")
        if what == "never" and waiting:
            self.place.end(run, None, "ImagePullBackOff", "its image cannot be had")
        if what in ("begin", "finish", "end") and waiting:
            self.place.begin(run)
        if what in ("print", "finish") and run.phase in (RunPhase.RUNNING, RunPhase.STOPPING):
            run.values += [("acc", value), ("loss", 1 - value)]
            self.place.print(run, f"acc={value!r}\nepoch 1 loss={1 - value!r} other=7\nbye\n")
        if what == "finish" and run.phase is RunPhase.RUNNING:
            self.place.end(run, 0)
        elif what == "end":
            self.place.end(run, *exit_)
        elif what == "vanish" and not waiting and run.alive:
            self.place.vanish(run)

    @rule(step=scripts.clock_steps, then=scripts.then)
    def time_passes(self, step: timedelta, then: str) -> None:
        with self.step(then=then):
            self.wait(step)

    def wait(self, step: timedelta) -> None:
        self.world.now += step

    @precondition(lambda self: self.world.services.calls)
    @rule(number=scripts.which, kind=scripts.answers)
    def a_service_answers(self, number: int, kind: str) -> None:
        with self.step():
            self.answer(number, kind)

    def answer(self, number: int, kind: str) -> None:
        calls = self.world.services.calls
        if calls:
            self.world.services.answer(calls[number % len(calls)], kind)

    @rule()
    def the_services_are_started_again(self) -> None:
        self.world.services.known.clear()

    # What managers do

    @precondition(lambda self: self.ledger.known)
    @rule(study=scripts.which, driver=scripts.mostly, count=scripts.counts, then=scripts.then)
    def a_manager_makes_passes(self, study: int, driver: bool, count: int, then: str) -> None:
        """The one that drives the study, or one that has been woken in vain."""
        with self.step(study, then=then):
            place = self.driver() if driver else 1 - self.driver()
            self.manager = self.world.managers[place]
            self.world.make_pass(self.manager, self.study_id)
            for _ in range(count - 1):
                self.world.make_pass(self.world.managers[place], self.study_id)

    def driver(self) -> int:
        study = self.known
        return next((i for i, m in enumerate(self.world.managers) if study and m.id == study.manager), 0)

    @precondition(lambda self: self.place.runs)
    @rule(study=scripts.which, deeds=scripts.several_happenings, then=scripts.then)
    def what_runs_did_meets_trouble(self, study: int, deeds: Sequence[Deed], then: str) -> None:
        with self.step(study, then=then):
            for deed in deeds:
                self.perform(deed)
            self.manager = self.world.managers[self.driver()]
            self.world.make_pass(self.manager, self.study_id)

    @rule(manager=scripts.which_manager, then=scripts.then)
    def a_manager_is_killed(self, manager: int, then: str) -> None:
        with self.step(manager=manager, then=then):
            self.world.crash(self.manager)

    @precondition(lambda self: self.ledger.known)
    @rule(manager=scripts.which_manager, then=scripts.then)
    def a_manager_believes_the_other_dead(self, manager: int, then: str) -> None:
        with self.step(manager=manager, then=then):
            self.take_over(0)

    def take_over(self, passes: int) -> None:
        self.manager.claim([m.id for m in self.world.managers if m is not self.manager])
        self.others_pass(passes)

    def take_back(self) -> None:
        """The one that stands still has thawed in one thread already."""
        other = self.world.managers[1 - self.world.managers.index(self.manager)]
        other.claim([self.manager.id])

    def others_pass(self, passes: int) -> None:
        for _ in range(passes):
            self.world.make_pass(self.manager, self.study_id)

    # The end

    def teardown(self) -> None:
        try:
            if self.healthy and not self.ledger.violations:
                self.end()
        finally:
            self.close()

    def end(self) -> None:
        """Nothing fails any more: every study ends, goes on when it may, and goes for good."""
        for manager in self.world.managers:
            manager.trouble = None
        self.ledger.begin_step()
        api = self.api(self.world.managers[0])
        for study in self.world.unfinished():
            if study.intent is Intent.NONE and study.spec.limits.max_trials is None:
                api.update_study(study.id, Limits(max_trials=study.suggested + 1))
        self.world.settle()
        for study in self.world.unfinished():
            assert study.spec.client_driven or study.state is StudyState.PAUSED, f"it is stuck: {study}"
            assert not self.place.alive(study.id)
            api.update_study(study.id, paused=False)
        self.world.settle()
        for study in self.world.unfinished():
            assert study.spec.client_driven, f"it is stuck: {study}"
            api.stop_study(study.id)
        self.world.settle()
        assert not self.world.unfinished()
        self.goes_on(api)
        for study_id in list(self.ledger.known):
            api.delete_study(study_id)
        self.world.settle()
        assert not self.ledger.known
        assert not self.place.runs
        assert self.nothing_left()

    def goes_on(self, api: Any) -> None:
        """A limit that is raised gives as many trials more, wherever the study ended."""
        ended = [k.study for k in self.ledger.known.values() if not k.study.spec.client_driven][:1]
        for study in ended:
            most = Limits(max_trials=study.suggested + 2, max_failed_trials=1000, max_duration=MANY_DAYS)
            api.update_study(study.id, most, goal=1e9)
            self.world.settle()
            now = self.ledger.known[study.id].study
            assert (now.state, now.reason) == (StudyState.COMPLETED, StudyReason.MAX_TRIALS)
            assert now.suggested == study.suggested + 2

    def nothing_left(self) -> bool:
        storage = self.world.storage
        return not (
            storage.list_studies(StudyFilter(), 10, "").items or storage.list_trials(TrialFilter(), 10, "").items
        )


def _without_revision(summary: StudySummary) -> tuple[Any, ...]:
    return summary.id, summary.state, summary.max_trials, summary.max_parallel, summary.reason
