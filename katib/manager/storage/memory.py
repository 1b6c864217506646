"""A storage that lasts as long as its process: for tests and for trying things out."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from katib.domain.errors import AlreadyExistsError
from katib.domain.metrics import Observation
from katib.domain.permissions import owner_of
from katib.domain.study import Study
from katib.domain.times import to_micros
from katib.domain.trial import NewTrial, Trial
from katib.manager.changes import Applied, Giving, StudyChanges
from katib.manager.ports import Usage
from katib.manager.storage.decisions import (
    GIVES_NOTHING,
    check_changes,
    check_driver,
    check_room,
    check_studies,
    decide_changes,
    decide_report,
    decide_study,
    decide_trials,
    trials_named,
)
from katib.manager.storage.leases import check_own, decide_given, decide_hand_out
from katib.manager.storage.memory_reads import MemoryReads
from katib.manager.storage.work import Decision, observation_key


class MemoryStorage(MemoryReads):
    """`manager.ports.Storage` in dictionaries under one lock. The lock is held for looking up and for putting in, never for a
    listener."""

    # Studies

    def create_study(self, study: Study, most: int = 0, most_of_owner: int = 0) -> Study:
        with self._lock:
            self._check_open()
            there = self.find_request(study.request_id)
            if there is not None:
                return there
            if study.id in self._studies:
                raise AlreadyExistsError(f"there is a study {study.id} already")
            usage = self.usage()
            of_owner = usage.get(owner_of(study.spec.owner), Usage(0, 0)).studies
            check_studies(study, len(self._studies), of_owner, most, most_of_owner)
            self._studies[study.id] = study
            self._trial_ids[study.id] = []
        self._tell(study.id)
        return study

    def update_study(self, study_id: str, change: Callable[[Study], Study]) -> Study:
        with self._lock:
            study = self.get_study(study_id)
            changed = decide_study(study, change(study))
            if changed is study:
                return study
            self._studies[study_id] = changed
        self._tell(study_id)
        return changed

    def delete_study(self, study_id: str) -> None:
        with self._lock:
            self._check_open()
            if self._studies.pop(study_id, None) is None:
                return
            self._deleted.add(study_id)
            for trial_id in self._trial_ids.pop(study_id):
                del self._trials[trial_id]
                self._observations.pop(trial_id, None)
                self._attempts.pop(trial_id, None)
        self._tell(study_id)

    def was_deleted(self, study_id: str) -> bool:
        with self._lock:
            return study_id in self._deleted

    # Trials and observations

    def add_trials(
        self,
        study_id: str,
        expected_suggested: int,
        trials: Sequence[NewTrial],
        at: datetime,
        running: bool = False,
        manager_id: str | None = None,
        own: Mapping[str, Collection[str]] | None = None,
    ) -> Sequence[Trial]:
        with self._lock:
            check_own(own or {}, self.unfinished_trials(study_id))
            study, added = decide_trials(
                self.get_study(study_id),
                expected_suggested,
                trials,
                at,
                manager_id,
                running,
                datetime.now(UTC),
            )
            if not added:
                return added
            self._insert(study, added)
        self._tell(study_id)
        return added

    def hand_out(
        self, study_id: str, client_id: str, count: int, lease: timedelta, at: datetime, again: bool = True
    ) -> Sequence[Trial]:
        with self._lock:
            study = self.get_study(study_id)
            unfinished = self.unfinished_trials(study_id)
            mine = [t for t in unfinished if t.client_id == client_id]
            lapsed = sorted((t for t in unfinished if t.lease_until is not None), key=_lease_end)
            now = datetime.now(UTC)
            decision, given = decide_hand_out(study, mine, lapsed, client_id, count, lease, at, now, again)
            self._store(decision)
        if decision.study is not study:
            self._tell(study_id)
        return given

    def _insert(self, study: Study, added: Sequence[Trial]) -> None:
        ids = [trial.id for trial in added]
        if len(set(ids)) < len(ids) or any(trial_id in self._trials for trial_id in ids):
            raise AlreadyExistsError(f"one of the trials {', '.join(ids)} is there already")
        self._studies[study.id] = study
        self._trials.update(zip(ids, added, strict=True))
        self._trial_ids[study.id] += ids

    def give_trials(self, give: Giving) -> Applied:
        now = datetime.now(UTC)
        with self._lock:
            study = self.get_study(give.study_id)
            unfinished = self.unfinished_trials(give.study_id)
            mine = [t for t in unfinished if t.client_id == give.client_id]
            lapsed = sorted((t for t in unfinished if t.lease_until is not None), key=_lease_end)
            decision, own, changed, added = decide_given(study, mine, lapsed, give, now)
            if added:
                self._insert(changed, added)
            self._store(dataclasses.replace(decision, study=changed))
        if changed is not study:
            self._tell(give.study_id)
        return Applied(changed, {}, frozenset(), (*own, *added))

    def apply(self, study_id: str, changes: StudyChanges, manager_id: str | None = None) -> Applied:
        check_changes(changes)
        with self._lock:
            study = self.get_study(study_id)
            check_driver(study, manager_id)
            trials = {
                i: t for i in trials_named(changes) if (t := self._trials.get(i)) is not None and t.study_id == study_id
            }
            seen = {intake.trial_id: self._seen(trials.get(intake.trial_id)) for intake in changes.intakes}
            decision = decide_changes(study, trials, changes, seen)
            self._store(decision)
        if decision.study is not study:
            self._tell(study_id)
        return Applied(decision.study, decision.trials, decision.refused)

    def apply_to(
        self,
        trial_id: str,
        decide: Callable[[Study, Trial], StudyChanges | None],
        most: int = 0,
        allow: Callable[[Study, int], None] | None = None,
        give: Giving | None = None,
    ) -> Applied:
        with self._lock:
            trial = self.get_trial(trial_id)
            study = self._studies[trial.study_id]
            taken, attempts = len(self._observations.get(trial_id, ())), len(self._attempts.get(trial_id, ()))
            applied = self._apply_to(trial_id, decide, most, allow)
            if give is None:
                return applied
            try:
                then = self.give_trials(dataclasses.replace(give, study_id=applied.study.id))
            except GIVES_NOTHING:
                return applied
            except BaseException:
                # As a transaction that is rolled back.
                self._studies[study.id], self._trials[trial_id] = study, trial
                del self._observations.get(trial_id, [])[taken:], self._attempts.get(trial_id, [])[attempts:]
                raise
            return dataclasses.replace(applied, study=then.study, given=then.given)

    def _apply_to(
        self,
        trial_id: str,
        decide: Callable[[Study, Trial], StudyChanges | None],
        most: int,
        allow: Callable[[Study, int], None] | None,
    ) -> Applied:
        with self._lock:
            trial = self.get_trial(trial_id)
            study = self._studies[trial.study_id]
            changes = decide(study, trial)
            if changes is None:
                return Applied(study, {}, frozenset())
            check_changes(changes)
            decision = decide_changes(study, {trial_id: trial}, changes, {trial_id: self._seen(trial)})
            taken = len(self._observations.get(trial_id, ()))
            check_room(study, trial_id, taken, len(decision.observations.get(trial_id, ())), most, allow)
            self._store(decision)
        if decision.study is not study:
            self._tell(study.id)
        return Applied(decision.study, decision.trials, decision.refused)

    def report(
        self,
        trial_id: str,
        attempt: int,
        observations: Sequence[Observation],
        check: Callable[[Study, Trial], None] | None = None,
        most: int = 0,
        allow: Callable[[Study, int], None] | None = None,
    ) -> Trial:
        with self._lock:
            trial = self.get_trial(trial_id)
            study = self._studies[trial.study_id]
            if check is not None:
                check(study, trial)
            seen, now = self._seen(trial), datetime.now(UTC)
            taken = len(self._observations.get(trial_id, ()))
            decision = decide_report(study, trial, attempt, observations, seen, now, taken, most, allow)
            self._store(decision)
        if decision.study is not study:
            self._tell(study.id)
        return decision.trials.get(trial_id, trial)

    # The rest

    def ping(self) -> None:
        self._check_open()

    def close(self) -> None:
        self._closed = True

    # What the methods share

    def _seen(self, trial: Trial | None) -> Iterable[tuple[str, int, int]]:
        return () if trial is None else map(observation_key, self._current(trial))

    def _store(self, decision: Decision) -> None:
        self._studies[decision.study.id] = decision.study
        self._trials.update(decision.trials)
        for trial_id, observations in decision.observations.items():
            self._observations.setdefault(trial_id, []).extend(observations)
        for trial_id, attempt in decision.attempts.items():
            self._attempts.setdefault(trial_id, []).append(attempt)


def _lease_end(trial: Trial) -> int:
    return 0 if trial.lease_until is None else to_micros(trial.lease_until)
