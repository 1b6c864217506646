"""What a pass makes of a study's trials, by their runs: the first half of the plan."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from katib.domain.names import run_name
from katib.domain.study import Limits
from katib.domain.trial import DISRUPTIONS, MAX_DISRUPTIONS, Trial, TrialReason, TrialState
from katib.manager.changes import StopRequest, TrialMove, TrialNote
from katib.manager.controller.actions import Action, FenceRun, StopRun
from katib.manager.controller.observed import NOTHING_HEARD, Heard, Observed
from katib.worker.base import RunPhase, RunStatus

# The wait before attempt k + 1 doubles with k, from RETRY_FIRST to RETRY_MOST.
RETRY_FIRST: Final = timedelta(seconds=1)
RETRY_MOST: Final = timedelta(seconds=60)
# Times of day come from clocks that are set, and of several managers: a stored one that lies further ahead than it was ever put
# is not waited for. A clock that is set forward costs a retry its pause. trial_timeout and max_duration go by the time of day
# as well, since they outlive every process: a clock that is set back by an hour makes them an hour longer, one that is set
# forward ends them an hour early. Nothing else waits for that.

# How long a run may take to show itself after it was created: longer than a loaded machine takes to start a process. Whoever
# takes over a study at that moment must not end it as one that never began.
ON_ITS_WAY: Final = timedelta(seconds=5)
# How soon to look again for a run that was not there or has been fenced, or for the rest of what one has said.
FENCE_LOOK: Final = timedelta(milliseconds=100)
UNREAD_LOOK: Final = timedelta(seconds=1)
# How long after its end it is said of a run that its output is still being read.
READING: Final = timedelta(seconds=2)
_UNREAD: Final = "it has ended, and its output cannot be read now"
_HIDDEN: Final = "how its run stands cannot be seen now, which is tried again"
_READING: Final = "it has ended, and what it printed or wrote is still being read"


class Settling:
    """Moves the trials whose runs have ended, and says how the study stands after that."""

    def __init__(self, observed: Observed, limits: Limits, now: datetime) -> None:
        self.observed = observed
        self.spec = observed.study.spec
        self.limits = limits
        self.now = now
        self.actions: list[Action] = []
        self.deletes: list[str] = []
        self.wake_at: datetime | None = None
        # As they will be once the moves of this pass are stored.
        self.finished = observed.study.finished_trials
        self.failed = observed.study.failed
        self.best = observed.study.best_objective
        self.open: list[Trial] = []

    def settle(self, trial: Trial) -> None:
        """Moves a trial whose run has ended; the others are kept in `open` for what follows."""
        if self.spec.client_driven:
            self._settle_client(trial)
            return
        name = run_name(trial.id, trial.attempt)
        run = self.observed.runs.get(name)
        if trial.state is TrialState.PENDING:
            self._settle_pending(trial, name, run)
        elif run is None:
            self._settle_unseen(trial, name)
        elif run.phase.ended:
            if self._heard(name).drained:
                self.deletes.append(name)
                self._ended(trial, run)
            else:
                self._read_on(trial, run)
        else:
            self._alive(trial, run)

    def _settle_client(self, trial: Trial) -> None:
        """Its client runs it: there is no run to wait for."""
        timeout = self.limits.trial_timeout
        if trial.stop_reason:
            self.finish(trial, TrialState.KILLED, trial.stop_reason, trial.stop_message)
            return
        if timeout is not None and trial.started_at is not None:
            deadline = trial.started_at + timeout
            if deadline <= self.now:
                message = f"its client did not complete it within the study's trial_timeout of {seconds(timeout)}"
                self.finish(trial, TrialState.ERROR, TrialReason.DEADLINE_EXCEEDED, message)
                return
            self.wake(deadline)
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
            self.wake(self.now)
        elif trial.stop_reason:
            self.actions.append(FenceRun(name))
            self.finish(trial, TrialState.KILLED, trial.stop_reason, trial.stop_message)
        else:
            self.open.append(trial)

    def _settle_unseen(self, trial: Trial, name: str) -> None:
        """On its way, or lost. Stopping it makes sure that it is one or the other: the worker shows it from then on."""
        self.open.append(trial)
        unseen = self._heard(name).unseen
        if unseen and not trial.stop_reason:
            # It may run well, out of sight.
            self.wake(self.now + UNREAD_LOOK)
            message = f"whether its run is there cannot be seen now, which is tried again: {unseen}"
            if trial.message != message:
                self.actions.append(TrialNote(trial.id, trial.attempt, TrialReason.WORKER_UNAVAILABLE, message))
            return
        # Twice as long, since the clock that says when it began may be another manager's and a little ahead.
        begun = trial.started_at
        if trial.stop_reason or begun is None or not self.lies_ahead(begun + ON_ITS_WAY, 2 * ON_ITS_WAY):
            self.actions.append(StopRun(name))
        why = not_ended(self.observed.unended.get(name, ""))
        if not why:
            self.wake(self.now + FENCE_LOOK)
        elif trial.stop_reason:
            self._note_stopping(trial, why)
        elif trial.message != (message := f"its worker knows no run of it; {why}"):
            self.actions.append(TrialNote(trial.id, trial.attempt, "", message))

    def _read_on(self, trial: Trial, run: RunStatus) -> None:
        """It has ended, and not all that it said has been read. Where there is more of it already the pass goes on at once."""
        self.open.append(trial)
        unread = self._heard(run.name).unread
        self.wake(self.now + (UNREAD_LOOK if unread else FENCE_LOOK))
        begin = _UNREAD if unread else _READING
        if run.ended_at is not None and run.ended_at + READING <= self.now and not trial.message.startswith(begin):
            self.actions.append(TrialNote(trial.id, trial.attempt, "", f"{begin}: {unread}" if unread else begin))

    def _ended(self, trial: Trial, run: RunStatus) -> None:
        at = run.ended_at or self.now
        # One that its rule has stopped may well end by itself and with exit code 0 for that, as when it saves its model first:
        # it did not come to its end.
        early = trial.stop_reason == TrialReason.EARLY_STOPPED
        heard = self._heard(run.name)
        if run.phase is RunPhase.SUCCEEDED and trial.objective is not None and not early:
            self.finish(trial, TrialState.COMPLETED, "", heard.warning, at)
        elif trial.stop_reason == TrialReason.DEADLINE_EXCEEDED:
            self._fail(trial, trial.stop_reason, trial.stop_message, at)
        elif trial.stop_reason:
            message = "; ".join(filter(None, (trial.stop_message, heard.warning)))
            self.finish(trial, TrialState.KILLED, trial.stop_reason, message, at)
        elif run.phase is RunPhase.SUCCEEDED:
            self.finish(trial, TrialState.ERROR, TrialReason.METRICS_UNAVAILABLE, self._no_metrics(heard), at)
        else:
            self._fail(trial, run.reason, f"{run.message}: {heard.tail}" if heard.tail else run.message, at)

    def _no_metrics(self, heard: Heard) -> str:
        text = heard.missing or f"it ended well but reported no value of {self.spec.objective_name}"
        if heard.tail:
            return f"{text}; its last lines: {heard.tail}"
        return text if heard.warning else f"{text}; it printed nothing"

    def _fail(self, trial: Trial, reason: str, message: str, at: datetime | None = None) -> None:
        further = self.limits.retry_limit or 0
        if reason in DISRUPTIONS:
            further = max(further, MAX_DISRUPTIONS)
        if trial.attempt > further:
            self.finish(trial, TrialState.ERROR, reason, message, at)
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
        self.wake(not_before)

    def finish(self, trial: Trial, state: TrialState, reason: str, message: str, at: datetime | None = None) -> None:
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
            why = not_ended(self.observed.unended.get(run.name, ""))
            if not why and run.unseen:
                why = f"{_HIDDEN}: {run.unseen}"
            elif not why and (run.ended_at is not None or run.reason in DISRUPTIONS):
                why = run.message
            self._note_stopping(trial, why)
            return
        # What a run waits for before it executes has deadlines of its own, which its worker keeps.
        # One that has ended, and is still named as running, waits for its output to be read.
        if timeout is not None and run.phase is not RunPhase.WAITING and run.ended_at is None:
            deadline = (run.started_at or trial.started_at or self.now) + timeout
            if deadline <= self.now:
                message = f"it ran longer than the study's trial_timeout of {seconds(timeout)}"
                self.actions += [StopRequest(trial.id, TrialReason.DEADLINE_EXCEEDED, message), StopRun(run.name)]
                return
            self.wake(deadline)
        reason, message = run.reason, run.message
        if run.unseen:
            reason, message = TrialReason.WORKER_UNAVAILABLE, f"{_HIDDEN}: {run.unseen}"
        if (reason, message) != (trial.reason, trial.message):
            self.actions.append(TrialNote(trial.id, trial.attempt, reason, message))

    def _note_stopping(self, trial: Trial, why: str) -> None:
        """Says what keeps it from its end, if anything does."""
        message = "; ".join(filter(None, (trial.stop_message, why)))
        if message != (trial.message or trial.stop_message):
            self.actions.append(TrialNote(trial.id, trial.attempt, "", message))

    def orphans(self) -> None:
        """Runs of attempts that are over: of finished trials, or older than their trial's present attempt."""
        current = {run_name(t.id, t.attempt) for t in self.observed.trials}
        for name, run in self.observed.runs.items():
            if name in current:
                continue
            if run.phase.ended:
                self.deletes.append(name)
            elif run.phase is not RunPhase.STOPPING:
                self.actions.append(StopRun(name))

    def _heard(self, run: str) -> Heard:
        return self.observed.heard.get(run, NOTHING_HEARD)

    def lies_ahead(self, at: datetime, most: timedelta) -> bool:
        """Whether a time that was at most so far ahead is still to come. Further ahead it can only be because a clock was set
        back, and waiting for it would take as much longer."""
        return self.now < at <= self.now + most

    def wake(self, at: datetime) -> None:
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at


def not_ended(trouble: str) -> str:
    return f"it cannot be ended yet, which is tried again: {trouble}" if trouble else ""


def seconds(period: timedelta) -> str:
    return f"{period.total_seconds():g} s"
