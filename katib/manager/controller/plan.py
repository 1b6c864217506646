"""What to do with a study, as a pure function of how it stands. No I/O, no clock, no memory of its own.

`plan` is given what was just read: the study with its counters, its unfinished trials, the runs that the worker knows, what
the suggestion service last said, and the time. A crash at any point is only another such state, so every crash point is a row
of a table test (tests/controller/test_crash_points.py). The order of writes that makes this safe stands in
docs/architecture.md.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from katib.domain.names import run_name
from katib.domain.study import PAUSED_MESSAGE, Intent, Limits, StudyReason, StudyState, effective_limits
from katib.domain.trial import DISRUPTIONS, Trial, TrialReason, TrialState
from katib.manager.controller.actions import Action, Ask, AskRule, CreateRun, DeleteRun, FenceRun, RemoveStudy, StopRun
from katib.manager.controller.observed import Observed
from katib.manager.ports import History, StopRequest, StudyMove, TrialMove, TrialNote
from katib.worker.base import RunPhase, RunStatus

# A study without a limit of its own still may not take the whole machine: 0.1's grid asked for everything at once.
MAX_PARALLEL_CAP: Final = 1000
# How many suggestions to have in store where asking early loses nothing (no history is needed): one call for many trials.
STOCK: Final = 16
# The wait before attempt k + 1 doubles with k, from RETRY_FIRST to RETRY_MOST.
RETRY_FIRST: Final = timedelta(seconds=1)
RETRY_MOST: Final = timedelta(seconds=60)
# A trial whose machine keeps being taken away is tried again so often even without a retry_limit. Its attempts are all counted
# together: one that fails by itself later is judged by the retry_limit alone.
MAX_DISRUPTIONS: Final = 5
# Times of day come from clocks that are set, and of several managers: a stored one that lies further ahead than it was ever put
# is not waited for. A clock that is set forward costs a retry its pause. trial_timeout and max_duration go by the time of day
# as well, since they outlive every process: a clock that is set back by an hour makes them an hour longer, one that is set
# forward ends them an hour early. Nothing else waits for that.

# How long a run may take to show itself after it was created: longer than a loaded machine takes to start a process. Whoever
# takes over a study at that moment must not end it as one that never began.
ON_ITS_WAY: Final = timedelta(seconds=5)
# How soon to look again for a run that was not there, or has been fenced.
FENCE_LOOK: Final = timedelta(milliseconds=100)
# How long a service may answer "nothing now" while nothing runs before the study is given up.
NO_SUGGESTIONS_DEADLINE: Final = timedelta(minutes=10)
# What a service may give as its reason for having nothing more to try; anything else is shown as a message, cut.
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_SHOWN_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions in the order of their doing, and when to look again if nothing happens before."""

    actions: tuple[Action, ...]
    wake_at: datetime | None = None


def plan(observed: Observed, now: datetime) -> Plan:
    return _Planner(observed, now).plan()


@dataclass(frozen=True, slots=True)
class _End:
    state: StudyState
    reason: str
    message: str


