"""Use cases of trials: look, follow the output, report, stop."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from katib.domain.caller import EVERYBODY, Caller, CallerKind, current_caller
from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from katib.domain.lease import with_lease_shown
from katib.domain.metrics import Observation
from katib.domain.names import is_id_prefix, run_name
from katib.domain.permissions import visible_to
from katib.domain.study import Study
from katib.domain.tokens import PREFIX
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.domain.trial_columns import TrialChanges
from katib.domain.views import LogChunk, Page, TrialDetail, summary
from katib.manager.changes import StopRequest, StudyChanges
from katib.manager.ports import TrialFilter
from katib.manager.service.checks import (
    MAX_OBSERVATIONS,
    check_attempt,
    check_observations,
    page_size_of,
    reporter_of,
    study_id_of,
    trial_id_of,
)
from katib.manager.service.context import UseCases

_DETAIL_OBSERVATIONS: Final = 1000
_DEFAULT_OBSERVATIONS: Final = 1000
_MAX_NAMES: Final = 200
_DEFAULT_LOG_BYTES: Final = 64 * 1024
_MAX_LOG_BYTES: Final = 1024 * 1024


class TrialUseCases(UseCases):
    def get_trial(self, trial_id: str) -> TrialDetail:
        trial = with_lease_shown(self._storage.get_trial(trial_id_of(trial_id)), self._context.now())
        observations, truncated = self._storage.latest_observations(trial.id, _DETAIL_OBSERVATIONS)
        earlier = self._storage.earlier_attempts(trial.id) if trial.attempt > 1 else ()
        return TrialDetail(trial, observations, truncated, earlier)

    def list_trials(
        self,
        study_id: str = "",
        states: Sequence[TrialState] = (),
        id_prefix: str = "",
        newest_first: bool = False,
        page_size: int = 0,
        page_token: str = "",
        number: int = 0,
    ) -> Page[Trial]:
        if number < 0 or (number and not study_id):
            raise InvalidArgumentError.of("number", number, "expected 0 (all) or, with a study_id, a number from 1 on")
        size = page_size_of(page_size)
        if study_id:
            # An unknown study is an error, not an empty list.
            self._storage.get_study(study_id_of(study_id))
        if id_prefix and not is_id_prefix(id_prefix):
            return Page(())
        visible = visible_to(current_caller())
        filter_ = TrialFilter(study_id, id_prefix, frozenset(states), newest_first, visible, number)
        page = self._storage.list_trials(filter_, size, page_token)
        now = self._context.now()
        return Page([with_lease_shown(trial, now) for trial in page.items], page.next_token)

    def trial_changes(self, study_id: str, after_revision: int = 0, page_size: int = 0) -> TrialChanges:
        """How a study stands, with trials that are new or changed since `after_revision`; all of them for 0, or for one that
        the study does not have."""
        if after_revision < 0:
            raise InvalidArgumentError.of("after_revision", after_revision, "expected 0 or a revision")
        size = page_size_of(page_size)
        study = self._storage.get_study(study_id_of(study_id))
        if study.revision < after_revision:
            # A copy of the database was put back: what was read since need not be so.
            after_revision = 0
        # Read after the study: what changed between the two reads comes now, and its study with the next call.
        columns, revision = self._storage.changed_columns(study.id, after_revision, size)
        if len(columns) < size:
            revision = max(revision, study.revision)
        return TrialChanges(summary(study), columns, revision)

    def stop_trial(self, trial_id: str) -> None:
        """Asks it to end. A finished one stays as it is; a second call changes nothing."""
        trial = self._storage.get_trial(trial_id_of(trial_id))
        if trial.state.finished:
            return
        stop = StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "stopped by a user")
        self._storage.apply(trial.study_id, StudyChanges(stops=(stop,)))
        self._context.controller.wake(trial.study_id)

    def report_metrics(
        self,
        trial_id: str,
        observations: Sequence[Observation],
        attempt: int = 0,
        reporter: str = "",
        token: str = "",
    ) -> bool:
        """Adds observations, if any; returns whether the trial has been asked to end. Repeating changes nothing but the end of
        the trial's lease, which every report puts off.

        `token`: what the reporter shows where callers are not asked who they are: it must be that of the attempt; without one
        anybody may report.
        """
        trial_id_of(trial_id)
        if attempt < 0:
            raise InvalidArgumentError.of("attempt", attempt, "expected 0 (the current one) or a number from 1 on")
        source = reporter_of(reporter)
        check_observations(observations)
        caller = current_caller()
        if caller.kind is CallerKind.TRIAL or (caller is EVERYBODY and token and not token.startswith(PREFIX)):
            # What is shown counts for one attempt, and so does the report, should another one begin meanwhile.
            attempt = attempt or self._storage.get_trial(trial_id).attempt
            self._check_own(caller, token, trial_id, attempt)

        def check(_study: Study | None, trial: Trial) -> None:
            if attempt == trial.attempt and trial.state is TrialState.PENDING:
                # Its run exists, and may be faster than the write that says so.
                raise UnavailableError(f"trial {trial.id} is about to be RUNNING at attempt {attempt}: report again")
            if trial.client_id and trial.attempt > 1:
                check_attempt(trial, attempt)

        if not observations:
            trial = self._storage.get_trial(trial_id)
            check(None, trial)
            if trial.lease is None:
                return _is_to_stop(trial, attempt)
        self._room.before_report()
        trial = self._storage.report(
            trial_id,
            attempt,
            [replace(o, source=source) for o in observations],
            check=check,
            most=self._room.quotas.observations_of_trial,
            allow=self._room.counting().allow_observations,
        )
        self.permissions.learn(trial.id, trial.study_id)
        return bool(trial.stop_reason)

    def _check_own(self, caller: Caller, token: str, trial_id: str, attempt: int) -> None:
        """Raises PermissionDeniedError for any attempt but the caller's own."""
        if caller is EVERYBODY:
            self._context.access.check(token, trial_id, attempt)
        elif caller.name != run_name(trial_id, attempt):
            raise PermissionDeniedError(f"the token is not that of attempt {attempt} of trial {trial_id}")

    def list_observations(
        self, trial_id: str, attempt: int = 0, names: Sequence[str] = (), page_size: int = 0, page_token: str = ""
    ) -> Page[Observation]:
        size = page_size_of(page_size, _DEFAULT_OBSERVATIONS, MAX_OBSERVATIONS)
        # Each becomes a parameter of the statement, and each number of them a statement of its own.
        names = tuple(dict.fromkeys(names))
        if len(names) > _MAX_NAMES:
            raise InvalidArgumentError.of(
                "names", f"{len(names)} names", f"expected at most {_MAX_NAMES}, or none for all metrics"
            )
        trial = self._storage.get_trial(trial_id_of(trial_id))
        self._attempt(trial, attempt)
        return self._storage.list_observations(trial.id, attempt, names, size, page_token)

    def trial_log(self, trial_id: str, attempt: int = 0, offset: int = 0, max_bytes: int = 0) -> LogChunk:
        if max_bytes < 0:
            raise InvalidArgumentError.of("max_bytes", max_bytes, f"expected 0 to {_MAX_LOG_BYTES}")
        trial = self._storage.get_trial(trial_id_of(trial_id))
        attempt = self._attempt(trial, attempt)
        study = self._storage.get_study(trial.study_id)
        if study.spec.client_driven:
            raise FailedPreconditionError(f"trial {trial.id} runs at its client: Katib has no output of it")
        if study.placement and study.placement != self._context.worker.placement:
            raise FailedPreconditionError(
                f"trial {trial.id} runs where another manager keeps its output ({study.placement}): ask that one"
            )
        size = min(max_bytes or _DEFAULT_LOG_BYTES, _MAX_LOG_BYTES)
        if trial.state is TrialState.PENDING and attempt == trial.attempt:
            return LogChunk(b"", max(offset, 0), finished=False)
        self._context.worker.look_in(study.id, study.places)
        try:
            return self._context.worker.log(study.id, run_name(trial.id, attempt), offset, size)
        except NotFoundError:
            # It never started, or its worker keeps no output that long.
            return LogChunk(b"", max(offset, 0), finished=trial.state.finished or attempt < trial.attempt)

    def _attempt(self, trial: Trial, attempt: int) -> int:
        if not 0 <= attempt <= trial.attempt:
            raise InvalidArgumentError.of(
                "attempt",
                attempt,
                f"expected 0 (the current one) to {trial.attempt}: trial {trial.id} has made so many",
            )
        return attempt or trial.attempt


def _is_to_stop(trial: Trial, attempt: int) -> bool:
    """Raises FailedPreconditionError where nothing more is taken of this attempt."""
    if trial.state is not TrialState.RUNNING:
        raise FailedPreconditionError(f"trial {trial.id} is {trial.state.value}: it is over")
    if attempt not in (0, trial.attempt):
        raise FailedPreconditionError(f"trial {trial.id} is at attempt {trial.attempt}: attempt {attempt} is over")
    return bool(trial.stop_reason)
