"""What the use cases and the controller need of a storage. Implementations stand in `katib.manager.storage`.

What they need of suggestion and early-stopping services is `katib.manager.service_ports`, of a worker `katib.worker.base`, of a
model store `katib.manager.models`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from katib.domain.metrics import Observation
from katib.domain.study import Study, StudyState
from katib.domain.trial import NewTrial, Trial, TrialAttempt, TrialState
from katib.domain.trial_columns import TrialColumns
from katib.domain.views import Page
from katib.manager.changes import Applied, Giving, StudyChanges


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """`visible_to`: only studies that grant something to one of these (see `domain.permissions`); None: all."""

    name: str = ""
    id_prefix: str = ""
    states: frozenset[StudyState] = frozenset()
    visible_to: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """With a study: by number, upwards or (newest_first) downwards; with `number` that trial alone. Without: newest first by
    creation, and `visible_to` counts: as for StudyFilter."""

    study_id: str = ""
    id_prefix: str = ""
    states: frozenset[TrialState] = frozenset()
    newest_first: bool = False
    visible_to: frozenset[str] | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class ManagerRecord:
    """A manager's row. `process` identifies its process on its host (see `manager.identity`); `age` is the time since its
    last heartbeat by the database's clock."""

    id: str
    host: str
    process: str
    age: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Usage:
    """How many there are."""

    studies: int
    trials: int = 0
    observations: int = 0


