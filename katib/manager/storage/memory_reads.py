"""What is asked of the storage in memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from katib.domain.errors import NotFoundError
from katib.domain.metrics import Observation
from katib.domain.permissions import grants_of, owner_of
from katib.domain.study import Study
from katib.domain.times import to_micros
from katib.domain.trial import UNFINISHED, Trial, TrialAttempt
from katib.domain.trial_columns import TrialColumns, columns_of
from katib.domain.views import Page
from katib.manager.ports import StudyFilter, TrialFilter, Usage
from katib.manager.storage.memory_managers import MemoryManagers
from katib.manager.storage.tokens import (
    OBSERVATION_KEY,
    STUDY_KEY,
    TRIAL_KEY,
    TRIAL_OF_STUDY_KEY,
    make_token,
    observation_list,
    read_token,
    study_list,
    trial_list,
)

T = TypeVar("T")


class MemoryReads(MemoryManagers):
    """Studies and trials are immutable, so what is given out is a snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self._trials: dict[str, Trial] = {}
        # By study, in the order of their numbers.
        self._trial_ids: dict[str, list[str]] = {}
        # By trial, of all attempts, in the order in which they were taken in.
        self._observations: dict[str, list[Observation]] = {}
        self._attempts: dict[str, list[TrialAttempt]] = {}

    # Studies

    def get_study(self, study_id: str) -> Study:
        with self._lock:
            self._check_open()
            study = self._studies.get(study_id)
        if study is None:
            raise NotFoundError(f"there is no study {study_id}")
        return study

    def usage(self) -> Mapping[str, Usage]:
        with self._lock:
            self._check_open()
            all_ = list(self._studies.values())
        studies = Counter(owner_of(study.spec.owner) for study in all_)
        trials: Counter[str] = Counter()
        observations: Counter[str] = Counter()
        for study in all_:
            trials[owner_of(study.spec.owner)] += study.suggested
            observations[owner_of(study.spec.owner)] += study.observed
        return {owner: Usage(count, trials[owner], observations[owner]) for owner, count in studies.items()}

    def find_request(self, request_id: str) -> Study | None:
        with self._lock:
            self._check_open()
            return next((s for s in self._studies.values() if request_id and s.request_id == request_id), None)

    def list_studies(self, filter_: StudyFilter, page_size: int, page_token: str) -> Page[Study]:
        list_ = study_list(filter_)
        after = tuple(read_token(list_, page_token, STUDY_KEY)) if page_token else None
        with self._lock:
            self._check_open()
            found = [
                study
                for study in self._studies.values()
                if (not filter_.name or study.spec.name == filter_.name)
                and study.id.startswith(filter_.id_prefix)
                and (not filter_.states or study.state in filter_.states)
                and _visible(study, filter_.visible_to)
            ]
        found.sort(key=_study_key, reverse=True)
        return _page(list_, [s for s in found if after is None or _study_key(s) < after], page_size, _study_key)

    def all_studies(self) -> Sequence[Study]:
        with self._lock:
            return list(self._studies.values())

    def algorithms_in_use(self) -> tuple[frozenset[str], frozenset[str]]:
        with self._lock:
            self._check_open()
            specs = [study.spec for study in self._studies.values()]
        return frozenset(s.algorithm for s in specs) - {""}, frozenset(s.rule for s in specs) - {""}

    # Trials

    def get_trial(self, trial_id: str) -> Trial:
        with self._lock:
            self._check_open()
            trial = self._trials.get(trial_id)
        if trial is None:
            raise NotFoundError(f"there is no trial {trial_id}")
        return trial

    def earlier_attempts(self, trial_id: str) -> Sequence[TrialAttempt]:
        with self._lock:
            self.get_trial(trial_id)
            return list(self._attempts.get(trial_id, ()))

    def list_trials(self, filter_: TrialFilter, page_size: int, page_token: str) -> Page[Trial]:
        list_ = trial_list(filter_)
        kinds = TRIAL_OF_STUDY_KEY if filter_.study_id else TRIAL_KEY
        after = tuple(read_token(list_, page_token, kinds)) if page_token else None
        trials = self._of_study(filter_.study_id) if filter_.study_id else self._everyones(filter_.visible_to)
        found = [
            trial
            for trial in trials
            if trial.id.startswith(filter_.id_prefix)
            and (not filter_.states or trial.state in filter_.states)
            and filter_.number in (0, trial.number)
        ]
        key = _trial_number if filter_.study_id else _trial_age
        newest_first = filter_.newest_first or not filter_.study_id
        found.sort(key=key, reverse=newest_first)
        if after is not None:
            found = [trial for trial in found if (key(trial) < after if newest_first else key(trial) > after)]
        return _page(list_, found, page_size, key)

    def unfinished_trials(self, study_id: str) -> Sequence[Trial]:
        return [trial for trial in self._of_study(study_id) if trial.state in UNFINISHED]

    def finished_trials(self, study_id: str) -> Sequence[Trial]:
        return [trial for trial in self._of_study(study_id) if trial.state.finished]

    def has_trials_for(self, study_id: str, client_id: str) -> bool:
        now = datetime.now(UTC)
        with self._lock:
            self._check_open()
            return any(
                t.client_id == client_id or (t.lease_until is not None and t.lease_until <= now)
                for t in (self._trials[i] for i in self._trial_ids.get(study_id, ()))
                if t.state in UNFINISHED
            )

    def has_leases(self, study_id: str) -> bool:
        with self._lock:
            self._check_open()
            return any(self._trials[i].lease_until is not None for i in self._trial_ids.get(study_id, ()))

    def changed_trials(self, study_id: str, after_revision: int, limit: int) -> Sequence[Trial]:
        found = [trial for trial in self._of_study(study_id) if trial.revision > after_revision]
        found.sort(key=lambda trial: (trial.revision, trial.number))
        end = min(limit, len(found))
        while 0 < end < len(found) and found[end].revision == found[end - 1].revision:
            end += 1
        return found[:end]

    def changed_columns(self, study_id: str, after_revision: int, limit: int) -> tuple[TrialColumns, int]:
        found = self.changed_trials(study_id, after_revision, limit)
        return columns_of(found), found[-1].revision if found else after_revision

    # Observations

    def list_observations(
        self, trial_id: str, attempt: int, names: Sequence[str], page_size: int, page_token: str
    ) -> Page[Observation]:
        list_ = observation_list(trial_id, attempt, names)
        start = 0
        with self._lock:
            attempt = attempt or self.get_trial(trial_id).attempt
            if page_token:
                attempt, start = read_token(list_, page_token, OBSERVATION_KEY)
            self.get_trial(trial_id)
            indexed = [
                (i, o)
                for i, o in enumerate(self._observations.get(trial_id, ()), start=1)
                if i > start and o.attempt == attempt and (not names or o.name in names)
            ]
        page = _page(list_, indexed, page_size, lambda item: (attempt, item[0]))
        return Page([observation for _, observation in page.items], page.next_token)

    def observations_after(
        self, trial_id: str, attempt: int, names: Sequence[str], after: int, limit: int
    ) -> tuple[Sequence[Observation], int]:
        with self._lock:
            self._check_open()
            found = [
                (o, i)
                for i, o in enumerate(self._observations.get(trial_id, ()), start=1)
                if i > after and o.attempt == attempt and o.name in names
            ][:limit]
        return [o for o, _ in found], found[-1][1] if found else after

    def latest_observations(self, trial_id: str, limit: int) -> tuple[Sequence[Observation], bool]:
        with self._lock:
            found = self._current(self.get_trial(trial_id))
        return found[max(len(found) - limit, 0) :], len(found) > limit

    def curves(self, trials: Sequence[Trial], metrics: Sequence[str]) -> Iterator[tuple[str, Sequence[Observation]]]:
        for trial in {trial.id: trial for trial in trials}.values():
            with self._lock:
                self._check_open()
                found = [o for o in self._current(trial) if o.name in metrics]
            if found:
                yield trial.id, found

    def values_taken(self, trials: Sequence[Trial]) -> Mapping[str, int]:
        with self._lock:
            found = {trial.id: len(self._observations.get(trial.id, ())) for trial in trials}
        return {trial_id: taken for trial_id, taken in found.items() if taken}

    def last_values(self, trials: Sequence[Trial]) -> Mapping[str, Mapping[str, float]]:
        with self._lock:
            found = {
                trial.id: {o.name: o.value for o in self._observations.get(trial.id, ()) if o.attempt == trial.attempt}
                for trial in trials
            }
        return {trial_id: values for trial_id, values in found.items() if values}

    # What the methods share

    def _everyones(self, visible_to: frozenset[str] | None) -> Sequence[Trial]:
        with self._lock:
            self._check_open()
            return [t for t in self._trials.values() if _visible(self._studies[t.study_id], visible_to)]

    def _of_study(self, study_id: str) -> Sequence[Trial]:
        with self._lock:
            self.get_study(study_id)
            return [self._trials[trial_id] for trial_id in self._trial_ids[study_id]]

    def _current(self, trial: Trial) -> list[Observation]:
        return [o for o in self._observations.get(trial.id, ()) if o.attempt == trial.attempt]


def _page(
    list_: Sequence[object], items: Sequence[T], page_size: int, key: Callable[[T], tuple[int | str, ...]]
) -> Page[T]:
    page = items[:page_size]
    return Page(page, make_token(list_, key(page[-1])) if len(items) > page_size else "")


def _visible(study: Study, visible_to: frozenset[str] | None) -> bool:
    if visible_to is None:
        return True
    return not visible_to.isdisjoint(grants_of(study.spec.owner, study.spec.access_permissions))


def _study_key(study: Study) -> tuple[int | str, ...]:
    return to_micros(study.created_at), study.id


def _trial_number(trial: Trial) -> tuple[int | str, ...]:
    return (trial.number,)


def _trial_age(trial: Trial) -> tuple[int | str, ...]:
    return to_micros(trial.created_at), trial.number, trial.id
