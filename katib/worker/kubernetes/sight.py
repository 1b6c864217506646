"""Which namespaces are followed, and whether those where a study's runs may be are in sight.

The options name those where runs are begun now. Trials that were begun before the options changed end where they are: what was
stored of their study (`Worker.places`) says where, and such a namespace is followed as long as this process lives.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from katib.domain.errors import UnavailableError
from katib.worker.kubernetes.finding import Finder
from katib.worker.kubernetes.reflector import Reflector
from katib.worker.kubernetes.runs import Runs

# A worker that has just been started knows its Pods within this time, or its API server is away.
_SYNC_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Why not all namespaces where a study may be were in sight at the last look, and the runs that were named then."""

    why: str
    named: frozenset[str] = frozenset()


class Sight:
    def __init__(self, follow: Callable[[str], Reflector], finder: Finder, runs: Runs) -> None:
        """`follow`: makes the copy of a namespace."""
        self._follow: Final = follow
        self._finder: Final = finder
        self._runs: Final = runs
        self._lock: Final = threading.Lock()
        self.reflectors: Sequence[Reflector] = [follow(namespace) for namespace in finder.watched()]
        self._unseen: Final[dict[str, _Unseen]] = {}
        self._stale: frozenset[str] = frozenset()
        self._closed = False

    def start(self) -> None:
        for reflector in self.reflectors:
            reflector.start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        for reflector in self.reflectors:
            reflector.stop()

    def join(self) -> None:
        for reflector in self.reflectors:
            reflector.join(5.0)

    def look_in(self, study_id: str, places: Sequence[str]) -> None:
        """From now on the study may be in these namespaces, and nowhere else; none: it is where its Pods are seen."""
        self._finder.place(study_id, places)
        for namespace in self._finder.placed(study_id):
            if self._of(namespace) is None:
                self._watch(namespace)

    def places(self, study_id: str, current: str) -> Sequence[str]:
        """Where the study may be when its next run is begun in `current`. Others count as long as there is a Pod of it, or
        nobody can see whether there is."""
        there = [run.namespace for run in self._runs.of_study(study_id) if run.uid and not run.gone]
        before = [name for name in self._finder.placed(study_id) if name in there or not self._is_seen(name)]
        return tuple(dict.fromkeys((current, *before, *there)))

    def require(self, study_id: str) -> None:
        """Waits for the copies of all namespaces where the study may be, but for those of which the API server says that there
        is nothing to see: unless it begins its runs there, such a namespace does not hold it up."""
        deadline = time.monotonic() + _SYNC_S
        where = self._finder.where(study_id)
        unseen = ""
        for reflector in self.reflectors:
            rest = max(deadline - time.monotonic(), 0.0)
            if reflector.namespace and (reflector.namespace not in where or self._is_left(study_id, reflector)):
                # It has moved from there, maybe, and some of its Pods are there still.
                reflector.require_once(rest)
                continue
            try:
                reflector.require(rest)
            except UnavailableError as error:
                if not reflector.refused or reflector.namespace == where[0]:
                    raise
                unseen = error.message
        if unseen and len(self._finder.where(study_id)) > 1:
            self._unseen[study_id] = _Unseen(unseen)
        else:
            self._unseen.pop(study_id, None)

    def named(self, study_id: str, runs: Iterable[str]) -> None:
        """Its runs, as whoever looks after it is told of them now."""
        unseen = self._unseen.get(study_id)
        if unseen is not None:
            self._unseen[study_id] = _Unseen(unseen.why, frozenset(runs))

    def hidden(self, study_id: str) -> Mapping[str, str]:
        """The namespaces where it may be of which nothing is heard any more, each with the reason."""
        if study_id not in self._unseen:
            return {}
        return {reflector.namespace: why for reflector in self.reflectors if (why := reflector.hidden)}

    def check(self, study_id: str, name: str) -> None:
        """Raises UnavailableError where a run may be wanted to end only because it was not in sight, and run well."""
        unseen = self._unseen.get(study_id)
        if unseen is not None and name not in unseen.named:
            raise UnavailableError(unseen.why)

    def check_new(self, study_id: str) -> None:
        """Raises UnavailableError where a run that is to be created may be there, out of sight."""
        unseen = self._unseen.get(study_id)
        if unseen is not None and self._finder.placed(study_id):
            raise UnavailableError(unseen.why)

    def why(self, study_id: str) -> str:
        """Why not all namespaces where it may be are in sight; empty: they are."""
        unseen = self._unseen.get(study_id)
        return unseen.why if unseen is not None else ""

    def forget(self, study_id: str) -> None:
        self._unseen.pop(study_id, None)
        self._finder.place(study_id, ())

    def changed(self) -> bool:
        """Whether one was lost sight of since this was asked last, or has come into sight again."""
        stale = frozenset(reflector.namespace for reflector in self.reflectors if reflector.stale)
        before, self._stale = self._stale, stale
        return stale != before

    def _watch(self, namespace: str) -> None:
        with self._lock:
            if self._closed or self._of(namespace) is not None:
                return
            reflector = self._follow(namespace)
            self.reflectors = [*self.reflectors, reflector]
            reflector.start()

    def _of(self, namespace: str) -> Reflector | None:
        return next((r for r in self.reflectors if r.namespace in ("", namespace)), None)

    def _is_seen(self, namespace: str) -> bool:
        reflector = self._of(namespace)
        return reflector is not None and reflector.in_contact

    def _is_left(self, study_id: str, reflector: Reflector) -> bool:
        """Whether nothing of a study goes on in a namespace where none of its runs is begun any more, as far as that was seen
        there once."""
        placed = self._finder.placed(study_id)
        return (
            reflector.namespace in placed[1:]
            and reflector.synced
            and all(run.ended or run.namespace != reflector.namespace for run in self._runs.of_study(study_id))
        )