class _Planner:
    """One pass: trials first, then what their moves mean for the study, then new runs and suggestions for the room left."""

    def __init__(self, observed: Observed, now: datetime) -> None:
        self.observed = observed
        self.study = observed.study
        self.spec = observed.study.spec
        self.limits: Limits = effective_limits(self.spec)
        self.now = now
        self.actions: list[Action] = []
        self.deletes: list[str] = []
        self.wake_at: datetime | None = None
        # As they will be once the moves of this pass are stored.
        self.finished = self.study.finished_trials
        self.failed = self.study.failed
        self.best = self.study.best_objective
        self.open: list[Trial] = []

    def plan(self) -> Plan:
        for trial in self.observed.trials:
            self._settle(trial)
        self._orphans()
        end = self._end()
        if end is not None:
            self._wind_up(end)
        elif self.study.state is StudyState.RUNNING:
            self._go_on()
        else:
            # A paused study lets run what runs and begins nothing. It may have been about to end until a limit was raised.
            self._note(StudyReason.PAUSED, PAUSED_MESSAGE)
        self.actions += [DeleteRun(run) for run in self.deletes]
        return Plan(tuple(self.actions), self.wake_at)

    # Trials

    def _settle(self, trial: Trial) -> None:
        """Moves a trial whose run has ended; the others are kept in `open` for what follows."""
        if self.spec.client_driven:
            self._settle_client(trial)
            return
        name = run_name(trial.id, trial.attempt)
        run = self.observed.runs.get(name)
        if trial.state is TrialState.PENDING:
            self._settle_pending(trial, name, run)
        elif run is None:
            # On its way, or lost. Stopping it makes sure that it is one or the other: the worker shows it from then on.
            # Twice as long, since the clock that says when it began may be another manager's and a little ahead.
            if (
                trial.stop_reason
                or trial.started_at is None
                or not self._lies_ahead(trial.started_at + ON_ITS_WAY, 2 * ON_ITS_WAY)
            ):
                self.actions.append(StopRun(name))
            self.open.append(trial)
            self._wake(self.now + FENCE_LOOK)
        elif run.phase.ended:
            if name in self.observed.drained:
                self.deletes.append(name)
                self._ended(trial, run)
            else:
                self.open.append(trial)
                self._wake(self.now)
        else:
            self._alive(trial, run)

    def _settle_client(self, trial: Trial) -> None:
        """Its client runs it: there is no run to wait for."""
        timeout = self.limits.trial_timeout
        if trial.stop_reason:
            self._finish(trial, TrialState.KILLED, trial.stop_reason, trial.stop_message)
            return
        if timeout is not None and trial.started_at is not None:
            deadline = trial.started_at + timeout
            if deadline <= self.now:
                message = f"its client did not complete it within the study's trial_timeout of {_seconds(timeout)}"
                self._finish(trial, TrialState.ERROR, TrialReason.DEADLINE_EXCEEDED, message)
                return
            self._wake(deadline)
        self.open.append(trial)

    def _settle_pending(self, trial: Trial, name: str, run: RunStatus | None) -> None:
        if run is not None:
            # Created by an earlier pass that ended before it could say so.
            self.actions.append(
                TrialMove(
                    trial.id,
                    trial.attempt,
                    TrialState.PENDING,
                    TrialState.RUNNING,
                    run=name,
                    at=run.started_at or self.now,
                )
            )
            self.open.append(replace(trial, state=TrialState.RUNNING))
            self._wake(self.now)
        elif trial.stop_reason:
            self.actions.append(FenceRun(name))
            self._finish(trial, TrialState.KILLED, trial.stop_reason, trial.stop_message)
        else:
            self.open.append(trial)

    def _ended(self, trial: Trial, run: RunStatus) -> None:
        at = run.ended_at or self.now
        if run.phase is RunPhase.SUCCEEDED and trial.objective is not None:
            self._finish(trial, TrialState.COMPLETED, "", "", at)
        elif trial.stop_reason == TrialReason.DEADLINE_EXCEEDED:
            self._fail(trial, trial.stop_reason, trial.stop_message, at)
        elif trial.stop_reason:
            self._finish(trial, TrialState.KILLED, trial.stop_reason, trial.stop_message, at)
        elif run.phase is RunPhase.SUCCEEDED:
            self._finish(trial, TrialState.ERROR, TrialReason.METRICS_UNAVAILABLE, self._no_metrics(run.name), at)
        else:
            tail = self.observed.tails.get(run.name, "")
            self._fail(trial, run.reason, f"{run.message}: {tail}" if tail else run.message, at)

    def _no_metrics(self, run: str) -> str:
        tail = self.observed.tails.get(run, "")
        text = f"it ended well but never printed {self.spec.objective_name}=NUMBER"
        return f"{text}; its last lines: {tail}" if tail else f"{text}; it printed nothing"

    def _fail(self, trial: Trial, reason: str, message: str, at: datetime | None = None) -> None:
        further = self.limits.retry_limit or 0
        if reason in DISRUPTIONS:
            further = max(further, MAX_DISRUPTIONS)
        if trial.attempt > further:
            self._finish(trial, TrialState.ERROR, reason, message, at)
            return
        not_before = self.now + min(RETRY_FIRST * 2 ** min(trial.attempt - 1, 10), RETRY_MOST)
        self.actions.append(
            TrialMove(
                trial.id,
                trial.attempt,
                trial.state,
                TrialState.PENDING,
                TrialReason.WAITING_FOR_RETRY,
                f"attempt {trial.attempt} failed ({reason}: {message}); attempt {trial.attempt + 1} follows",
                at=at or self.now,
                not_before=not_before,
                failed_reason=reason,
                failed_message=message,
            )
        )
        self._wake(not_before)

    def _finish(self, trial: Trial, state: TrialState, reason: str, message: str, at: datetime | None = None) -> None:
        self.actions.append(TrialMove(trial.id, trial.attempt, trial.state, state, reason, message, at=at or self.now))
        self.finished += 1
        if state is TrialState.ERROR:
            self.failed += 1
        elif (
            state is TrialState.COMPLETED
            and trial.objective is not None
            and (self.best is None or self.spec.better(trial.objective, self.best))
        ):
            self.best = trial.objective

    def _alive(self, trial: Trial, run: RunStatus) -> None:
        self.open.append(trial)
        timeout = self.limits.trial_timeout
        if trial.stop_reason:
            if run.phase is not RunPhase.STOPPING:
                self.actions.append(StopRun(run.name))
            return
        # What a run waits for before it executes has deadlines of its own, which its worker keeps.
        if timeout is not None and run.phase is not RunPhase.WAITING:
            deadline = (run.started_at or trial.started_at or self.now) + timeout
            if deadline <= self.now:
                message = f"it ran longer than the study's trial_timeout of {_seconds(timeout)}"
                self.actions += [StopRequest(trial.id, TrialReason.DEADLINE_EXCEEDED, message), StopRun(run.name)]
                return
            self._wake(deadline)
        if (run.reason, run.message) != (trial.reason, trial.message):
            self.actions.append(TrialNote(trial.id, trial.attempt, run.reason, run.message))

    def _orphans(self) -> None:
        """Runs of attempts that are over: of finished trials, or older than their trial's present attempt."""
        current = {run_name(t.id, t.attempt) for t in self.observed.trials}
        for name, run in self.observed.runs.items():
            if name in current:
                continue
            if run.phase.ended:
                self.deletes.append(name)
            elif run.phase is not RunPhase.STOPPING:
                self.actions.append(StopRun(name))

    # The study

    def _end(self) -> _End | None:
        """Why the study is over, if it is. The same answer comes in every later pass until it has ended."""
        limits = self.limits
        if self.study.intent is not Intent.NONE:
            return _End(StudyState.STOPPED, StudyReason.STOPPED_BY_USER, "stopped by a user")
        if self.best is not None and self.spec.reaches_goal(self.best):
            return _End(
                StudyState.COMPLETED,
                StudyReason.GOAL,
                f"{self.spec.objective_name} reached {self.best!r}; the goal is {self.spec.goal!r}",
            )
        if limits.max_failed_trials is not None and self.failed >= limits.max_failed_trials:
            return _End(
                StudyState.FAILED,
                StudyReason.MAX_FAILED_TRIALS,
                f"{self.failed} trials failed, and max_failed_trials is {limits.max_failed_trials}: see their reasons, "
                "then raise it to go on",
            )
        if limits.max_duration is not None:
            deadline = self.study.created_at + limits.max_duration
            if deadline <= self.now:
                return _End(
                    StudyState.COMPLETED,
                    StudyReason.MAX_DURATION,
                    f"max_duration of {_seconds(limits.max_duration)} is over",
                )
            self._wake(deadline)
        if limits.max_trials is not None and self.finished >= limits.max_trials:
            return _End(StudyState.COMPLETED, StudyReason.MAX_TRIALS, f"{self.finished} trials have finished")
        if not self.open and not self.spec.client_driven:
            return self._nothing_left()
        return None

    def _nothing_left(self) -> _End | None:
        asking = self.observed.asking
        if asking.completed_at is not None and asking.completed_at == self.finished:
            return _End(
                StudyState.COMPLETED,
                *_completed(self.spec.algorithm, asking.completed_reason),
            )
        if asking.empty_since is not None and asking.empty_since + NO_SUGGESTIONS_DEADLINE <= self.now:
            return _End(
                StudyState.FAILED,
                StudyReason.NO_SUGGESTIONS,
                f"{self.spec.algorithm} gave no suggestion for {_seconds(NO_SUGGESTIONS_DEADLINE)} while nothing ran",
            )
        return None

    def _wind_up(self, end: _End) -> None:
        """Ends what still runs; when nothing is open any more, the study."""
        still_open = []
        reason = TrialReason.STOPPED_BY_USER if end.reason == StudyReason.STOPPED_BY_USER else TrialReason.STUDY_ENDED
        message = f"its study ends: {end.message}"
        for trial in self.open:
            if self.spec.client_driven:
                self._finish(trial, TrialState.KILLED, reason, message)
            elif trial.state is TrialState.PENDING:
                # Fenced in the next pass, when it is stored why: should this pass be lost, and the study go on after all, it
                # would be found as a run that failed for no reason.
                still_open.append(trial)
                self.actions.append(StopRequest(trial.id, reason, message))
            else:
                still_open.append(trial)
                name = run_name(trial.id, trial.attempt)
                run = self.observed.runs.get(name)
                if not trial.stop_reason and run is not None and not run.phase.ended:
                    self.actions += [StopRequest(trial.id, reason, message), StopRun(name)]
        # Only a pass that begins with nothing open ends the study: a move of this pass may still be refused.
        if not self.observed.trials and not self._runs_left():
            if self.study.intent is Intent.DELETE:
                self.actions.append(RemoveStudy())
            else:
                self.actions.append(StudyMove(end.state, end.reason, end.message, self.now, self.study))
            return
        if not still_open:
            self._wake(self.now)
        self._note(StudyReason.DELETING if self.study.intent is Intent.DELETE else StudyReason.STOPPING, end.message)

    def _runs_left(self) -> bool:
        return any(not run.phase.ended for run in self.observed.runs.values())

    def _go_on(self) -> None:
        if self.spec.client_driven:
            self._note(StudyReason.CLIENT_DRIVEN, "clients ask for its trials (SuggestTrials)")
            return
        room = min(self.limits.max_parallel or MAX_PARALLEL_CAP, MAX_PARALLEL_CAP)
        room -= sum(t.state is TrialState.RUNNING for t in self.open)
        waiting = 0
        for trial in self.open:
            if trial.state is not TrialState.PENDING:
                continue
            if trial.not_before is not None and self._lies_ahead(trial.not_before, RETRY_MOST):
                self._wake(trial.not_before)
            elif room > 0 and self._may_create():
                room -= 1
                self.actions.append(CreateRun(trial))
            else:
                waiting += 1
        trouble = self.observed.asking.trouble
        if self.observed.worker_trouble:
            self._note(StudyReason.WORKER_UNAVAILABLE, self.observed.worker_trouble)
        elif trouble is not None and room > 0:
            self._note(*trouble)
        else:
            self._note(StudyReason.RUNNING, "")
        trouble_until = self.observed.asking.trouble_until
        if trouble_until is not None and room > 0:
            self._wake(trouble_until)
        if not waiting:
            self._ask(room)
        if self.spec.rule and self.observed.rule_due and any(t.state is TrialState.RUNNING for t in self.open):
            self.actions.append(AskRule())

    def _may_create(self) -> bool:
        """While the worker could not create runs, one at a time finds out whether it can again."""
        retry = self.observed.worker_retry
        if retry is None:
            return True
        if retry > self.now:
            self._wake(retry)
            return False
        return not any(isinstance(action, CreateRun) for action in self.actions)

    def _ask(self, room: int) -> None:
        asking = self.observed.asking
        count = room
        if asking.history is History.NONE:
            count = max(count, STOCK)
        if self.limits.max_trials is not None:
            count = min(count, self.limits.max_trials - self.study.suggested)
        if count <= 0 or asking.in_flight:
            return
        if asking.completed_at is not None and asking.completed_at == self.finished:
            return
        if asking.not_before is not None and asking.not_before > self.now:
            self._wake(asking.not_before)
            return
        self.actions.append(Ask(count))

    def _note(self, reason: str, message: str) -> None:
        if (self.study.reason, self.study.message) != (reason, message):
            self.actions.append(StudyMove(self.study.state, reason, message, self.study.ended_at, self.study))

    def _lies_ahead(self, at: datetime, most: timedelta) -> bool:
        """Whether a time that was at most so far ahead is still to come. Further ahead it can only be because a clock was set
        back, and waiting for it would take as much longer."""
        return self.now < at <= self.now + most

    def _wake(self, at: datetime) -> None:
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at


def _seconds(period: timedelta) -> str:
    return f"{period.total_seconds():g} s"


def _completed(algorithm: str, reason: str) -> tuple[str, str]:
    """Reason and message for a service that has nothing more to try. Its own word for it is taken if it is one."""
    message = f"{algorithm} has nothing more to try"
    if not reason or _WORD.fullmatch(reason):
        return reason or StudyReason.EXHAUSTED, message
    return StudyReason.EXHAUSTED, f"{message}: {reason[:_SHOWN_REASON]}"
