"""A study's finished trials for a question to its suggestion service."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from katib.domain.metrics import Observation
from katib.domain.study import Study
from katib.domain.trial import Trial
from katib.manager.ports import Storage
from katib.manager.service_ports import History

_PAGE: Final = 1000


class StoredHistory:
    """`service_ports.TrialHistory` in storage, as of `study.revision`: what has changed since is left out, so that it fits the
    study's counters."""

    def __init__(self, storage: Storage, study: Study, needs: History) -> None:
        self._storage = storage
        self._study = study
        self._needs = needs

    def all(self) -> Sequence[Trial]:
        found = [t for t in self._storage.finished_trials(self._study.id) if t.revision <= self._study.revision]
        if len(found) == self._study.finished_trials:
            return found
        # Storage reads what it has read before only where it changes, and finished trials do not: but somebody has mended the
        # database by hand, or restored it from a copy.
        return sorted(self.since(0), key=lambda t: t.number)

    def since(self, revision: int) -> Iterator[Trial]:
        after = revision - 1
        while after < self._study.revision:
            page = self._storage.changed_trials(self._study.id, after, _PAGE)
            yield from (t for t in page if t.state.finished and t.revision <= self._study.revision)
            if len(page) < _PAGE:
                break
            after = page[-1].revision

    def curves(self, trials: Sequence[Trial]) -> Iterable[tuple[str, Sequence[Observation]]]:
        if self._needs is not History.CURVES:
            return ()
        return self._storage.curves(trials, (self._study.spec.objective_name,))

    def values(self, trials: Sequence[Trial]) -> Mapping[str, int]:
        return self._storage.values_taken(trials) if self._needs is History.CURVES else {}
