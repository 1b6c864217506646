"""What is remembered of studies: of many, not of all that there ever were."""

import threading
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Something about studies, about the newest of many."""

    _MOST: Final = 10_000

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._known: Final[dict[str, T]] = {}

    def __contains__(self, study_id: str) -> bool:
        with self._lock:
            return study_id in self._known

    def get(self, study_id: str) -> T | None:
        with self._lock:
            return self._known.get(study_id)

    def drop(self, study_id: str) -> None:
        with self._lock:
            self._known.pop(study_id, None)

    def put(self, study_id: str, what: T) -> None:
        with self._lock:
            self._known.pop(study_id, None)
            self._known[study_id] = what
            while len(self._known) > self._MOST:
                del self._known[next(iter(self._known))]


class RememberedStudies(Remembered[None]):
    """Studies alone."""

    def add(self, study_id: str) -> None:
        self.put(study_id, None)
