"""Watching a study: every change as it happens, wherever it was made."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from katib.domain.caller import current_caller
from katib.domain.errors import InvalidArgumentError
from katib.domain.views import StudyEvent, summary
from katib.manager.ports import Storage
from katib.manager.service.checks import study_id_of
from katib.manager.service.looks import Looks

T = TypeVar("T")

# Changes made through other managers are seen by looking at the study's row; our own wake the watcher at once.
_LOOK_S: Final = 1.0
# Metrics may come by the hundred a second; nobody reads faster than this.
_LEAST_INTERVAL_S: Final = 0.05
_PAGE: Final = 100


class Changes:
    """Wakes those who wait for a change of one study."""

    def __init__(self, storage: Storage) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}
        storage.subscribe(self._changed)

    def add(self, study_id: str, event: threading.Event) -> None:
        with self._lock:
            self._waiting.setdefault(study_id, set()).add(event)

    def remove(self, study_id: str, event: threading.Event) -> None:
        with self._lock:
            events = self._waiting.get(study_id)
            if events is not None:
                events.discard(event)
                if not events:
                    del self._waiting[study_id]

    def _changed(self, study_id: str) -> None:
        if study_id in self._waiting:
            with self._lock:
                for event in self._waiting.get(study_id, ()):
                    event.set()


class Watcher:
    """Whoever watches: `leave`, from any thread, ends the watching at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.gone = False

    def leave(self) -> None:
        self.gone = True
        self.event.set()


class WatchUseCase:
    def __init__(self, storage: Storage, stopping: Callable[[], bool]) -> None:
        """`stopping()`: whether this manager is about to end, so that nobody should wait any longer."""
        self._storage = storage
        self._changes = Changes(storage)
        self._stopping = stopping
        self._looks = Looks()

    def watch_study(
        self, study_id: str, after_revision: int, watcher: Watcher, show: Callable[[StudyEvent], T]
    ) -> Iterator[T]:
        """The study with the trials changed after `after_revision`, then each change, as `show` makes it; ends when the study
        has ended."""
        study_id_of(study_id)
        if after_revision < 0:
            raise InvalidArgumentError.of("after_revision", after_revision, "expected 0 or a revision")
        self._changes.add(study_id, watcher.event)
        try:
            yield from self._events(study_id, after_revision, watcher, show)
        finally:
            self._changes.remove(study_id, watcher.event)

    def _events(self, study_id: str, revision: int, watcher: Watcher, show: Callable[[StudyEvent], T]) -> Iterator[T]:
        shown = -1
        caller = current_caller().name
        while not self._stopping():
            watcher.event.clear()
            # Looked at behind the clearing, which may have undone the ringing of one who left.
            with self._looks.of(caller, lambda: watcher.gone or self._stopping()) as may:
                if not may:
                    return
                study = self._storage.get_study(study_id)
                if study.revision < revision:
                    # A copy of the database was put back: what was shown since need not be so.
                    revision, shown = 0, -1
                event, whole = None, True
                if study.revision > shown:
                    # Read after the study: what changed between the two reads comes now, and its study in the next round.
                    trials = self._storage.changed_trials(study_id, revision, _PAGE)
                    whole = len(trials) < _PAGE
                    if trials:
                        revision = trials[-1].revision
                    if whole:
                        shown = study.revision
                        revision = max(revision, shown)
                    event = show(StudyEvent(summary(study), trials, revision))
            # Not in the turn: a reader may be slow.
            if event is not None:
                yield event
            if not whole:
                continue
            if study.state.finished:
                return
            watcher.event.wait(_LOOK_S)
            # Let a burst of changes become one event.
            time.sleep(_LEAST_INTERVAL_S)
