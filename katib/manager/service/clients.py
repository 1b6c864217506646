"""Use cases of 0.1's own loop, in which a client drives the study: ask for trials, complete them, ask the rule."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta

from katib.domain.errors import InvalidArgumentError, KatibError, NotFoundError
from katib.domain.names import check_service_name
from katib.domain.study import Setting, Study, StudySpec
from katib.domain.trial import Trial, TrialState
from katib.manager.changes import StudyChanges
from katib.manager.service.ask import Ask
from katib.manager.service.checks import (
    check_attempt,
    check_observations,
    reporter_of,
    study_id_of,
    trial_id_of,
)
from katib.manager.service.completion import Completion, end_of_run, end_of_trial, reported
from katib.manager.service.context import Context, UseCases
from katib.manager.service.ends import is_to_end
from katib.manager.service.giving import Given, Giver
from katib.manager.service.supply import SUGGEST_S, Supply
from katib.manager.service.together import Together
from katib.manager.service_ports import StoppingRequest


class ClientUseCases(UseCases):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._supply = Supply(context)
        self._giver = Giver(context, self._supply, self._room)
        self._rulings: Together[Mapping[str, str]] = Together()

    def suggest_trials(
        self,
        study_id: str,
        count: int = 1,
        client_id: str = "",
        algorithm: str = "",
        deadline: float = math.inf,
        lease: timedelta | None = None,
    ) -> Given:
        """Trials for a client to run: its own unfinished ones first, then those whose client has given no sign of itself for as
        long as its lease, then new ones; and whether there is nothing more to try.

        `lease`: how long they stay this client's without a sign of it. A client that gives one is not told that there is
        nothing more to try while trials are out that may be handed on. `deadline`: until when the caller waits, by the
        monotonic clock.
        """
        study_id_of(study_id)
        ask = self._giver.checked(study_id, Ask(count, client_id, algorithm, deadline, lease))
        return self._giver.give(study_id, ask)

    def complete_trial(self, study_id: str, trial_id: str, said: Completion, ask: Ask | None = None) -> Given | None:
        """Client-driven: COMPLETED with its objective, or ERROR with what went wrong, or else KILLED. Otherwise its run is
        ended. Again: no change.

        The answer to `ask`, as by `suggest_trials` once the trial has ended. None where that fails, or nothing was asked: the
        trial has ended, and whoever asks again is told why.
        """
        if said.is_complete and said.error:
            raise InvalidArgumentError.of("error", said.error, "expected nothing for a trial that is complete")
        if said.attempt < 0:
            raise InvalidArgumentError.of("attempt", said.attempt, "expected 0 (unknown) or a number from 1 on")
        study_id_of(study_id)
        source = reporter_of(said.reporter)
        check_observations(said.observations)
        trial_id_of(trial_id)
        left = [replace(o, source=source) for o in said.observations]
        now = self._context.now()

        def decide(study: Study, trial: Trial) -> StudyChanges | None:
            if trial.study_id != study_id:
                raise NotFoundError(f"there is no trial {trial.id} in study {study_id}")
            if not study.spec.client_driven:
                return end_of_run(trial, left)
            check_attempt(trial, said.attempt)
            return end_of_trial(study, trial, reported(study, trial, left, said, now), said, now)

        asked = None if ask is None else self._giver.checked(study_id, ask, "next.")
        # An objective alone is not counted: a trial that has reported all that it may can still be completed with it.
        counts = bool(left or said.metrics)
        if counts:
            self._room.before_report()
        most = self._room.quotas.observations_of_trial if counts else 0
        allow = self._room.counting().allow_observations if counts else None
        giving = None if asked is None else self._giver.prepared(study_id, asked)
        applied = self._storage.apply_to(trial_id, decide, most, allow, giving)
        study = applied.study
        if study.spec.client_driven and not is_to_end(study):
            self._context.controller.wake_soon(study_id)
        else:
            self._context.controller.wake(study_id)
        if asked is None:
            return None
        try:
            return self._giver.given(study_id, applied, asked) or self._giver.give(study_id, asked)
        except KatibError:
            return None

    def early_stopping(self, study_id: str, rule: str) -> Sequence[Trial]:
        """The trials that the rule would stop now."""
        study = self._storage.get_study(study_id_of(study_id))
        name = check_service_name("early_stopping_algorithm", rule or study.spec.rule)
        stopped = self._rulings.ask(
            (study.id, name), lambda: self._rule(study, name), SUGGEST_S, f"earlystopping-{name}"
        )
        return [t for t in self._storage.unfinished_trials(study.id) if t.id in stopped]

    def _rule(self, study: Study, name: str) -> "Future[Mapping[str, str]]":
        running = [t for t in self._storage.unfinished_trials(study.id) if t.state is TrialState.RUNNING]
        finished = self._storage.finished_trials(study.id)
        request = StoppingRequest(
            study_id=study.id,
            spec=study.spec,
            running=running,
            finished=finished,
            curves=self._storage.curves([*running, *finished], study.spec.metric_names),
        )
        return self._context.rules.should_stop(name, request)

    def initialize_suggest_service(
        self,
        study_id: str,
        algorithm: str,
        settings: tuple[Setting, ...],
        spec: StudySpec | None,
        deadline: float = math.inf,
    ) -> None:
        """Sends settings to a suggestion service and answers what it says. `deadline` as in `suggest_trials`."""
        if spec is None:
            spec = self._storage.get_study(study_id_of(study_id)).spec
        name = check_service_name("suggest_algorithm", algorithm or spec.algorithm)
        asked = replace(spec, settings=settings or spec.settings)
        self._supply.settings_taken(name, study_id, asked, deadline)
