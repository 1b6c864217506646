"""What one pass does about its study, in the order that `reconcile` gives the reasons for: runs are fenced and created, then
all that was found out and decided is stored at once, and last comes what depends on that being stored."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from katib.domain.backoff import backoff, by_chance
from katib.domain.collect_environment import collect_environment
from katib.domain.names import run_name
from katib.domain.study import Study, StudyReason, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.manager.changes import StopRequest, StudyChanges, StudyMove, TrialMove, TrialNote
from katib.manager.controller.actions import (
    Action,
    Ask,
    AskRule,
    CreateRun,
    DeleteRun,
    FenceRun,
    RemoveStudy,
    StopRun,
)
from katib.manager.controller.creating import create_all
from katib.manager.controller.looking import WorkerAwayError, at_worker
from katib.manager.controller.means import Means
from katib.manager.controller.memory import Memory, Unended
from katib.manager.controller.moments import soonest
from katib.manager.controller.output import Taken
from katib.manager.controller.plan import Plan
from katib.manager.controller.settling import not_ended
from katib.worker.base import RunSpec

_log: Final = logging.getLogger(__name__)

_WORKER_RETRY_S: Final = 1.0
# Between the tries to end a run that could not be ended; and how long a pass may try in vain, as the others wait for it.
_END_RETRY_MOST_S: Final = 10.0
_IN_VAIN_S: Final = 1.0
# Between two lines of the log that say the same of a study.
_SAY_AGAIN: Final = timedelta(minutes=1)
_HELD_UP: Final = frozenset(
    {
        StudyReason.SUGGESTION_UNAVAILABLE,
        StudyReason.SUGGESTION_FAILED,
        StudyReason.EARLY_STOPPING_UNAVAILABLE,
        StudyReason.EARLY_STOPPING_FAILED,
        StudyReason.WORKER_UNAVAILABLE,
    }
)


@dataclass
class _Sorted:
    """A plan's actions by when they are done: `runs` to fence and trials `new` to create runs for, what is stored, and what
    comes `later`."""

    runs: list[str] = field(default_factory=list)
    new: list[Trial] = field(default_factory=list)
    moves: list[TrialMove] = field(default_factory=list)
    notes: list[TrialNote] = field(default_factory=list)
    stops: list[StopRequest] = field(default_factory=list)
    study: StudyMove | None = None
    later: list[Action] = field(default_factory=list)


def _sort(actions: Sequence[Action]) -> _Sorted:
    todo = _Sorted()
    for action in actions:
        match action:
            case CreateRun(trial):
                todo.new.append(trial)
            case FenceRun(run):
                todo.runs.append(run)
                todo.later.append(DeleteRun(run))
            case TrialMove():
                todo.moves.append(action)
            case TrialNote():
                todo.notes.append(action)
            case StopRequest():
                todo.stops.append(action)
            case StudyMove():
                todo.study = action
            case _:
                todo.later.append(action)
    return todo


class Doing:
    """One pass's. `steady`: when it began, by the steady clock; `ahead`: by how much the other clock is ahead of that one."""

    def __init__(self, means: Means, memory: Memory, study: Study, steady: datetime, ahead: timedelta) -> None:
        self._means = means
        self._outside = means.outside
        self._memory = memory
        self._study = study
        self._steady = steady
        self._ahead = ahead
        self._in_vain_s = 0.0
        # When to look again for what the worker could not do.
        self._again: datetime | None = None

    def do(
        self, plan: Plan, taken: Taken, trials: Sequence[Trial], stops: Sequence[StopRequest]
    ) -> tuple[Study, datetime | None]:
        """`trials`: the unfinished ones, and `stops` what the early-stopping rule wants of them. Returns the study as it is
        then, and when to look again; raises LeaseOverError."""
        todo = _sort(plan.actions)
        todo.stops[:0] = stops
        self._order(todo)
        for run in todo.runs:
            if not self._stop(run):
                self._leave(todo, run, trials)
        wake_at = plan.wake_at
        if todo.new:
            wake_at = soonest(wake_at, self._create_runs(todo))
        self._note_worker(todo)
        self._store(todo, taken)
        self._say_held_up()
        unfinished = _after(trials, todo.moves)
        for action in todo.later:
            self._do_later(action, unfinished)
        for again in (*(run.again for run in self._memory.unended.values()), self._again):
            wake_at = soonest(wake_at, again and again + self._ahead)
        return self._study, wake_at

    # First, what an intent that is stored already asks for

    def _create_runs(self, todo: _Sorted) -> datetime | None:
        memory = self._memory
        created = create_all(todo.new, self._create, self._outside.worker.creates_at_once)
        todo.moves += created.moves
        memory.worker_trouble, memory.worker_retry = "", None
        # After the others, next time: were it only these, they would hold up all.
        others = () if created.moves else (trial for trial in memory.create_last if trial not in created.failed)
        memory.create_last = (*others, *created.failed)
        again = None
        for trial in todo.new:
            trouble = created.failed.get(trial.id)
            if trouble is not None and trouble != trial.message:
                todo.notes.append(TrialNote(trial.id, trial.attempt, TrialReason.WORKER_UNAVAILABLE, trouble))
        if created.failed:
            retry = self._steady + timedelta(seconds=by_chance(_WORKER_RETRY_S, 0.7, 1.3))
            again = retry + self._ahead
            if not created.moves:
                memory.worker_trouble, memory.worker_retry = created.trouble, retry
        if created.left and not memory.worker_trouble:
            again = self._means.clock()
        return again

    def _create(self, trial: Trial) -> TrialMove:
        study = self._study
        name = run_name(trial.id, trial.attempt)
        self._means.hold(self._memory.term)
        # Before it, since a short run can have ended when `create` returns.
        begin = self._means.clock()
        self._outside.worker.create(
            RunSpec(
                name=name,
                study_id=study.id,
                trial_id=trial.id,
                attempt=trial.attempt,
                command=study.spec.command,
                arguments=tuple(f"{p.name}={p.value}" for p in trial.parameters),
                study=study.spec,
                environment={
                    **self._outside.environment(trial.id, trial.attempt),
                    **collect_environment(study.spec.collector, study.spec.metric_names),
                },
                ran_before=study.completed > 0,
            )
        )
        return TrialMove(trial.id, trial.attempt, TrialState.PENDING, TrialState.RUNNING, run=name, at=begin)

    def _note_worker(self, todo: _Sorted) -> None:
        """Says on the study that the worker creates no runs: a plan that creates some could not know yet."""
        study, trouble = self._study, self._memory.worker_trouble
        if todo.new and trouble and study.state is StudyState.RUNNING and not (todo.study and todo.study.reason):
            reason = (StudyReason.WORKER_UNAVAILABLE, trouble)
            known = (study.reason, study.message) == reason
            todo.study = None if known else StudyMove(study.state, *reason, read=study)

    # Then the one write

    def _store(self, todo: _Sorted, taken: Taken) -> None:
        ended = {move.trial_id for move in todo.moves if move.to_state.finished}
        # What ends in this pass need not be asked to: the request would come too late and look like somebody else's move.
        stops = tuple(stop for stop in todo.stops if stop.trial_id not in ended)
        changes = StudyChanges(tuple(taken.intakes), tuple(todo.moves), tuple(todo.notes), stops, todo.study)
        if not changes:
            return
        before = self._study
        applied = self._outside.storage.apply(before.id, changes, self._means.manager_id)
        self._study = applied.study
        self._memory.remember(before.revision, applied.study.revision, applied.trials.values())
        self._log_moves(todo.moves, applied.refused)
        if applied.study.reason != before.reason:
            self._memory.untold = applied.study.reason in _HELD_UP
        if applied.refused:
            # Somebody else moved first: read again what is.
            self._memory.readings.clear()
            self._means.wake(before.id)
            # Nothing was stored of what these runs said: they are not to be let go yet.
            kept = {DeleteRun(run_name(m.trial_id, m.attempt)) for m in todo.moves if m.trial_id in applied.refused}
            todo.later = [action for action in todo.later if action not in kept]
        if stops:
            self._means.wake(before.id)

    def _say_held_up(self) -> None:
        """For who looks after the manager, and not at each study. One that is throttled is held up ever again, for a moment;
        one that stays so is told of in the end."""
        study, memory = self._study, self._memory
        # Somebody else may have paused it meanwhile.
        memory.untold = memory.untold and study.reason in _HELD_UP
        said_at = memory.held_up_at.get(study.reason)
        if memory.untold and (said_at is None or self._steady - said_at >= _SAY_AGAIN):
            memory.untold, memory.held_up_at[study.reason] = False, self._steady
            _log.warning("a study is held up: %s", study.message, extra={"study_id": study.id})

    def _log_moves(self, moves: Sequence[TrialMove], refused: frozenset[str]) -> None:
        for move in moves:
            if move.trial_id in refused:
                continue
            self._outside.metrics.trial_moved(move.to_state, move.reason)
            _log.log(
                logging.WARNING if move.to_state is TrialState.ERROR else logging.DEBUG,
                "trial %s",
                move.to_state.value,
                extra={
                    "study_id": self._study.id,
                    "trial_id": move.trial_id,
                    "attempt": move.attempt,
                    "reason": move.reason,
                },
            )

    # Last, what depends on that being stored

    def _do_later(self, action: Action, unfinished: list[Trial]) -> None:
        study, memory = self._study, self._memory
        match action:
            case StopRun(run):
                self._stop(run)
            case DeleteRun(run):
                self._let_go(run)
            case Ask(count):
                self._means.hold(memory.term)
                memory.conversation.ask(study, unfinished, count)
                self._again = soonest(self._again, memory.conversation.shown_from)
            case AskRule():
                self._means.hold(memory.term)
                memory.ruling.ask(study, unfinished, self._steady)
            case RemoveStudy():
                self._means.hold(memory.term)
                memory.conversation.stop(study)
                with at_worker():
                    self._outside.worker.delete_study(study.id)
                self._outside.storage.delete_study(study.id)
                _log.info("study deleted", extra={"study_id": study.id})

    # Runs that are to end or to go, each without the others

    def _order(self, todo: _Sorted) -> None:
        """What could not be ended comes after all else, that which was tried last behind the others."""
        wanted = {*todo.runs, *(action.run for action in todo.later if isinstance(action, StopRun))}
        unended = self._memory.unended
        over = unended.keys() - wanted
        for run in over:
            del unended[run]
        if over:
            # The plan did not know yet that nothing holds the study any more.
            self._means.wake(self._study.id)
        place = {run: number for number, run in enumerate(unended, 1)}
        todo.runs.sort(key=lambda run: place.get(run, 0))
        todo.later.sort(key=lambda action: place.get(action.run, 0) if isinstance(action, StopRun) else 0)

    def _stop(self, run: str) -> bool:
        """Whether that was done. If not, it is tried again, and its trial says why."""
        self._means.hold(self._memory.term)
        unended = self._memory.unended
        known = unended.get(run)
        if known is not None and known.again > self._steady:
            return False
        if self._in_vain_s > _IN_VAIN_S:
            self._again = self._steady
            return False
        begin = time.monotonic()
        try:
            with at_worker():
                self._outside.worker.stop(self._study.id, run)
        except WorkerAwayError as error:
            self._in_vain_s += time.monotonic() - begin
            tries = known.tries + 1 if known is not None else 1
            rest = timedelta(seconds=backoff(tries, _WORKER_RETRY_S, _END_RETRY_MOST_S, 0.7))
            unended.pop(run, None)
            unended[run] = Unended(error.message, tries, self._steady + rest)
            if tries == 1:
                _log.warning("run %s cannot be ended: %s", run, error, extra={"study_id": self._study.id})
                self._means.wake(self._study.id)
            return False
        if unended.pop(run, None) is not None:
            self._means.wake(self._study.id)
        return True

    def _leave(self, todo: _Sorted, run: str, trials: Sequence[Trial]) -> None:
        """It is not sure that the run can never start: its trial stays as it is, and says why."""
        todo.later.remove(DeleteRun(run))
        trial = next(trial for trial in trials if run_name(trial.id, trial.attempt) == run)
        todo.moves = [move for move in todo.moves if move.trial_id != trial.id]
        known = self._memory.unended.get(run)
        message = "; ".join(filter(None, (trial.stop_message, not_ended(known.trouble if known else ""))))
        if message != trial.message:
            todo.notes.append(TrialNote(trial.id, trial.attempt, "", message))

    def _let_go(self, run: str) -> None:
        self._means.hold(self._memory.term)
        try:
            with at_worker():
                self._outside.worker.delete(self._study.id, run)
        except WorkerAwayError as error:
            # Its worker names it until that is done.
            _log.debug("run %s cannot be let go: %s", run, error, extra={"study_id": self._study.id})
            self._again = self._steady + timedelta(seconds=_WORKER_RETRY_S)
            return
        self._memory.readings.pop(run, None)


def _after(trials: Sequence[Trial], moves: Sequence[TrialMove]) -> list[Trial]:
    """The trials that are still unfinished after the moves, by number."""
    to = {m.trial_id: m.to_state for m in moves}
    return [replace(t, state=to.get(t.id, t.state)) for t in trials if not to.get(t.id, t.state).finished]
