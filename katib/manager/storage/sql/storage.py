"""`manager.ports.Storage` over SQL."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import literal, select

from katib.domain.errors import AlreadyExistsError
from katib.domain.metrics import Observation
from katib.domain.study import Study
from katib.domain.trial import NewTrial, Trial, TrialAttempt
from katib.domain.trial_columns import TrialColumns
from katib.domain.views import Page
from katib.manager.changes import Applied, Giving, StudyChanges
from katib.manager.ports import ManagerRecord, StudyFilter, TrialFilter, Usage
from katib.manager.storage.decisions import check_changes
from katib.manager.storage.sql import attempts, curves, locking, managers, observations, studies, trials
from katib.manager.storage.sql import changes as changes_
from katib.manager.storage.sql import usage as usage_
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.deletion import Deletions
from katib.manager.storage.sql.held import About
from katib.manager.storage.sql.history import History
from katib.manager.storage.sql.statement import Statement
from katib.manager.storage.sql.trial_columns import changed_columns

_PING: Final = Statement(select(literal(1)))


class SqlStorage:
    """Each method is a function of its module, run as a read or as a write of the database."""

    def __init__(self, database: Database) -> None:
        """Closes the database when it is closed."""
        self.database: Final = database
        self.deletions: Final = Deletions(database)
        self._history = History(database)
        self._counting = usage_.Counting()

    # Studies

    def create_study(self, study: Study, most: int = 0, most_of_owner: int = 0) -> Study:
        if most or most_of_owner:
            self._counting.prepare(self.database)
        try:
            return self.database.write(lambda session: studies.create_study(session, study, most, most_of_owner))
        except AlreadyExistsError:
            # Another process may have stored the same request after this one had looked for it.
            there = self.find_request(study.request_id)
            if there is None:
                raise
            return there

    def usage(self) -> Mapping[str, Usage]:
        return self.database.read(usage_.usage)

    def get_study(self, study_id: str) -> Study:
        return self.database.read(lambda session: studies.get_study(session, study_id))

    def find_request(self, request_id: str) -> Study | None:
        return self.database.read(lambda session: studies.find_request(session, request_id))

    def list_studies(self, filter_: StudyFilter, page_size: int, page_token: str) -> Page[Study]:
        return self.database.read(lambda session: studies.list_studies(session, filter_, page_size, page_token))

    def update_study(self, study_id: str, change: Callable[[Study], Study]) -> Study:
        return self.database.write_study(
            lambda session: studies.update_study(session, study_id, change), study_id=study_id
        )

    def delete_study(self, study_id: str) -> None:
        self.deletions.delete(study_id)
        self._history.forget(study_id)

    def was_deleted(self, study_id: str) -> bool:
        return self.deletions.was(study_id)

    # Trials

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
        return self.database.write_study(
            lambda session: changes_.add_trials(
                session, study_id, expected_suggested, trials, at, manager_id, running, own or {}
            ),
            study_id=study_id,
        )

    def hand_out(
        self, study_id: str, client_id: str, count: int, lease: timedelta, at: datetime, again: bool = True
    ) -> Sequence[Trial]:
        return self.database.write_study(
            lambda session: changes_.hand_out(session, study_id, client_id, count, lease, at, again),
            About(study_id=study_id, client_id=client_id),
        )

    def give_trials(self, give: Giving) -> Applied:
        return self.database.write_study(
            lambda session: changes_.give_trials(session, give), _about("", give), give.study_id
        )

    def apply(self, study_id: str, changes: StudyChanges, manager_id: str | None = None) -> Applied:
        check_changes(changes)
        return self.database.write_study(
            lambda session: changes_.apply(session, study_id, changes, manager_id), study_id=study_id
        )

    def apply_to(
        self,
        trial_id: str,
        decide: Callable[[Study, Trial], StudyChanges | None],
        most: int = 0,
        allow: Callable[[Study, int], None] | None = None,
        give: Giving | None = None,
    ) -> Applied:
        return self.database.write_study(
            lambda session: changes_.apply_to(session, trial_id, decide, most, allow, give),
            _about(trial_id, give),
        )

    def report(
        self,
        trial_id: str,
        attempt: int,
        observations: Sequence[Observation],
        check: Callable[[Study, Trial], None] | None = None,
        most: int = 0,
        allow: Callable[[Study, int], None] | None = None,
    ) -> Trial:
        return self.database.write_study(
            lambda session: changes_.report(session, trial_id, attempt, observations, check, most, allow),
            About(trial_id=trial_id),
        )

    def get_trial(self, trial_id: str) -> Trial:
        return self.database.read(lambda session: trials.get_trial(session, trial_id))

    def earlier_attempts(self, trial_id: str) -> Sequence[TrialAttempt]:
        return self.database.read(lambda session: attempts.earlier_attempts(session, trial_id))

    def list_trials(self, filter_: TrialFilter, page_size: int, page_token: str) -> Page[Trial]:
        return self.database.read(lambda session: trials.list_trials(session, filter_, page_size, page_token))

    def unfinished_trials(self, study_id: str) -> Sequence[Trial]:
        return self.database.read(lambda session: trials.unfinished_trials(session, study_id))

    def finished_trials(self, study_id: str) -> Sequence[Trial]:
        return self._history.finished_trials(study_id)

    def has_trials_for(self, study_id: str, client_id: str) -> bool:
        found = self.database.read(lambda session: trials.has_trials_for(session, study_id, client_id))
        if not found and self.database.clock.is_due(study_id):
            # Nobody would come to its leases otherwise, where nothing is new any more.
            self.database.write_study(lambda session: locking.mend_study(session, study_id), study_id=study_id)
        return found

    def has_leases(self, study_id: str) -> bool:
        return self.database.read(lambda session: trials.has_leases(session, study_id))

    def changed_trials(self, study_id: str, after_revision: int, limit: int) -> Sequence[Trial]:
        return self.database.read(lambda session: trials.changed_trials(session, study_id, after_revision, limit))

    def changed_columns(self, study_id: str, after_revision: int, limit: int) -> tuple[TrialColumns, int]:
        return self.database.read(lambda session: changed_columns(session, study_id, after_revision, limit))

    # Observations

    def list_observations(
        self, trial_id: str, attempt: int, names: Sequence[str], page_size: int, page_token: str
    ) -> Page[Observation]:
        return self.database.read(
            lambda session: observations.list_observations(session, trial_id, attempt, names, page_size, page_token)
        )

    def observations_after(
        self, trial_id: str, attempt: int, names: Sequence[str], after: int, limit: int
    ) -> tuple[Sequence[Observation], int]:
        return self.database.read(
            lambda session: observations.observations_after(session, trial_id, attempt, names, after, limit)
        )

    def latest_observations(self, trial_id: str, limit: int) -> tuple[Sequence[Observation], bool]:
        return self.database.read(lambda session: observations.latest_observations(session, trial_id, limit))

    def curves(self, trials: Sequence[Trial], metrics: Sequence[str]) -> Iterator[tuple[str, Sequence[Observation]]]:
        return curves.curves(self.database, trials, metrics)

    def values_taken(self, trials: Sequence[Trial]) -> Mapping[str, int]:
        return curves.values_taken(self.database, trials)

    def last_values(self, trials: Sequence[Trial]) -> Mapping[str, Mapping[str, float]]:
        return self.database.read(lambda session: observations.last_values(session, trials))

    # Managers

    def heartbeat(self, manager: ManagerRecord) -> None:
        self.database.write_apart(lambda session: managers.heartbeat(session, manager))

    def managers(self) -> Sequence[ManagerRecord]:
        return self.database.read(managers.list_managers)

    def claim_studies(self, manager_id: str, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
        return self.database.write_apart(
            lambda session: managers.claim_studies(session, manager_id, placement, dead, limit)
        )

    def drivers(self, placement: str) -> Mapping[str, int]:
        return self.database.read(lambda session: managers.drivers(session, placement))

    def stranded_studies(self, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
        return self.database.read(lambda session: managers.stranded_studies(session, placement, dead, limit))

    def driven_studies(self, manager_id: str) -> Mapping[str, int]:
        return self.database.read(lambda session: managers.driven_studies(session, manager_id))

    def release(self, manager_id: str) -> None:
        self.database.write_apart(lambda session: managers.release(session, manager_id))

    # The rest

    def algorithms_in_use(self) -> tuple[frozenset[str], frozenset[str]]:
        return self.database.read(studies.algorithms_in_use)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        self.database.subscribe(listener)

    def ping(self) -> None:
        self.database.read(lambda session: session.row(_PING))

    def close(self) -> None:
        self.deletions.close()
        self.database.close()


def _about(trial_id: str, give: Giving | None) -> About:
    if give is None or give.lease is None:
        return About(trial_id)
    return About(trial_id, give.study_id, give.client_id)
