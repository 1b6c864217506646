"""Answers that cost much: computed once for each study, however many people look at it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from katib.dashboard.errors import BusyError

_KEPT: Final = 64
_RETRY_AFTER_S: Final = 3
_WAIT_S: Final = 1.0

T = TypeVar("T")


class Answers(Generic[T]):
    """The latest answer of each study, of the 64 last asked for. One computation for each study at a time, and `at_once` in
    all: whoever else asks waits a second at most, since waiting holds one of the threads that answer everybody."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = threading.Condition()
        self._known: OrderedDict[str, tuple[Hashable, T]] = OrderedDict()
        self._computing: set[str] = set()

    def of(self, study_id: str, version: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives, or gave before for the same `version`. Raises BusyError when others compute now."""
        with self._lock:
            self._lock.wait_for(lambda: self._is_known(study_id, version) or self._is_free(study_id), _WAIT_S)
            if self._is_known(study_id, version):
                self._known.move_to_end(study_id)
                return self._known[study_id][1]
            if not self._is_free(study_id):
                raise BusyError("this is being computed for others: ask again in a moment", _RETRY_AFTER_S)
            self._computing.add(study_id)
        try:
            answer = compute()
            with self._lock:
                self._known[study_id] = (version, answer)
                self._known.move_to_end(study_id)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return answer
        finally:
            with self._lock:
                self._computing.discard(study_id)
                self._lock.notify_all()

    def _is_known(self, study_id: str, version: Hashable) -> bool:
        return study_id in self._known and self._known[study_id][0] == version

    def _is_free(self, study_id: str) -> bool:
        return study_id not in self._computing and len(self._computing) < self._at_once
