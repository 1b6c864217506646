"""Studies that no manager alive can drive: their runs are kept by a machine or a folder that nobody looks after any more."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from katib.domain.errors import NotFoundError
from katib.domain.study import Intent, Study, StudyReason, StudyState
from katib.manager.changes import StudyChanges, StudyMove
from katib.manager.ports import Storage

_log: Final = logging.getLogger(__name__)

_LOOK_S: Final = 5.0
_AT_ONCE: Final = 100
# In leases. A manager that restarts is back before the first. Behind the second its machine is not expected back by a user who
# has asked for the study to be deleted.
_LEASES_UNTIL_TOLD: Final = 2
_LEASES_UNTIL_DELETED: Final = 10


class Stranded:
    """Says so on the study, for nobody else would; and lets one go that a user wants deleted."""

    def __init__(
        self, storage: Storage, placement: str, lease_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._placement = placement
        self._lease_s = lease_s
        self._clock = clock
        self._next = 0.0
        # By study, when it was first found so.
        self._since: dict[str, float] = {}

    def look(self, dead: Sequence[str]) -> None:
        """Any manager may do it, and several at once. `dead`: the managers whose lease has run out."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + min(_LOOK_S, self._lease_s)
        found = self._storage.stranded_studies(self._placement, dead, _AT_ONCE)
        self._since = {study_id: self._since.get(study_id, now) for study_id in found}
        for study_id, since in self._since.items():
            leases = (now - since) / self._lease_s
            if leases >= _LEASES_UNTIL_TOLD:
                try:
                    self._tell(self._storage.get_study(study_id), gone=leases >= _LEASES_UNTIL_DELETED)
                except NotFoundError:
                    continue

    def _tell(self, study: Study, *, gone: bool) -> None:
        if study.intent is Intent.DELETE and gone:
            _log.warning(
                "deletes a study without its runs' outputs, which nobody here can reach: %s",
                study.placement,
                extra={"study_id": study.id},
            )
            self._storage.delete_study(study.id)
            return
        if study.state is StudyState.PAUSED and study.intent is Intent.NONE:
            return
        message = (
            f"its runs are kept at {study.placement}, and no manager of that place is alive; start one there, on the same "
            "machine with the same --data"
        )
        # Clients pass over one that is being deleted, by that word.
        reason = StudyReason.DELETING if study.intent is Intent.DELETE else StudyReason.NO_MANAGER
        if (study.reason, study.message) != (reason, message):
            move = StudyMove(study.state, reason, message, study.ended_at, read=study)
            self._storage.apply(study.id, StudyChanges(study=move))
