"""What a finished study, or one that was deleted, still has of runs."""

import logging
from collections.abc import Callable
from typing import Final

from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.study import Study
from katib.manager.ports import Storage
from katib.worker.base import RunPhase, Worker

_log: Final = logging.getLogger(__name__)


def tidy(
    study: Study, storage: Storage, worker: Worker, wake: Callable[[str], None], may_act: Callable[[], None]
) -> None:
    """A run whose creation came late, by a manager that was frozen, is stopped; one that its worker names again, after a
    restart, is let go of again. Any manager does it whose worker names one. `may_act` is called right before each act in the
    world and raises where this manager's lease has lapsed since the pass began."""
    if study.spec.client_driven:
        return
    runs = worker.list(study.id)
    if not runs:
        return
    # It may have been resumed, and these runs be of trials that were added since. If it is still finished now that they
    # have been seen, each belongs to a finished trial, whatever happens from here on.
    try:
        now = storage.get_study(study.id)
    except NotFoundError:
        return
    if not now.state.finished:
        wake(study.id)
        return
    trouble: UnavailableError | None = None
    for run in runs:
        may_act()
        try:
            if run.phase.ended:
                worker.delete(study.id, run.name)
            elif run.phase is not RunPhase.STOPPING:
                _log.warning("stops a run of a finished study", extra={"study_id": study.id, "run": run.name})
                worker.stop(study.id, run.name)
        except UnavailableError as error:
            # One that cannot be ended now is no reason to leave the others.
            trouble = error
    if trouble is not None:
        raise trouble


def tidy_deleted(study_id: str, storage: Storage, worker: Worker, may_act: Callable[[], None]) -> None:
    """Takes away what whoever deleted it did not live to. A study that the database does not know at all is left alone: it may
    be another database's."""
    if not storage.was_deleted(study_id):
        return
    worker.look_in(study_id, ())
    runs = worker.list(study_id)
    alive = [run for run in runs if not run.phase.ended]
    for run in alive:
        may_act()
        if run.phase is not RunPhase.STOPPING:
            _log.warning("stops a run of a study that was deleted", extra={"study_id": study_id, "run": run.name})
            worker.stop(study_id, run.name)
    if runs and not alive:
        may_act()
        worker.delete_study(study_id)
