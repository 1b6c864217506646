"""What callers may do with studies that are there, remembered: an owner and permissions never change, so neither does this."""

import threading
from collections import OrderedDict
from typing import Final, Generic, TypeVar

from katib.domain.caller import Caller
from katib.domain.errors import NotFoundError
from katib.domain.permissions import Access, Grants, access_everywhere, access_of, grants_of, require
from katib.manager.ports import Storage

# About 5 MB.
_MOST: Final = 10_000

V = TypeVar("V")


class _Recent(Generic[V]):
    """The values that were asked for last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: V) -> None:
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._most:
                self._values.popitem(last=False)


class StudyAccess:
    """Who may not see a study is told what it would be told if there were none; who may see it, and not do this, is told so."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._grants: _Recent[Grants] = _Recent(_MOST)
        self._studies: _Recent[str] = _Recent(_MOST)

    def of_study(self, caller: Caller, study_id: str) -> Access:
        """Raises NotFoundError where there is no such study. (One that was deleted may still be known here: whatever is asked
        of it next says that it is gone.)"""
        grants = self._grants.get(study_id)
        if grants is None:
            spec = self._storage.get_study(study_id).spec
            grants = grants_of(spec.owner, spec.access_permissions)
            self._grants.put(study_id, grants)
        return access_of(caller, grants)

    def require_study(self, caller: Caller, study_id: str, needs: Access) -> None:
        """Raises NotFoundError or PermissionDeniedError."""
        if access_everywhere(caller) < needs:
            self._require(caller, study_id, needs, f"study {study_id}")

    def require_trial(self, caller: Caller, trial_id: str, needs: Access) -> None:
        """Raises NotFoundError or PermissionDeniedError."""
        if access_everywhere(caller) < needs:
            self._require(caller, self.study_of(trial_id), needs, f"trial {trial_id}")

    def study_of(self, trial_id: str) -> str:
        """Raises NotFoundError where there is no such trial."""
        study_id = self._studies.get(trial_id)
        if study_id is None:
            study_id = self._storage.get_trial(trial_id).study_id
            self._studies.put(trial_id, study_id)
        return study_id

    def known_study_of(self, trial_id: str) -> str:
        """Without asking the database; empty where it is not known."""
        return self._studies.get(trial_id) or ""

    def learn(self, trial_id: str, study_id: str) -> None:
        if self._studies.get(trial_id) is None:
            self._studies.put(trial_id, study_id)

    def _require(self, caller: Caller, study_id: str, needs: Access, what: str) -> None:
        has = self.of_study(caller, study_id)
        if has is Access.NONE:
            raise NotFoundError(f"there is no {what}")
        require(caller, has, needs, what)
