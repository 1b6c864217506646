"""What to do with a study, as a pure function of how it stands. No I/O, no clock, no memory of its own.

`plan` is given what was just read: the study with its counters, its unfinished trials, the runs that the worker knows, what
the suggestion service last said, and the time. A crash at any point is only another such state, so every crash point is a row
of a table test (tests/controller/test_crash_points.py). The order of writes that makes this safe stands in
docs/architecture.md.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from katib.domain.counted import counted
from katib.domain.names import run_name
from katib.domain.study import PAUSED_MESSAGE, Intent, Limits, StudyReason, StudyState, effective_limits
from katib.domain.trial import TrialReason, TrialState
from katib.manager.changes import StopRequest, StudyMove, TrialNote
from katib.manager.controller.actions import Action, Ask, AskRule, CreateRun, DeleteRun, RemoveStudy, StopRun
from katib.manager.controller.observed import FREE_SLOT, Observed
from katib.manager.controller.settling import RETRY_MOST, UNREAD_LOOK, Settling, seconds
from katib.manager.service_ports import History
from katib.manager.suggested import clients_ask, noted_for_clients, nothing_more

# A study without a limit of its own still may not take the whole machine: 0.1's grid asked for everything at once.
MAX_PARALLEL_CAP: Final = 1000
# How many suggestions to have in store where asking early loses nothing (no history is needed): one call for many trials.
STOCK: Final = 16
# How long a service may answer "nothing now" while nothing runs before the study is given up.
NO_SUGGESTIONS_DEADLINE: Final = timedelta(minutes=10)


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
        self.settling = Settling(observed, self.limits, now)
        self.actions = self.settling.actions

    def plan(self) -> Plan:
        for trial in self.observed.trials:
            self.settling.settle(trial)
        self.settling.orphans()
        end = self._end()
        if end is not None:
            self._wind_up(end)
        elif self.study.state is StudyState.RUNNING:
            self._go_on()
        else:
            # A paused study lets run what runs and begins nothing. It may have been about to end until a limit was raised.
            self._note(StudyReason.PAUSED, PAUSED_MESSAGE)
        self.actions += [DeleteRun(run) for run in self.settling.deletes]
        return Plan(tuple(self.actions), self.settling.wake_at)

    def _end(self) -> _End | None:
        """Why the study is over, if it is. The same answer comes in every later pass until it has ended."""
        limits = self.limits
        if self.study.intent is not Intent.NONE:
            return _End(StudyState.STOPPED, StudyReason.STOPPED_BY_USER, "stopped by a user")
        if self.settling.best is not None and self.spec.reaches_goal(self.settling.best):
            return _End(
                StudyState.COMPLETED,
                StudyReason.GOAL,
                f"{self.spec.objective_name} reached {self.settling.best!r}; the goal is {self.spec.goal!r}",
            )
        if limits.max_failed_trials is not None and self.settling.failed >= limits.max_failed_trials:
            return _End(
                StudyState.FAILED,
                StudyReason.MAX_FAILED_TRIALS,
                f"{counted(self.settling.failed, 'trial')} failed, and max_failed_trials is "
                f"{limits.max_failed_trials}: see their reasons, "
                "then raise it to go on",
            )
        if limits.max_duration is not None:
            deadline = self.study.created_at + limits.max_duration
            if deadline <= self.now:
                return _End(
                    StudyState.COMPLETED,
                    StudyReason.MAX_DURATION,
                    f"max_duration of {seconds(limits.max_duration)} is over",
                )
            self.settling.wake(deadline)
        if limits.max_trials is not None and self.settling.finished >= limits.max_trials:
            return _End(
                StudyState.COMPLETED,
                StudyReason.MAX_TRIALS,
                f"{counted(self.settling.finished, 'trial', 'have')} finished",
            )
        if not self.settling.open and not self.spec.client_driven:
            return self._nothing_left()
        return None

    def _nothing_left(self) -> _End | None:
        asking = self.observed.asking
        if asking.completed_at is not None and asking.completed_at == self.settling.finished:
            return _End(
                StudyState.COMPLETED,
                *nothing_more(self.spec.algorithm, asking.completed_reason),
            )
        if asking.empty_since is not None and asking.empty_since + NO_SUGGESTIONS_DEADLINE <= self.now:
            return _End(
                StudyState.FAILED,
                StudyReason.NO_SUGGESTIONS,
                f"{self.spec.algorithm} gave no suggestion for {seconds(NO_SUGGESTIONS_DEADLINE)} while nothing ran",
            )
        return None

    def _wind_up(self, end: _End) -> None:
        """Ends what still runs; when nothing is open any more, the study."""
        still_open = []
        reason = TrialReason.STOPPED_BY_USER if end.reason == StudyReason.STOPPED_BY_USER else TrialReason.STUDY_ENDED
        message = f"its study ends: {end.message}"
        for trial in self.settling.open:
            if self.spec.client_driven:
                self.settling.finish(trial, TrialState.KILLED, reason, message)
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
                self.actions.append(StudyMove(end.state, end.reason, self._told(end.message), self.now, self.study))
            return
        if not still_open and not self.observed.unended:
            # What ends in this pass is behind the next one. Of runs that are left their worker tells.
            self.settling.wake(self.now if self.observed.trials else self.now + UNREAD_LOOK)
        reason = StudyReason.DELETING if self.study.intent is Intent.DELETE else StudyReason.STOPPING
        unseen = {run: heard.unseen for run, heard in self.observed.heard.items() if heard.unseen}
        kept = {**unseen, **self.observed.unended}
        held = [f"run {run} cannot be ended yet: {trouble}" for run, trouble in kept.items()]
        # Before the rest, of which a later pass takes what its service said.
        self._note(reason, "; ".join([*held[:1], self._told(end.message)]))

    def _told(self, end: str) -> str:
        """Why the study ends, and what its service said of it while it ran, which a reader of the results wants to know."""
        said = self.observed.asking.note
        if said is None:  # by this manager; the one before may have got so far
            said = self.study.message if self.study.reason == StudyReason.RUNNING else ""
            said = said or noted_for_clients(self.study.message)
            before, told = _uncounted(f"{end}; "), _uncounted(self.study.message)
            if told.startswith(before):
                said = told.removeprefix(before)
        return f"{end}; {said}" if said else end

    def _runs_left(self) -> bool:
        return any(not run.phase.ended for run in self.observed.runs.values())

    def _go_on(self) -> None:
        if self.spec.client_driven:
            # Who answers the clients writes down what the algorithm says.
            told = clients_ask(noted_for_clients(self.study.message))
            self._note(*(self.observed.rule_trouble or (StudyReason.CLIENT_DRIVEN, told)))
            self._ask_rule()
            return
        room = min(self.limits.max_parallel or MAX_PARALLEL_CAP, MAX_PARALLEL_CAP)
        room -= sum(t.state is TrialState.RUNNING for t in self.settling.open)
        waiting = 0
        place = {trial_id: number for number, trial_id in enumerate(self.observed.create_last, 1)}
        for trial in sorted(self.settling.open, key=lambda trial: place.get(trial.id, 0)):
            if trial.state is not TrialState.PENDING:
                continue
            if trial.not_before is not None and self.settling.lies_ahead(trial.not_before, RETRY_MOST):
                self.settling.wake(trial.not_before)
            elif room > 0 and self._may_create():
                room -= 1
                self.actions.append(CreateRun(trial))
            else:
                waiting += 1
                if room <= 0 and trial.reason == TrialReason.WORKER_UNAVAILABLE:
                    # What kept it from being created once may be over, and is not what it waits for.
                    slot = TrialNote(trial.id, trial.attempt, TrialReason.WAITING_FOR_SLOT, FREE_SLOT)
                    self.settling.actions.append(slot)
        trouble = self.observed.asking.trouble
        if self.observed.worker_trouble:
            self._note(StudyReason.WORKER_UNAVAILABLE, self.observed.worker_trouble)
        elif trouble is not None and room > 0:
            self._note(*trouble)
        elif self.observed.rule_trouble is not None:
            self._note(*self.observed.rule_trouble)
        else:
            # What the service said stays until it has been asked again: by this manager, or by the one before.
            said = self.study.message if self.study.reason == StudyReason.RUNNING else ""
            note = self.observed.asking.note
            self._note(StudyReason.RUNNING, said if note is None else note)
        trouble_until = self.observed.asking.trouble_until
        if trouble_until is not None and room > 0:
            self.settling.wake(trouble_until)
        if not waiting:
            self._ask(room)
        self._ask_rule()

    def _ask_rule(self) -> None:
        if self.spec.rule and self.observed.rule_due and any(t.state is TrialState.RUNNING for t in self.settling.open):
            self.actions.append(AskRule())

    def _may_create(self) -> bool:
        """While the worker could not create runs, one at a time finds out whether it can again."""
        retry = self.observed.worker_retry
        if retry is None:
            return True
        if retry > self.now:
            self.settling.wake(retry)
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
        if asking.completed_at is not None and asking.completed_at == self.settling.finished:
            return
        if asking.not_before is not None and asking.not_before > self.now:
            self.settling.wake(asking.not_before)
            return
        self.actions.append(Ask(count))

    def _note(self, reason: str, message: str) -> None:
        if (self.study.reason, self.study.message) != (reason, message):
            self.actions.append(StudyMove(self.study.state, reason, message, self.study.ended_at, self.study))


def _uncounted(message: str) -> str:
    """Without the number of trials that it begins with, which grows while those that are left end."""
    return message.lstrip("0123456789")
