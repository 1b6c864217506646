"""One pass over one study: look (`looking`), take in (`output`), plan (`plan`), do (`doing`).

The order of writes is what makes a crash at any point harmless:

1. what only carries out an intent that is stored already is done first (create the run of a PENDING trial, fence one that will
   be killed): repeated after a crash it changes nothing;
2. then everything that this pass has found out and decided is stored in one transaction (output taken in, moves, notes);
3. last comes what depends on that being stored (end a run whose trial says why, let go of a run whose output is in).

Before each act in the world it is asked whether this manager's lease has held since the pass began (`Means.hold`): a process
can be frozen between any two lines, and wake up when another one drives the study. Why an act that slips through is harmless
stands in docs/adr/0005.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from katib.domain.errors import AbortedError, KatibError, NotFoundError, UnavailableError
from katib.domain.study import Intent, Study, StudyReason, StudyState
from katib.domain.trial import NewTrial
from katib.manager.changes import StudyChanges, StudyMove
from katib.manager.controller.actions import RemoveStudy
from katib.manager.controller.asking import Conversation
from katib.manager.controller.doing import Doing
from katib.manager.controller.looking import Lookout, WorkerAwayError
from katib.manager.controller.means import Means
from katib.manager.controller.memory import Memory
from katib.manager.controller.moments import soonest
from katib.manager.controller.observed import Observed
from katib.manager.controller.plan import plan
from katib.manager.controller.ruling import Ruling, asked_to_stop
from katib.manager.controller.tidying import tidy, tidy_deleted
from katib.manager.quotas import Room
from katib.manager.service_ports import History

_log: Final = logging.getLogger(__name__)

_FILE_LOOK: Final = timedelta(seconds=1)


class Reconciler:
    """Safe from several threads as long as each study is in the hands of one at a time."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._outside = means.outside
        self._storage = self._outside.storage
        self._lookout = Lookout(self._outside.worker, self._storage)
        self._room = self._outside.room or Room(self._storage)
        self._memories: dict[str, Memory] = {}

    def prime(self, study: Study, history: History | None) -> None:
        """A new study whose suggestion service has just accepted its settings: the first question needs no second yes."""
        memory = self._memory(study.id)
        if history is not None:
            memory.conversation.prepared(study, history)

    def forget(self, study_id: str) -> None:
        self._memories.pop(study_id, None)

    def reconcile(self, study_id: str) -> datetime | None:
        """One pass; returns when to look again if nothing wakes the study before. Raises LeaseOverError."""
        # Before anything is read: what was read in a term that is over may be another manager's to change by now.
        term = self._means.term()
        try:
            study = self._storage.get_study(study_id)
        except NotFoundError:
            self.forget(study_id)
            tidy_deleted(study_id, self._storage, self._outside.worker, lambda: self._means.hold(term))
            return None
        if study.state.finished and study.intent is Intent.NONE:
            self.forget(study_id)
            self._outside.worker.look_in(study_id, ())
            tidy(study, self._storage, self._outside.worker, self._means.wake, lambda: self._means.hold(term))
            return None
        if study.manager != self._means.manager_id:
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
            self._means.wake(study_id)
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
            # Clients pass over one that is deleted by this word; and who has ended one is to see that this was taken.
            reason = {Intent.DELETE: StudyReason.DELETING, Intent.STOP: StudyReason.STOPPING}.get(study.intent, reason)
            if study.state is StudyState.RUNNING and (study.reason, study.message) != (reason, message):
                move = StudyMove(study.state, reason, message, read=study)
                self._storage.apply(study_id, StudyChanges(study=move), self._means.manager_id)
        except Exception as failure:  # noqa: BLE001 - the failure itself is in the log already
            # The database is away too, the study cannot be read, or it is another's: then it cannot be said there.
            _log.debug("could not note a failure: %s", failure, extra={"study_id": study_id})

    def _pass(self, study: Study, memory: Memory) -> datetime | None:
        now, steady = self._means.clock(), self._means.steady()
        # Between now and the end of the pass, what is waited for by the steady clock comes at this much later by the other.
        ahead = now - steady
        changed = memory.revision != study.revision
        if changed and memory.read(study.revision, self._storage.unfinished_trials(study.id)):
            memory.ruling.metrics_came()
        new = memory.conversation.take(study, steady)
        if new:
            study = self._insert(study, memory, new, now)
        self._outside.worker.look_in(study.id, study.places if memory.trials else ())
        runs, taken = self._lookout.look(study, memory.trials, memory.readings)
        study = self._place(study, memory)
        if taken.metrics:
            memory.ruling.metrics_came()
        trials, stops = asked_to_stop(taken.trials, memory.ruling.take(study, steady), runs)
        observed = Observed(
            study=study,
            trials=trials,
            runs=runs,
            heard=taken.heard,
            asking=memory.conversation.look(study, ahead),
            rule_due=memory.ruling.due(study, steady),
            rule_trouble=memory.ruling.trouble,
            worker_trouble=memory.worker_trouble,
            worker_retry=memory.worker_retry and memory.worker_retry + ahead,
            create_last=memory.create_last,
            unended={name: run.trouble for name, run in memory.unended.items()},
        )
        todo = plan(observed, now)
        after, wake_at = Doing(self._means, memory, study, steady, ahead).do(todo, taken, trials, stops)
        if RemoveStudy() in todo.actions:
            self.forget(study.id)
        elif after.state.finished and after.intent is Intent.NONE:
            _log.info("study ended: %s", after.reason, extra={"study_id": study.id, "state": after.state.value})
            memory.conversation.stop(after)
            self.forget(study.id)
            wake_at = None
        if taken.more:
            return now
        live = study.spec.collector.file_of_manager and any(not run.phase.ended for run in runs.values())
        if live or taken.waiting:
            # Nobody says that a file has grown.
            wake_at = soonest(wake_at, now + _FILE_LOOK)
        rule_at = memory.ruling.next_time(study, steady)
        # Due already and not asked: there was nothing to ask about, and a change will wake the study.
        return soonest(wake_at, rule_at + ahead if rule_at is not None and rule_at > steady else None)

    def _place(self, study: Study, memory: Memory) -> Study:
        """Stores where its runs may be, where that is not so yet, before one is created there: a manager with other options
        would not find it."""
        if study.spec.client_driven or not (memory.trials or study.places):
            return study
        places = tuple(self._outside.worker.places(study.id, study.spec))
        if not memory.trials:
            # Nothing of it is missed elsewhere, and a place that is lost by the time it goes on would hold it up.
            places = places[:1]
        if places == study.places:
            return study
        applied = self._storage.apply(study.id, StudyChanges(places=places), self._means.manager_id)
        memory.remember(study.revision, applied.study.revision, ())
        _log.info("the study's runs may be in %s", ", ".join(places) or "no place", extra={"study_id": study.id})
        return replace(study, places=places, revision=applied.study.revision)

    def _insert(self, study: Study, memory: Memory, new: Sequence[NewTrial], now: datetime) -> Study:
        try:
            added = self._storage.add_trials(
                study.id, memory.conversation.asked_suggested, new, now, manager_id=self._means.manager_id
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

    def _memory(self, study_id: str) -> Memory:
        memory = self._memories.get(study_id)
        if memory is not None:
            return memory

        def wake() -> None:
            self._means.wake(study_id)

        conversation = Conversation(self._outside.suggestions, self._storage, wake, self._room)
        made = Memory(conversation, Ruling(self._outside.rules, self._storage, wake))
        # The thread that created the study and the one that reconciles it may both come first.
        return self._memories.setdefault(study_id, made)
