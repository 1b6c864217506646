"""What the storage in memory knows of managers, and which studies each of them drives."""

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from katib.domain.errors import UnavailableError
from katib.domain.study import Study
from katib.manager.ports import ManagerRecord
from katib.manager.storage.decisions import needs_driver


class MemoryManagers:
    """The studies, which it shares with the rest of the storage, and the lock over all of it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._closed = False
        self._studies: dict[str, Study] = {}
        self._deleted: set[str] = set()
        self._managers: dict[str, tuple[ManagerRecord, float]] = {}
        self._listeners: list[Callable[[str], None]] = []

    def heartbeat(self, manager: ManagerRecord) -> None:
        with self._lock:
            self._check_open()
            self._managers[manager.id] = (manager, time.monotonic())

    def managers(self) -> Sequence[ManagerRecord]:
        with self._lock:
            self._check_open()
            now = time.monotonic()
            return [
                dataclasses.replace(manager, age=timedelta(seconds=now - seen))
                for _, (manager, seen) in sorted(self._managers.items())
            ]

    def claim_studies(self, manager_id: str, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
        with self._lock:
            self._check_open()
            living = self._managers.keys() - set(dead)
            claimed = [
                study
                for study in sorted(self._studies.values(), key=lambda study: study.id)
                if needs_driver(study)
                and study.manager != manager_id
                and study.manager not in living
                and study.placement in ("", placement)
            ][:limit]
            self._set_manager(claimed, manager_id)
        self._tell(*(study.id for study in claimed))
        return [study.id for study in claimed]

    def drivers(self, placement: str) -> Mapping[str, int]:
        with self._lock:
            self._check_open()
            return Counter(
                s.manager for s in self._studies.values() if needs_driver(s) and s.placement in ("", placement)
            )

    def stranded_studies(self, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
        with self._lock:
            self._check_open()
            living = self._managers.keys() - set(dead)
            return [
                s.id
                for s in sorted(self._studies.values(), key=lambda s: s.id)
                if needs_driver(s) and s.placement not in ("", placement) and s.manager not in living
            ][:limit]

    def driven_studies(self, manager_id: str) -> Mapping[str, int]:
        with self._lock:
            self._check_open()
            return {s.id: s.revision for s in self._studies.values() if s.manager == manager_id and needs_driver(s)}

    def release(self, manager_id: str) -> None:
        with self._lock:
            self._check_open()
            self._managers.pop(manager_id, None)
            released = [s for s in self._studies.values() if s.manager == manager_id and needs_driver(s)]
            self._set_manager(released, "")
        self._tell(*(study.id for study in released))

    def subscribe(self, listener: Callable[[str], None]) -> None:
        with self._lock:
            self._listeners.append(listener)

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the storage is closed")

    def _tell(self, *study_ids: str) -> None:
        for listener in tuple(self._listeners):
            for study_id in study_ids:
                listener(study_id)

    def _set_manager(self, studies: Iterable[Study], manager_id: str) -> None:
        for study in studies:
            self._studies[study.id] = dataclasses.replace(study, manager=manager_id, revision=study.revision + 1)