class Storage(Protocol):
    """The only truth. Every method is one transaction, safe from any thread and process.

    What is returned is a snapshot that later writes do not change. Bad ids are NotFoundError, a database that cannot be
    reached is UnavailableError, a page token that was not given out by the same list is InvalidArgumentError on `page_token`.
    Writes to one study and its trials follow one another; each raises the study's `revision` by at least one, and every trial
    changed bears the revision of its change.
    """

    # Studies

    def create_study(self, study: Study, most: int = 0, most_of_owner: int = 0) -> Study:
        """Stores a new study. One with the same `request_id` (not empty) that is there already is returned instead.

        Raises ResourceExhaustedError where there are `most` studies already, or its owner has `most_of_owner`; 0: any number.
        """

    def usage(self) -> Mapping[str, Usage]:
        """By owner (`permissions.owner_of`), empty for nobody. Its cost grows with the studies, not with their trials."""

    def get_study(self, study_id: str) -> Study: ...

    def find_request(self, request_id: str) -> Study | None:
        """The study that was created with this request id."""

    def list_studies(self, filter_: StudyFilter, page_size: int, page_token: str) -> Page[Study]:
        """Newest first."""

    def update_study(self, study_id: str, change: Callable[[Study], Study]) -> Study:
        """Replaces spec, state, reason, message, intent and ended_at by those of `change(study)`, read and written in one
        transaction; other fields are kept, but that one to be deleted gives up its request id. `change` may be called
        more than once. The same study back: nothing is written.
        """

    def delete_study(self, study_id: str) -> None:
        """Removes a study with its trials and observations; gone already: no error."""

    def was_deleted(self, study_id: str) -> bool:
        """Whether there was one that was deleted, in the last weeks. One that was never there was not."""

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
        """Inserts trials numbered expected_suggested + 1 and on: PENDING, or `running` (attempt 1, started at `at`). One that
        names a client is that client's, with its lease from now on, by the database's clock.

        Raises AbortedError, and inserts none, when `suggested` is not `expected_suggested` any more, when the study is not
        RUNNING or has an intent, or when `manager_id` is given and does not drive the study; and when a client in `own` has
        trials that go on beside those with the ids that are given there: somebody else has given it some.
        """

    def hand_out(
        self, study_id: str, client_id: str, count: int, lease: timedelta, at: datetime, again: bool = True
    ) -> Sequence[Trial]:
        """At most `count` trials that are there already, each with this lease from now on: the client's own unfinished ones, by
        number, then others' whose lease is over. These begin another attempt, started at `at`, which is this client's; the one
        before is kept. Trials that are to end, and those of a study that is not RUNNING, are given to nobody. Those that have
        been handed on before come last, and only with `again`: they may do the client harm. After MAX_DISRUPTIONS times, or the
        study's retry_limit if that is more, one is handed on no further: it is ERROR.

        Own ones keep their revision: a lease that is renewed is no change that anybody waits for, unless it is another one.
        """

    def give_trials(self, give: Giving) -> Applied:
        """At most `count` trials for a client to run (`Applied.given`): those of `hand_out` (none without a lease), then new
        ones as of `add_trials`, `running`, and then those of `hand_out` that have been handed on before. All in one
        transaction. What `choose` raises is raised, and nothing is changed. Raises AbortedError where `add_trials` does.
        """

    def apply(self, study_id: str, changes: StudyChanges, manager_id: str | None = None) -> Applied:
        """Makes the changes, counters and best trial with them.

        Raises AbortedError, and changes nothing, when `manager_id` is given and does not drive the study. A move that is not
        in `trial.MOVES` is a ValueError.
        """

    def apply_to(
        self,
        trial_id: str,
        decide: Callable[[Study, Trial], StudyChanges | None],
        most: int = 0,
        allow: Callable[[Study, int], None] | None = None,
        give: Giving | None = None,
    ) -> Applied:
        """Makes the changes to one trial that `decide` says, of the trial and its study as they are: read and written in one
        transaction, so none is refused for being late. None: nothing is changed. What `decide` raises is raised, and nothing
        is changed; it may be called more than once, and must not wait for another write. `most` and `allow` as in `report`.

        `give` comes after the changes, or their absence. Where its `choose` raises AbortedError, FailedPreconditionError or
        ResourceExhaustedError, and where `add_trials` would raise AbortedError, nothing is given; the changes stay."""

    def report(
        self,
        trial_id: str,
        attempt: int,
        observations: Sequence[Observation],
        check: Callable[[Study, Trial], None] | None = None,
        most: int = 0,
        allow: Callable[[Study, int], None] | None = None,
    ) -> Trial:
        """Adds reported observations (`attempt` 0: the current one; theirs is replaced by it); those there already are
        passed over. Renews the trial's lease, if it has one; without new observations that is no change of its revision. Raises
        FailedPreconditionError when the trial is not RUNNING at that attempt.

        `check` sees study and trial before anything is decided, as `decide` does in `apply_to`. Raises ResourceExhaustedError
        for new ones with which the trial would have more than `most` (0: any number), and what `allow` raises, which is given
        the number of new ones and must be quick.
        """

    def get_trial(self, trial_id: str) -> Trial: ...

    def earlier_attempts(self, trial_id: str) -> Sequence[TrialAttempt]:
        """The attempts before the current one, by number."""

    def list_trials(self, filter_: TrialFilter, page_size: int, page_token: str) -> Page[Trial]:
        """Without a study a page may have fewer than there are, even none, and a token: the search took long."""

    def unfinished_trials(self, study_id: str) -> Sequence[Trial]:
        """PENDING and RUNNING, by number. Its cost does not depend on how many have finished."""

    def finished_trials(self, study_id: str) -> Sequence[Trial]:
        """All of them, by number: only for services that need the history."""

    def has_trials_for(self, study_id: str, client_id: str) -> bool:
        """Whether `hand_out` might give any: a hint that costs no write. False for a study that is not there."""

    def has_leases(self, study_id: str) -> bool:
        """Whether any of its trials has a lease, and may thus be handed on. False for a study that is not there."""

    def changed_trials(self, study_id: str, after_revision: int, limit: int) -> Sequence[Trial]:
        """Trials whose revision is greater, by revision; never cut within one revision, so that going on from the last
        one's revision misses none."""

    def changed_columns(self, study_id: str, after_revision: int, limit: int) -> tuple[TrialColumns, int]:
        """The same as `changed_trials` as columns, and the last one's revision; without any, `after_revision`."""

    # Observations

    def list_observations(
        self, trial_id: str, attempt: int, names: Sequence[str], page_size: int, page_token: str
    ) -> Page[Observation]:
        """In the order in which they were taken in. `attempt` 0: the current one; no `names`: all."""

    def observations_after(
        self, trial_id: str, attempt: int, names: Sequence[str], after: int, limit: int
    ) -> tuple[Sequence[Observation], int]:
        """At most `limit` of those of these metrics (at least one) that were taken in after place `after` (0: all), in order,
        and the place of the last; `after` again where there are none. Its cost does not depend on how many are before."""

    def latest_observations(self, trial_id: str, limit: int) -> tuple[Sequence[Observation], bool]:
        """The newest of the current attempt, oldest first, and whether older ones were left out."""

    def curves(self, trials: Sequence[Trial], metrics: Sequence[str]) -> Iterator[tuple[str, Sequence[Observation]]]:
        """By trial id: the observations of these metrics in the trial's attempt, in order. They are read while they are looked
        at, some at a time, so that a trial's may come in several pieces, one after the other. Trials that are gone, and those
        without observations, are left out; of one that is named twice the later word counts."""

    def values_taken(self, trials: Sequence[Trial]) -> Mapping[str, int]:
        """By trial id, how many observations it has at most, of all metrics and attempts; left out where there are none."""

    def last_values(self, trials: Sequence[Trial]) -> Mapping[str, Mapping[str, float]]:
        """By trial id and metric: the value of the newest observation in the trial's attempt. Trials that are gone, and those
        without observations, are left out."""

    # Managers

    def heartbeat(self, manager: ManagerRecord) -> None:
        """Writes the manager's row with the database's time now."""

    def managers(self) -> Sequence[ManagerRecord]: ...

    def claim_studies(self, manager_id: str, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
        """Makes this manager the driver of unfinished studies (those with an intent included) that nobody drives, or that
        one of the `dead` managers or one without a row drives, and whose placement is empty or `placement`. At most `limit`;
        one that another process is writing to at this moment may be passed over. The ids."""

    def drivers(self, placement: str) -> Mapping[str, int]:
        """How many unfinished studies whose placement is empty or `placement` each manager drives; under the empty id, how
        many have no driver."""

    def stranded_studies(self, placement: str, dead: Sequence[str], limit: int) -> Sequence[str]:
        """Unfinished studies of other placements (neither empty nor `placement`) that nobody drives, or one of the `dead`
        managers or one without a row."""

    def driven_studies(self, manager_id: str) -> Mapping[str, int]:
        """The unfinished studies that this manager drives, each with its revision."""

    def release(self, manager_id: str) -> None:
        """Gives up the unfinished studies that it drives, and removes the manager's row."""

    # The rest

    def algorithms_in_use(self) -> tuple[frozenset[str], frozenset[str]]:
        """The algorithms and the rules that stored studies name."""

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """`listener(study_id)` is called, from any thread, after each committed write of this process to a study or its
        trials. It must return at once and never raise."""

    def ping(self) -> None:
        """Raises UnavailableError when the database does not answer."""

    def close(self) -> None: ...
