"""One pass over one study: look, take in, plan, do.

The order of writes is what makes a crash at any point harmless:

1. what only carries out an intent that is stored already is done first (create the run of a PENDING trial, fence one that will
   be killed): repeated after a crash it changes nothing;
2. then everything that this pass has found out and decided is stored in one transaction (output taken in, moves, notes);
3. last comes what depends on that being stored (end a run whose trial says why, let go of a run whose output is in).

Before each act in the world it is asked whether this manager's lease has held since the pass began: a process can be frozen
between any two lines, and wake up when another one drives the study. Why an act that slips through is harmless stands in
docs/adr/0005.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from katib.domain.collect_environment import collect_environment
from katib.domain.errors import AbortedError, KatibError, NotFoundError, UnavailableError
from katib.domain.names import run_name
from katib.domain.study import Intent, Study, StudyReason, StudyState
from katib.domain.trial import NewTrial, Trial, TrialState
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
from katib.manager.controller.asking import Conversation
from katib.manager.controller.creating import create_all
from katib.manager.controller.looking import Lookout, WorkerAwayError, at_worker
from katib.manager.controller.memory import Memory
from katib.manager.controller.moments import soonest, steady_clock
from katib.manager.controller.observed import Observed
from katib.manager.controller.output import Taken
from katib.manager.controller.plan import Plan, plan
from katib.manager.controller.ruling import Ruling, asked_to_stop
from katib.manager.controller.tidying import tidy
from katib.manager.metrics import Metrics
from katib.manager.ports import Storage
from katib.manager.quotas import Room
from katib.manager.service_ports import EarlyStoppingServices, History, SuggestionServices
from katib.worker.base import RunSpec, Worker

_log: Final = logging.getLogger(__name__)

_WORKER_RETRY: Final = timedelta(seconds=1)
_FILE_LOOK: Final = timedelta(seconds=1)
_HELD_UP: Final = frozenset(
    {
        StudyReason.SUGGESTION_UNAVAILABLE,
        StudyReason.SUGGESTION_FAILED,
        StudyReason.EARLY_STOPPING_UNAVAILABLE,
        StudyReason.EARLY_STOPPING_FAILED,
        StudyReason.WORKER_UNAVAILABLE,
    }
)


class LeaseOverError(Exception):
    """The others do not believe any more that this manager lives: the pass ends here, and nothing of it is missed."""


class Reconciler:
    """Safe from several threads as long as each study is in the hands of one at a time."""

    def __init__(
        self,
        manager_id: str,
        storage: Storage,
        suggestions: SuggestionServices,
        rules: EarlyStoppingServices,
        worker: Worker,
        wake: Callable[[str], None],
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        term: Callable[[], int | None] = lambda: 1,
        steady: Callable[[], datetime] | None = None,
        environment: Callable[[str, int], Mapping[str, str]] = lambda _trial_id, _attempt: {},
        room: Room | None = None,
    ) -> None:
        """`term()`: for how long this manager's lease has held on end, as a number that is another one after each lapse; None
        while it is over. `clock` is the time of day, which is stored and may be set; `steady` one that only ever goes on.
        `environment(trial_id, attempt)`: variables for a run."""
        self._term = term
        self._steady = steady or steady_clock()
        self._manager_id = manager_id
        self._storage = storage
        self._suggestions = suggestions
        self._rules = rules
        self._worker = worker
        self._lookout = Lookout(worker, storage)
        self._wake = wake
        self._metrics = metrics
        self._clock = clock
        self._environment = environment
        self._room = room or Room(storage)
        self._memories: dict[str, Memory] = {}

    def prime(self, study: Study, history: History | None) -> None:
        """A new study whose suggestion service has just accepted its settings: the first question needs no second yes."""
        memory = self._memory(study.id)
        if history is not None:
            memory.conversation.prepared(study.spec, history)

    def forget(self, study_id: str) -> None:
        self._memories.pop(study_id, None)

    def reconcile(self, study_id: str) -> datetime | None:
        """One pass; returns when to look again if nothing wakes the study before. Raises LeaseOverError."""
        # Before anything is read: what was read in a term that is over may be another manager's to change by now.
        term = self._term()
        try:
            study = self._storage.get_study(study_id)
        except NotFoundError:
            self.forget(study_id)
            return None
        if study.state.finished and study.intent is Intent.NONE:
            self.forget(study_id)
            tidy(study, self._storage, self._worker, self._wake, lambda: self._act(term))
            return None
        if study.manager != self._manager_id:
            self.forget(study_id)
            return None
        memory = self._memory(study_id)
        memory.term = term
        try:
            return self._pass(study, memory)
        except AbortedError as error:
            # Another manager drives it now, or a client was faster: what was read is old.
            memory.readings.clear()
            memory.revision = -1
            memory.ruling.metrics_came()
            _log.info("dropped a pass: %s", error, extra={"study_id": study_id})
            self._wake(study_id)
            return None
        except BaseException:
            # Output that was read in this pass may not be stored: read it again. Nor what a rule wants stopped: ask it again.
            memory.readings.clear()
            memory.ruling.metrics_came()
            raise

    def note_failure(self, study_id: str, error: Exception) -> None:
        """Says on the study why it does not move, as far as that can be said now; a pass that succeeds takes it back."""
        away = isinstance(error, UnavailableError)
        reason = StudyReason.WORKER_UNAVAILABLE if isinstance(error, WorkerAwayError) else StudyReason.CONTROLLER_FAILED
        what = error.message if isinstance(error, KatibError) else f"a defect ({type(error).__name__})"
        message = f"{what}; it is tried again" + ("" if away else ", and the manager's log says more")
        try:
            study = self._storage.get_study(study_id)
            if study.state is StudyState.RUNNING and (study.reason, study.message) != (reason, message):
                move = StudyMove(study.state, reason, message, read=study)
                self._storage.apply(study_id, StudyChanges(study=move), self._manager_id)
        except Exception as failure:  # noqa: BLE001 - the failure itself is in the log already
            # The database is away too, the study cannot be read, or it is another's: then it cannot be said there.
            _log.debug("could not note a failure: %s", failure, extra={"study_id": study_id})

    def _pass(self, study: Study, memory: Memory) -> datetime | None:
        now, steady = self._clock(), self._steady()
        # Between now and the end of the pass, what is waited for by the steady clock comes at this much later by the other.
        ahead = now - steady
        changed = memory.revision != study.revision
        if changed and memory.read(study.revision, self._storage.unfinished_trials(study.id)):
            memory.ruling.metrics_came()
        new = memory.conversation.take(study, steady)
        if new:
            study = self._insert(study, memory, new, now)
        runs, taken = self._lookout.look(study, memory.trials, memory.readings)
        if taken.metrics:
            memory.ruling.metrics_came()
        trials, stops = asked_to_stop(taken.trials, memory.ruling.take(study, steady), runs)
        observed = Observed(
            study=study,
            trials=trials,
            runs=runs,
            drained=frozenset(taken.drained),
            tails=taken.tails,
            missing=taken.missing,
            unread=taken.unread,
            warnings=taken.warnings,
            asking=memory.conversation.look(study, ahead),
            rule_due=memory.ruling.due(study, steady),
            rule_trouble=memory.ruling.trouble,
            worker_trouble=memory.worker_trouble,
            worker_retry=memory.worker_retry and memory.worker_retry + ahead,
            create_last=memory.create_last,
        )
        todo = plan(observed, now)
        wake_at = self._do(study, observed, todo, taken, stops, memory, steady, ahead)
        if taken.more:
            return now
        live = study.spec.collector.file_of_manager and any(not run.phase.ended for run in runs.values())
        if live or taken.waiting:
            # Nobody says that a file has grown.
            wake_at = soonest(wake_at, now + _FILE_LOOK)
        rule_at = memory.ruling.next_time(study, steady)
        # Due already and not asked: there was nothing to ask about, and a change will wake the study.
        return soonest(wake_at, rule_at + ahead if rule_at is not None and rule_at > steady else None)

    def _act(self, term: int | None) -> None:
        """To be called right before anything is done in the world. That the lease is valid is not enough: it may have lapsed
        and been renewed since the pass began, and another manager have driven the study in between."""
        if term is None or self._term() != term:
            raise LeaseOverError

    def _insert(self, study: Study, memory: Memory, new: Sequence[NewTrial], now: datetime) -> Study:
        try:
            added = self._storage.add_trials(
                study.id, memory.conversation.asked_suggested, new, now, manager_id=self._manager_id
            )
        except (AbortedError, UnavailableError):
            memory.conversation.not_stored()
            raise
        except KatibError:
            memory.conversation.lost()
            raise
        memory.remember(study.revision, added[0].revision, added)
        return replace(
            study,
            suggested=study.suggested + len(added),
            pending=study.pending + len(added),
            revision=added[0].revision,
        )

    # Doing

    def _do(
        self,
        study: Study,
        observed: Observed,
        todo: Plan,
        taken: Taken,
        stops: list[StopRequest],
        memory: Memory,
        steady: datetime,
        ahead: timedelta,
    ) -> datetime | None:
        moves: list[TrialMove] = []
        notes: list[TrialNote] = []
        study_move: StudyMove | None = None
        later: list[Action] = []
        new: list[Trial] = []
        wake_at = todo.wake_at
        for action in todo.actions:
            match action:
                case CreateRun(trial):
                    new.append(trial)
                case FenceRun(run):
                    self._act(memory.term)
                    with at_worker():
                        self._worker.stop(study.id, run)
                    later.append(DeleteRun(run))
                case TrialMove():
                    moves.append(action)
                case TrialNote():
                    notes.append(action)
                case StopRequest():
                    stops.append(action)
                case StudyMove():
                    study_move = action
                case _:
                    later.append(action)
        if new:
            term = memory.term
            created = create_all(new, lambda trial: self._create(study, trial, term), self._worker.creates_at_once)
            moves += created.moves
            memory.worker_trouble, memory.worker_retry = "", None
            # After the others, next time: were it only these, they would hold up all.
            memory.create_last = (
                frozenset(created.failed) if created.moves else memory.create_last.union(created.failed)
            )
            if created.failed:
                retry = steady + _WORKER_RETRY * random.uniform(0.7, 1.3)  # noqa: S311
                wake_at = soonest(wake_at, retry + ahead)
                if not created.moves:
                    memory.worker_trouble, memory.worker_retry = created.trouble, retry
            if created.left and not memory.worker_trouble:
                wake_at = self._clock()
        if memory.worker_trouble and study.state is StudyState.RUNNING and not (study_move and study_move.reason):
            # The plan could not know yet.
            reason = (StudyReason.WORKER_UNAVAILABLE, memory.worker_trouble)
            known = (study.reason, study.message) == reason
            study_move = None if known else StudyMove(study.state, *reason, read=study)
        ended = {move.trial_id for move in moves if move.to_state.finished}
        # What ends in this pass need not be asked to: the request would come too late and look like somebody else's move.
        stops = [stop for stop in stops if stop.trial_id not in ended]
        changes = StudyChanges(tuple(taken.intakes), tuple(moves), tuple(notes), tuple(stops), study_move)
        if changes:
            applied = self._storage.apply(study.id, changes, self._manager_id)
            memory.remember(study.revision, applied.study.revision, applied.trials.values())
            self._log_moves(study, moves, applied.refused)
            if applied.study.reason in _HELD_UP and applied.study.reason != study.reason:
                # For who looks after the manager, and not at each study.
                _log.warning("a study is held up: %s", applied.study.message, extra={"study_id": study.id})
            if applied.refused:
                # Somebody else moved first: read again what is.
                memory.readings.clear()
                self._wake(study.id)
                # Nothing was stored of what these runs said: they are not to be let go yet.
                kept = {DeleteRun(run_name(m.trial_id, m.attempt)) for m in moves if m.trial_id in applied.refused}
                later = [action for action in later if action not in kept]
            study = applied.study
            if stops:
                self._wake(study.id)
        unfinished = _after(observed.trials, moves)
        for action in later:
            self._do_later(study, action, unfinished, memory, steady)
        if study.state.finished and study.intent is Intent.NONE:
            _log.info("study ended: %s", study.reason, extra={"study_id": study.id, "state": study.state.value})
            memory.conversation.stop(study)
            self.forget(study.id)
            return None
        return wake_at

    def _do_later(
        self, study: Study, action: Action, unfinished: list[Trial], memory: Memory, steady: datetime
    ) -> None:
        self._act(memory.term)
        match action:
            case StopRun(run):
                with at_worker():
                    self._worker.stop(study.id, run)
            case DeleteRun(run):
                with at_worker():
                    self._worker.delete(study.id, run)
                memory.readings.pop(run, None)
            case Ask(count):
                memory.conversation.ask(study, unfinished, count)
            case AskRule():
                memory.ruling.ask(study, unfinished, steady)
            case RemoveStudy():
                memory.conversation.stop(study)
                with at_worker():
                    self._worker.delete_study(study.id)
                self._storage.delete_study(study.id)
                self.forget(study.id)
                _log.info("study deleted", extra={"study_id": study.id})

    def _create(self, study: Study, trial: Trial, term: int | None) -> TrialMove:
        name = run_name(trial.id, trial.attempt)
        self._act(term)
        # Before it, since a short run can have ended when `create` returns.
        begin = self._clock()
        self._worker.create(
            RunSpec(
                name=name,
                study_id=study.id,
                trial_id=trial.id,
                attempt=trial.attempt,
                command=study.spec.command,
                arguments=tuple(f"{p.name}={p.value}" for p in trial.parameters),
                study=study.spec,
                environment={
                    **self._environment(trial.id, trial.attempt),
                    **collect_environment(study.spec.collector, study.spec.metric_names),
                },
            )
        )
        return TrialMove(trial.id, trial.attempt, TrialState.PENDING, TrialState.RUNNING, run=name, at=begin)

    def _log_moves(self, study: Study, moves: Sequence[TrialMove], refused: frozenset[str]) -> None:
        for move in moves:
            if move.trial_id in refused:
                continue
            self._metrics.trial_moved(move.to_state, move.reason)
            level = logging.WARNING if move.to_state is TrialState.ERROR else logging.DEBUG
            _log.log(
                level,
                "trial %s",
                move.to_state.value,
                extra={"study_id": study.id, "trial_id": move.trial_id, "attempt": move.attempt, "reason": move.reason},
            )

    def _memory(self, study_id: str) -> Memory:
        memory = self._memories.get(study_id)
        if memory is not None:
            return memory

        def wake() -> None:
            self._wake(study_id)

        conversation = Conversation(self._suggestions, self._storage, wake, self._room)
        made = Memory(conversation, Ruling(self._rules, self._storage, wake))
        # The thread that created the study and the one that reconciles it may both come first.
        return self._memories.setdefault(study_id, made)


def _after(trials: Sequence[Trial], moves: Sequence[TrialMove]) -> list[Trial]:
    """The trials that are still unfinished after the moves, by number."""
    to = {m.trial_id: m.to_state for m in moves}
    return [replace(t, state=to.get(t.id, t.state)) for t in trials if not to.get(t.id, t.state).finished]
