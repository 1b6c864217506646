"""What is remembered of studies: of many, not of all that there ever were."""

import threading
from typing import Final


class Remembered:
    """Something about studies, about the newest of many."""

    _MOST: Final = 10_000

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._known: Final[dict[str, str]] = {}

    def __contains__(self, study_id: str) -> bool:
        with self._lock:
            return study_id in self._known

    def get(self, study_id: str) -> str:
        with self._lock:
            return self._known.get(study_id, "")

    def drop(self, study_id: str) -> None:
        with self._lock:
            self._known.pop(study_id, None)

    def add(self, study_id: str, what: str = "") -> None:
        with self._lock:
            self._known.pop(study_id, None)
            self._known[study_id] = what
            while len(self._known) > self._MOST:
                del self._known[next(iter(self._known))]
