"""Keeps a model record of every finished trial, exactly one, whatever crashes.

The model store is served from the manager's database: each study has a revision up to which its finished trials are in the
store (`Deliveries`). What has finished since is given to the store, which takes the same trial twice without harm, and only
then does that revision move on. So a manager that dies in between, or a store that is away, loses nothing, and a study never
waits for its store.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from katib.domain.errors import KatibError, NotFoundError, UnavailableError
from katib.domain.metrics import format_value
from katib.domain.models import SavedModel
from katib.domain.retention import Candidate, Retention, surplus
from katib.domain.study import Objective, Study
from katib.domain.trial import Trial, TrialState
from katib.manager.models import Deliveries, FinishedTrial, ModelStore
from katib.manager.ports import Storage
from katib.worker.base import Worker

_LOG: Final = logging.getLogger(__name__)

# Trials that finish within this time of the first are kept together.
_GATHER_S: Final = 0.5
# Between two looks for what nobody has been told of: trials that another manager's end or the store's absence has left over.
_LOOK_S: Final = 60.0
# After a failure the pause doubles from the first to the longest, each with jitter.
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_PAGE: Final = 200
_STUDIES: Final = 1000
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


@dataclass(slots=True)
class _Outage:
    """`told`: whether the log has had it."""

    pause: float = 0.0
    until: float = 0.0
    told: bool = False


class Keeper:
    """A thread of the manager. It holds nothing but the ids of studies to look at."""

    def __init__(
        self,
        storage: Storage,
        store: ModelStore,
        deliveries: Deliveries,
        worker: Worker,
        *,
        pace: Pace = Pace(),  # immutable
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._storage = storage
        self._store = store
        self._deliveries = deliveries
        self._worker = worker
        self._pace = pace
        self._now = now
        self._changed = threading.Condition()
        self._dirty: set[str] = set()
        self._next_look = 0.0
        self._closed = False
        self._outage = _Outage()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._storage.subscribe(self._wake)
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

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
                self._remove_files(study, self._path(study, trial))
            return
        values = self._storage.last_values(trials)
        self._store.keep(study, [FinishedTrial(trial, self._model(study, trial, values)) for trial in trials])
        if retention.best is None:
            return
        kept = self._store.kept_models(study)
        maximize = study.spec.optimization is Objective.MAXIMIZE
        candidates = [Candidate(model, model.number, _counted(model)) for model in kept]
        gone = surplus(retention, maximize, candidates)
        # The files first: without its record nobody would know of them any more.
        for model in gone:
            self._remove_files(study, model.model_path)
        self._store.remove(study, [model.trial_id for model in gone])

    def _model(self, study: Study, trial: Trial, values: Mapping[str, Mapping[str, float]]) -> SavedModel:
        return SavedModel(
            study_name=study.spec.name,
            trial_id=trial.id,
            parameters=trial.parameters,
            metrics=tuple((name, format_value(value)) for name, value in values.get(trial.id, {}).items()),
            model_path=self._path(study, trial),
            saved_at=self._now(),
            study_id=study.id,
            number=trial.number,
            state=trial.state,
            objective=trial.objective,
            kept=True,
        )

    def _path(self, study: Study, trial: Trial) -> str:
        return self._worker.model_path(study.spec, study.id, trial.run) if trial.run else ""

    def _remove_files(self, study: Study, path: str) -> None:
        if path:
            self._worker.remove_model(study.id, path)

    # The thread

    def _wake(self, study_id: str) -> None:
        with self._changed:
            self._dirty.add(study_id)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._await_work()
                if self._closed:
                    return
                dirty, self._dirty = self._dirty, set()
                look = time.monotonic() >= self._next_look
            left = self._round(dirty, look)
            with self._changed:
                self._dirty |= left

    def _await_work(self) -> None:
        """Until there is something to do that may be done now."""
        since: float | None = None
        while not self._closed:
            now = time.monotonic()
            if self._dirty and since is None:
                since = now
            due = min(self._next_look, since + self._pace.gather if since is not None else self._next_look)
            due = max(due, self._outage.until)
            if now >= due:
                return
            self._changed.wait(due - now)

    def _round(self, dirty: set[str], look: bool) -> set[str]:
        """What is still to be done."""
        left = set(dirty)
        try:
            if look:
                left.update(self._deliveries.behind(self._store.name, self._worker.placement, _STUDIES))
                # Not all managers of a database at the same moment.
                self._next_look = time.monotonic() + self._pace.look * random.uniform(1.0, 1.5)  # noqa: S311
            for study_id in sorted(left):
                if self._closed:
                    break
                self._keep_one(study_id, look)
                left.discard(study_id)
        except UnavailableError as error:
            self._failed(str(error))
        except KatibError as error:
            left.clear()
            self._failed(str(error))
        else:
            self._recovered()
        return left

    def _keep_one(self, study_id: str, settle: bool) -> None:
        """Raises UnavailableError; one study's own trouble does not keep the others waiting, and is tried again at the next
        look."""
        try:
            study = self._storage.get_study(study_id)
            if study.placement in ("", self._worker.placement):
                self.keep(study, settle=settle)
        except NotFoundError:
            pass  # deleted meanwhile
        except UnavailableError:
            raise
        except KatibError as error:
            _LOG.warning("models of study %s cannot be kept: %s", study_id, error, extra={"store": self._store.name})
        except Exception:  # noqa: BLE001  # nobody else would keep the next one's
            _LOG.exception("keeping models of study %s failed", study_id)

    def _failed(self, why: str) -> None:
        outage = self._outage
        outage.pause = min(outage.pause * 2 or self._pace.first_pause, self._pace.longest_pause)
        outage.until = time.monotonic() + outage.pause * random.uniform(0.75, 1.25)  # noqa: S311
        if not outage.told:
            outage.told = True
            _LOG.warning("models cannot be kept now, they are kept later: %s", why, extra={"store": self._store.name})

    def _recovered(self) -> None:
        if self._outage.told:
            _LOG.info("models are kept again", extra={"store": self._store.name})
        self._outage = _Outage()


def _counted(model: SavedModel) -> float | None:
    """The best of those that ended well; what was stopped or failed comes after them."""
    return model.objective if model.state is TrialState.COMPLETED else None
