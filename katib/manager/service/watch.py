"""Watching a study: every change as it happens, wherever it was made."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.views import StudyEvent, summary
from katib.manager.ports import Storage
from katib.manager.service.checks import study_id_of

# Changes made through other managers are seen by looking at the study's row; our own wake the watcher at once.
_LOOK_S: Final = 1.0
# Metrics may come by the hundred a second; nobody reads faster than this.
_LEAST_INTERVAL_S: Final = 0.05
_PAGE: Final = 500


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

    def watch_study(
        self, study_id: str, after_revision: int = 0, watcher: Watcher | None = None
    ) -> Iterator[StudyEvent]:
        """The study with the trials changed after `after_revision`, then each change; ends when the study has ended."""
        study_id_of(study_id)
        if after_revision < 0:
            raise InvalidArgumentError.of("after_revision", after_revision, "expected 0 or a revision")
        watcher = watcher or Watcher()
        self._changes.add(study_id, watcher.event)
        try:
            yield from self._events(study_id, after_revision, watcher)
        finally:
            self._changes.remove(study_id, watcher.event)

    def _events(self, study_id: str, revision: int, watcher: Watcher) -> Iterator[StudyEvent]:
        shown = -1
        while not self._stopping():
            watcher.event.clear()
            # Looked at behind the clearing, which may have undone the ringing of one who left.
            if watcher.gone:
                return
            study = self._storage.get_study(study_id)
            if study.revision > shown:
                # Read after the study: what changed between the two reads comes now, and its study in the next round.
                trials = self._storage.changed_trials(study_id, revision, _PAGE)
                whole = len(trials) < _PAGE
                if trials:
                    revision = trials[-1].revision
                if whole:
                    shown = study.revision
                    revision = max(revision, shown)
                yield StudyEvent(summary(study), trials, revision)
                if not whole:
                    continue
            if study.state.finished:
                return
            watcher.event.wait(_LOOK_S)
            # Let a burst of changes become one event.
            time.sleep(_LEAST_INTERVAL_S)
