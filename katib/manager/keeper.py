"""Keeps a model record of every finished trial, exactly one, whatever crashes.

The model store is served from the manager's database: each study has a revision up to which its finished trials are in the
store (`Deliveries`). What has finished since is given to the store, which takes the same trial twice without harm, and only
then does that revision move on. So a manager that dies in between, or a store that is away, loses nothing, and a study never
waits for its store. Of several managers one keeps a study's, as a rule (share.py).
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from katib.domain.errors import KatibError, NotFoundError, UnavailableError
from katib.domain.metrics import format_value
from katib.domain.models import SavedModel
from katib.domain.retention import Candidate, Retention, surplus
from katib.domain.study import Objective, Study
from katib.domain.trial import Trial, TrialState
from katib.manager.models import Deliveries, FinishedTrial, ModelStore
from katib.manager.ports import Storage
from katib.manager.share import Patience, Share
from katib.worker.base import Worker

_log: Final = logging.getLogger(__name__)

# Trials that finish within this time of the first are kept together.
_GATHER_S: Final = 0.5
# Between two looks for what nobody has been told of: trials that another manager's end or the store's absence has left over.
_LOOK_S: Final = 60.0
# For so many of these a study is left to the manager whose part it is, without anything being kept.
_LOOKS_LEFT: Final = 3
# After a failure the pause doubles from the first to the longest, each with jitter.
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_PAGE: Final = 200
_STUDIES: Final = 1000
# So many studies in a row that could not be kept are no trouble of theirs.
_AWAY: Final = 3
# How long `close` waits for a store that is busy.
_CLOSE_S: Final = 5.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Pace:
    """The times above, in seconds."""

    gather: float = _GATHER_S
    look: float = _LOOK_S
    first_pause: float = _FIRST_PAUSE_S
    longest_pause: float = _LONGEST_PAUSE_S


@dataclass(frozen=True, slots=True)
class _Wait:
    """Until when something is not tried again, by the monotonic clock, and for how long that was."""

    until: float = 0.0
    pause: float = 0.0


class Keeper:
    """A thread of the manager. It holds nothing but the ids of studies to look at."""

    def __init__(
        self,
        storage: Storage,
        store: ModelStore,
        deliveries: Deliveries,
        worker: Worker,
        share: Share | None = None,
        *,
        pace: Pace = Pace(),  # immutable
        now: Callable[[], datetime] = _now,
    ) -> None:
        """`share`: None where there is no other manager."""
        self._storage = storage
        self._store = store
        self._deliveries = deliveries
        self._worker = worker
        self._share = share
        self._left_to_others = Patience(pace.look * _LOOKS_LEFT)
        self._pace = pace
        self._now = now
        self._changed = threading.Condition()
        self._dirty: set[str] = set()
        self._next_look = 0.0
        self._closed = False
        # Studies that could not be kept; each is tried again at its time.
        self._later: dict[str, _Wait] = {}
        # While nothing seems to answer.
        self._outage = _Wait()
        self._told = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._storage.subscribe(self.wake)
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    def wake(self, study_id: str) -> None:
        """Something of this study has changed. From any thread, at once."""
        with self._changed:
            # Told at each commit: the thread, which has this study to look at already, is not woken for it again.
            if study_id not in self._later and study_id not in self._dirty:
                self._dirty.add(study_id)
                self._changed.notify()

    def look(self) -> None:
        """The database is back, or the like: everything that is behind is looked for at once."""
        with self._changed:
            self._next_look = 0.0
            self._changed.notify()

    def close(self) -> None:
        """What is not kept yet is kept by the next manager."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def keep(self, study: Study, *, settle: bool = True) -> None:
        """Brings the store up to date with a study. Without `settle` what has changed and not finished is looked at again
        next time, which saves a write. Raises the KatibError of the storage, the store or the worker."""
        study_id = study.id
        retention = Retention.parse(study.spec.keep_models) or Retention()
        done = self._deliveries.delivered(self._store.name, study_id)
        if done == 0:
            # Its project is there from the beginning.
            self._store.keep(study, ())
            settle = True
        whole = False
        while not whole and not self._closed:
            page = self._storage.changed_trials(study_id, done, _PAGE)
            whole = len(page) < _PAGE
            finished = [trial for trial in page if trial.state.finished]
            if finished:
                self._keep(study, finished, retention)
            # All up to the study as it was read, or further where a trial is already.
            done = max([trial.revision for trial in page] + [study.revision] * whole)
            if settle or finished or not whole:
                self._deliveries.advance(self._store.name, study_id, done)

    # Keeping

    def _keep(self, study: Study, trials: list[Trial], retention: Retention) -> None:
        if retention.best == 0:
            for trial in trials:
                if not self._is_clients(study, trial):
                    self._remove_files(study, trial)
            return
        values = self._storage.last_values(trials)
        self._store.keep(study, [FinishedTrial(trial, self._model(study, trial, values)) for trial in trials])
        if retention.best is None:
            return
        kept = self._store.kept_models(study)
        maximize = study.spec.optimization is Objective.MAXIMIZE
        candidates = [Candidate(model.trial_id, model.number, _counted(model)) for model in kept]
        gone = surplus(retention, maximize, candidates)
        # The files first: without its record nobody would know of them any more.
        removed = [trial_id for trial_id in gone if self._remove_files(study, self._storage.get_trial(trial_id))]
        self._store.remove(study, removed)

    def _model(self, study: Study, trial: Trial, values: Mapping[str, Mapping[str, float]]) -> SavedModel:
        return SavedModel(
            study_name=study.spec.name,
            trial_id=trial.id,
            parameters=trial.parameters,
            metrics=tuple((name, format_value(value)) for name, value in values.get(trial.id, {}).items()),
            model_path=trial.model_path or self._place(study, trial),
            saved_at=self._now(),
            study_id=study.id,
            number=trial.number,
            state=trial.state,
            objective=trial.objective,
            kept=True,
        )

    def _place(self, study: Study, trial: Trial) -> str:
        """The one that the worker gave it, if there is anything."""
        return self._worker.model_path(study.spec, study.id, trial.run) if trial.run else ""

    def _is_clients(self, study: Study, trial: Trial) -> bool:
        """Whether a client has saved a model of the trial, which may well be what lies in the run's folder."""
        try:
            return not self._store.saved_model(study.spec.name, trial.id).kept
        except NotFoundError:
            return False

    def _remove_files(self, study: Study, trial: Trial) -> bool:
        """Whether nothing is left to be removed; it is no reason to keep the other models waiting when there is. Only the place
        that the worker gave the trial counts, and not where its program has named that itself: what a program says of its model
        may be anybody's, and is never removed."""
        path = ""
        try:
            path = self._place(study, trial)
            if path and not (trial.model_path and _may_lie_in(trial.model_path, path)):
                self._worker.remove_model(study.id, path)
        except Exception as error:  # noqa: BLE001 - whatever one model is, the others go on
            _log.warning(
                "a model of study %s cannot be removed: %s",
                study.id,
                error,
                extra={"path": path},
                exc_info=not isinstance(error, KatibError),
            )
            return False
        return True

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._await_work()
                if self._closed:
                    return
                now = time.monotonic()
                ripe = {study_id for study_id, wait in self._later.items() if wait.until <= now}
                studies, self._dirty = self._dirty | ripe, set()
                look = now >= self._next_look
            try:
                left = self._round(studies, look)
            except Exception:  # noqa: BLE001 - nobody else would go on
                _log.exception("a look for models to keep failed; it is tried again")
                left = studies
                self._pause()
            with self._changed:
                self._dirty |= left - self._later.keys()

    def _await_work(self) -> None:
        """Until there is something to do that may be done now."""
        since: float | None = None
        while not self._closed:
            now = time.monotonic()
            if self._dirty and since is None:
                since = now
            due = min((self._next_look, *(wait.until for wait in self._later.values())))
            if since is not None:
                due = min(due, since + self._pace.gather)
            due = max(due, self._outage.until)
            if now >= due:
                return
            self._changed.wait(due - now)

    def _round(self, studies: set[str], look: bool) -> set[str]:
        """Keeps what is to be kept of these studies, and with `look` of all that are behind; those that it has not come to."""
        left = set(studies)
        if look:
            try:
                behind = self._deliveries.behind(self._store.name, self._worker.placement, _STUDIES)
            except KatibError as error:
                self._tell_outage(error)
                self._pause()
                return left
            left.update(study_id for study_id in behind if study_id not in self._later)
            self._left_to_others.only(left)
            # Not all managers of a database at the same moment.
            self._next_look = time.monotonic() + self._pace.look * random.uniform(1.0, 1.5)  # noqa: S311
        away = 0
        for study_id in sorted(left):
            if self._closed or away == _AWAY:
                break
            left.discard(study_id)
            away = away + 1 if self._keep_one(study_id, look) else 0
        if away:
            # One study's trouble, or everybody's: the next round begins with others.
            if away == _AWAY or not left:
                self._pause()
        elif studies or look:
            self._recovered()
        return left

    def _keep_one(self, study_id: str, settle: bool) -> bool:
        """Whether something could not be reached. One study's trouble does not keep the others waiting; it is tried again
        later, after pauses that grow."""
        try:
            self._keep_if_there(study_id, settle)
        except KatibError as error:
            away = isinstance(error, UnavailableError)
            if away:
                self._tell_outage(error)
            elif study_id not in self._later:
                _log.warning(
                    "models of study %s cannot be kept: %s", study_id, error, extra={"store": self._store.name}
                )
        except Exception:  # noqa: BLE001 - nobody else would keep the next one's
            away = False
            _log.exception("keeping models of study %s failed", study_id)
        else:
            self._later.pop(study_id, None)
            return False
        with self._changed:
            self._later[study_id] = self._longer(self._later.get(study_id, _Wait()))
        return away

    def _keep_if_there(self, study_id: str, settle: bool) -> None:
        try:
            study = self._storage.get_study(study_id)
        except NotFoundError:
            return  # deleted meanwhile
        if study.placement not in ("", self._worker.placement):
            return
        if not self._is_ours(study, look=settle):
            return
        try:
            self.keep(study, settle=settle)
        except NotFoundError:
            # The study's end, or something that the store should have.
            try:
                self._storage.get_study(study_id)
            except NotFoundError:
                return
            raise

    def _is_ours(self, study: Study, look: bool) -> bool:
        """Also where it is the part of another one that does not keep it: whose store is another, or out of its reach."""
        if self._share is None or self._share.is_ours(study):
            return True
        return look and self._left_to_others.is_over(study.id, self._deliveries.delivered(self._store.name, study.id))

    def _longer(self, before: _Wait) -> _Wait:
        pause = min(before.pause * 2 or self._pace.first_pause, self._pace.longest_pause)
        return _Wait(time.monotonic() + pause * random.uniform(0.75, 1.25), pause)  # noqa: S311

    def _pause(self) -> None:
        self._outage = self._longer(self._outage)

    def _tell_outage(self, error: KatibError) -> None:
        if not self._told:
            self._told = True
            _log.warning("models cannot be kept now, they are kept later: %s", error, extra={"store": self._store.name})

    def _recovered(self) -> None:
        if self._told:
            _log.info("models are kept again", extra={"store": self._store.name})
        self._told = False
        self._outage = _Wait()


def _counted(model: SavedModel) -> float | None:
    """The best of those that ended well; what was stopped or failed comes after them."""
    return model.objective if model.state is TrialState.COMPLETED else None


def _may_lie_in(said: str, place: str) -> bool:
    """Whether what a program says of its model is in this place, has it in itself, or nobody can know: a relative path is one
    from where the program ran."""
    path = unquote(said.removeprefix("file://")) if said.startswith("file://") else said
    if "://" in path:
        return False
    if not os.path.isabs(path):
        return True
    theirs, ours = os.path.realpath(path), os.path.realpath(place)
    return os.path.commonpath((theirs, ours)) in (theirs, ours)
