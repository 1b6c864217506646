"""What must hold after every single transaction, whoever made it.

The ledger stands between everybody and the storage. After each write it reads again what was written and compares it with how
it was before: a move that is none of `trial.MOVES` is seen even where the next one hides it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import pytest

from katib.domain.errors import NotFoundError
from katib.domain.metrics import OUTPUT_SOURCE, Observation, fold_objective
from katib.domain.names import run_name
from katib.domain.study import Intent, Study, StudyState, effective_limits
from katib.domain.trial import DISRUPTIONS, MAX_DISRUPTIONS, MOVES, Trial, TrialReason, TrialState
from katib.manager.changes import Applied, StudyChanges
from katib.manager.controller.plan import MAX_PARALLEL_CAP
from katib.manager.ports import Storage
from katib.worker.base import RunPhase
from tests.lifecycle.ends import end_of, is_to_end
from tests.lifecycle.worker import Place, Run

WRITES: Final = frozenset(
    {
        *("create_study", "update_study", "delete_study", "claim_studies", "release"),
        *("add_trials", "give_trials", "hand_out", "apply", "apply_to", "report"),
    }
)
PAGE: Final = 1000

Attempt = tuple[str, int]


@dataclass
class Known:
    """A study as it was after the last write. `window`: as it was at each moment since the present step began; who reads at
    one moment and acts at another may go by any of them."""

    study: Study
    trials: dict[str, Trial] = field(default_factory=dict)
    window: list[Study] = field(default_factory=list)

    def most(self, limit: Callable[[Study], int | None]) -> float:
        """The most generous value of a limit within the window."""
        return max(float("inf") if (value := limit(s)) is None else value for s in self.window)


class Ledger:
    """A Storage that checks each write. `violations` keeps what was found where nobody lets it through. `quiet`: nobody has met
    with trouble in the present step."""

    def __init__(
        self, storage: Storage, place: Place, clock: Callable[[], datetime], quiet: Callable[[], bool]
    ) -> None:
        self._storage = storage
        self._place = place
        self._clock = clock
        self._quiet = quiet
        self._since = clock()
        self.known: Final[dict[str, Known]] = {}
        self.violations: Final[list[AssertionError]] = []
        # What was taken of reports and completions: by key, the metric and its value.
        self.reported: Final[dict[Attempt, dict[tuple[str, int, int], tuple[str, float]]]] = {}
        # Trials that a user has stopped while they were at this attempt.
        self.stopped: Final[dict[str, int]] = {}
        # Studies of which a service has said, or may have, that there is nothing more to try.
        self.exhausted: set[str] = set()
        place.created, place.began = self._guard(self.run_created), self._guard(self.run_began)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if name not in WRITES:
            return method

        def write(*arguments: Any, **named: Any) -> Any:
            if name == "apply_to":
                return self._apply_to(*arguments, **named)
            try:
                result = method(*arguments, **named)
                self._guard(self._note)(name, arguments, result)
                return result
            finally:
                self._guard(self.look)(name)

        return write

    def _apply_to(
        self, trial_id: str, decide: Callable[[Study, Trial], StudyChanges | None], *rest: Any, **named: Any
    ) -> Any:
        decided: list[StudyChanges | None] = [None]

        def noted(study: Study, trial: Trial) -> StudyChanges | None:
            decided[0] = decide(study, trial)
            return decided[0]

        try:
            applied = self._storage.apply_to(trial_id, noted, *rest, **named)
            if decided[0] is not None:
                self._guard(self._note)("apply", (applied.study.id, decided[0]), applied)
            self._guard(self._given)(trial_id, applied)
            return applied
        finally:
            self._guard(self.look)("apply_to")

    def _guard(self, check: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            try:
                check(*arguments)
            except AssertionError as error:
                self.violations.append(error)
                raise

        return guarded

    def begin_step(self) -> None:
        self._since = self._clock()
        for known in self.known.values():
            known.window = [known.study]

    def _note(self, name: str, arguments: Sequence[Any], result: Any) -> None:
        """What was reported, as the one who reported it was told that it was taken."""
        if name == "create_study":
            self.known.setdefault(result.id, Known(result, {}, [result]))
        elif name == "report":
            self._taken(result.id, result.attempt, arguments[2])
        elif name == "apply":
            changes: StudyChanges = arguments[1]
            assert not (self._quiet() and result.refused), "something was refused, and nobody had come in between"
            for intake in changes.intakes:
                others = [o for o in intake.observations if o.source != OUTPUT_SOURCE]
                if intake.trial_id not in result.refused:
                    self._taken(intake.trial_id, intake.attempt, others)

    def _taken(self, trial_id: str, attempt: int, observations: Sequence[Observation]) -> None:
        there = self.reported.setdefault((trial_id, attempt), {})
        for o in observations:
            there.setdefault((o.source, o.position, o.ordinal), (o.name, o.value))

    def _given(self, ended: str, applied: Applied) -> None:
        """What came with the end of a trial. What is new is looked at as all that is."""
        there = self.known[applied.study.id].trials
        for trial in applied.given or ():
            assert trial.id != ended, "the trial that has ended was given again"
            assert (trial.study_id, trial.state) == (applied.study.id, TrialState.RUNNING)
            assert trial == self._storage.get_trial(trial.id)
            assert trial.id in there or not is_to_end(applied.study), "a trial was begun of a study that is to end"

    # Looking

    def look(self, by: str, *, whole: bool = False) -> None:
        for study_id, known in list(self.known.items()):
            try:
                study = self._storage.get_study(study_id)
            except NotFoundError:
                self._gone(known, by)
                continue
            if study == known.study and not whole:
                continue
            trials = {t.id: t for t in self.trials(study_id)}
            self._study(known, study, by)
            self._trials(known, study, trials)
            self._counters(study, trials)
            known.study, known.trials = study, trials
            known.window.append(study)

    def trials(self, study_id: str) -> list[Trial]:
        found = [*self._storage.finished_trials(study_id), *self._storage.unfinished_trials(study_id)]
        return sorted(found, key=lambda t: t.number)

    def _gone(self, known: Known, by: str) -> None:
        assert by == "delete_study"
        assert known.study.intent is Intent.DELETE
        assert not self._place.of(known.study.id), "a study is gone, and its worker still keeps runs of it"
        for trial in known.trials.values():
            with pytest.raises(NotFoundError):
                self._storage.get_trial(trial.id)
            with pytest.raises(NotFoundError):
                self._storage.list_observations(trial.id, 1, (), 1, "")
        del self.known[known.study.id]

    # Studies

    def _study(self, known: Known, study: Study, by: str) -> None:
        old = known.study
        assert (study.id, study.created_at, study.placement, study.request_id) == (
            old.id,
            old.created_at,
            old.placement,
            "" if study.intent is Intent.DELETE else old.request_id,
        )
        if replace(study, manager=old.manager) != old:
            assert study.revision > old.revision, "it changed and kept its revision"
        if by != "update_study":
            assert study.spec == old.spec
            if old.state.finished:
                assert study.state is old.state, "an ended study was begun again by nobody"
            elif study.state is not old.state:
                self._ended(known, study)
        if study.state.finished or study.state is StudyState.PAUSED or study.intent is not Intent.NONE:
            assert study.reason
            assert study.message
        assert (study.ended_at is not None) == study.state.finished

    def _ended(self, known: Known, study: Study) -> None:
        # Decided at some moment since the step began.
        asked, exhausted = known.study.intent, study.id in self.exhausted
        ends = {end_of(study, asked, at, exhausted=exhausted) for at in (self._since, self._clock())}
        assert (study.state, study.reason) in ends, (study.state, study.reason, ends)
        assert study.unfinished_trials == 0
        assert not self._place.alive(study.id), "it ended while a run of it lives"
        assert study.intent is not Intent.STOP

    def is_over(self, study: Study) -> set[bool]:
        """Whether it would end at once that went on, as seen at some moment since the step began."""
        longest = study.spec.limits.max_duration
        return {
            is_to_end(study) or (longest is not None and at >= study.created_at + longest)
            for at in (self._since, self._clock())
        }

    def _counters(self, study: Study, trials: Mapping[str, Trial]) -> None:
        counts = {state: sum(t.state is state for t in trials.values()) for state in TrialState}
        kept = (study.pending, study.running, study.completed, study.killed, study.failed)
        assert kept == tuple(counts[state] for state in TrialState)
        assert study.suggested == len(trials)
        assert sorted(t.number for t in trials.values()) == list(range(1, len(trials) + 1))
        values = [t.objective for t in trials.values() if t.state is TrialState.COMPLETED and t.objective is not None]
        if not values:
            assert (study.best_trial_id, study.best_objective) == ("", None)
            return
        best = trials[study.best_trial_id]
        assert best.state is TrialState.COMPLETED
        assert best.objective == study.best_objective == max(values)

    # Trials

    def _trials(self, known: Known, study: Study, trials: Mapping[str, Trial]) -> None:
        assert known.trials.keys() <= trials.keys(), "a trial is lost"
        window = Known(study, trials=dict(trials), window=[*known.window, study])
        for trial in trials.values():
            old = known.trials.get(trial.id)
            if old is None:
                self._added(window, study, trial)
            elif trial != old:
                self._changed(window, study, old, trial)
        added = trials.keys() - known.trials.keys()
        if added:
            assert study.suggested <= window.most(lambda s: effective_limits(s.spec).max_trials)
            assert (study.state, study.intent) == (StudyState.RUNNING, Intent.NONE)

    def _added(self, window: Known, study: Study, trial: Trial) -> None:
        assert trial.attempt == 1
        assert trial.state is (TrialState.RUNNING if study.spec.client_driven else TrialState.PENDING)
        self._standing(study, trial)

    def _changed(self, window: Known, study: Study, old: Trial, trial: Trial) -> None:
        assert not old.state.finished, "a finished trial changed"
        if trial == replace(old, lease=trial.lease, lease_until=trial.lease_until):
            # Its client gave a sign of itself: no change that anybody waits for.
            assert trial.lease is not None
            assert trial.lease_until is not None
            assert old.lease_until is None or trial.lease_until >= old.lease_until
            return
        assert window.window[0].revision < trial.revision <= study.revision
        assert _identity(trial) == _identity(old)
        if trial.state is not old.state:
            assert (old.state, trial.state) in MOVES
        if trial.attempt != old.attempt:
            assert (old.state, trial.state, trial.attempt) == (
                TrialState.RUNNING,
                TrialState.PENDING,
                old.attempt + 1,
            )
            further = window.most(lambda s: s.spec.limits.retry_limit or 0)
            assert old.attempt <= (max(further, MAX_DISRUPTIONS) if self._disrupted(old) else further)
            assert old.stop_reason in ("", TrialReason.DEADLINE_EXCEEDED), "a request to stop was lost"
            assert trial.id not in self.stopped, "a trial that its user has stopped is tried again"
            assert (trial.objective, trial.cursor, trial.stop_reason) == (None, "", "")
        elif old.stop_reason and old.stop_reason != TrialReason.DEADLINE_EXCEEDED:
            assert trial.stop_reason == old.stop_reason
        if trial.attempt != old.attempt or trial.state.finished:
            self._over(window, study, old, trial)
        self._standing(study, trial)
        self._observed(study, trial)

    def _standing(self, study: Study, trial: Trial) -> None:
        """What a trial says of itself."""
        waits = trial.state is TrialState.PENDING or (trial.state is TrialState.RUNNING and trial.stop_reason)
        if waits or trial.state in (TrialState.KILLED, TrialState.ERROR):
            assert trial.reason, trial
            assert trial.message, trial
        assert (trial.ended_at is not None) == trial.state.finished
        assert (trial.started_at is not None) >= (trial.state is TrialState.RUNNING)

    def _over(self, window: Known, study: Study, old: Trial, trial: Trial) -> None:
        """An attempt is over: its run is gone for good, and everything that it has printed is stored."""
        failed = trial.state in (TrialState.ERROR, TrialState.PENDING)
        if study.spec.client_driven:
            assert not failed or trial.reason == TrialReason.DEADLINE_EXCEEDED
            return
        run = self._place.runs.get(run_name(trial.id, old.attempt))
        assert run is not None, "nothing keeps the run of an attempt that is over from starting"
        assert not run.alive, "an attempt is over and its run lives"
        if old.state is TrialState.RUNNING:
            self._all_taken_in(run)
        if trial.state is TrialState.COMPLETED:
            assert run.phase is RunPhase.SUCCEEDED
            assert trial.objective is not None
        elif trial.state is TrialState.KILLED:
            # The rule's answer may come with the end of the run.
            assert trial.reason in (old.stop_reason, TrialReason.EARLY_STOPPED) or old.state is TrialState.PENDING
        elif trial.reason == TrialReason.METRICS_UNAVAILABLE:
            assert run.phase is RunPhase.SUCCEEDED
            # Somebody may report in its name while its end is being stored; the run itself has done so before its end.
            assert trial.objective is None or not self._quiet()
        elif trial.state is TrialState.ERROR:
            least = min(s.spec.limits.retry_limit or 0 for s in window.window)
            least = max(least, MAX_DISRUPTIONS) if trial.reason in DISRUPTIONS else least
            assert trial.attempt > least, "it failed for good with a retry left"
            assert trial.reason in (run.reason, TrialReason.DEADLINE_EXCEEDED)

    def _disrupted(self, trial: Trial) -> bool:
        return self._place.runs[run_name(trial.id, trial.attempt)].reason in DISRUPTIONS

    def _all_taken_in(self, run: Run) -> None:
        printed = [
            (o.name, o.value) for o in self._observations(run.trial_id, run.attempt) if o.source == OUTPUT_SOURCE
        ]
        assert printed == run.values, f"of {run.values}, printed by {run.name}, there is {printed}"

    def _observations(self, trial_id: str, attempt: int) -> Sequence[Observation]:
        return self._storage.list_observations(trial_id, attempt, (), PAGE, "").items

    def _observed(self, study: Study, trial: Trial) -> None:
        """Each observation is there once, and the objective is theirs."""
        there = self._observations(trial.id, trial.attempt)
        run = self._place.runs.get(run_name(trial.id, trial.attempt))
        printed = [(o.name, o.value) for o in there if o.source == OUTPUT_SOURCE]
        assert printed == (run.values if run else [])[: len(printed)]
        others = {(o.source, o.position, o.ordinal): (o.name, o.value) for o in there if o.source != OUTPUT_SOURCE}
        assert len(others) + len(printed) == len(there)
        assert others == self.reported.get((trial.id, trial.attempt), {})
        spec = study.spec
        values = [o.value for o in there if o.name == spec.objective_name]
        assert trial.objective == fold_objective(None, values, spec.objective_strategy)

    # Runs

    def run_created(self, run: Run, manager_id: str) -> None:
        """A run came to be that was not there before."""
        known = self.known[run.study_id]
        trial = known.trials[run.trial_id]
        assert (trial.state, trial.attempt) == (TrialState.PENDING, run.attempt)
        assert any((s.state, s.intent) == (StudyState.RUNNING, Intent.NONE) for s in known.window), (
            "a study that is paused or to be stopped began a run"
        )
        if {s.manager for s in known.window} != {manager_id}:
            # One that was frozen in the middle of a pass may do with its successor what it was about to do: create runs that
            # are wanted, each at most once, but possibly not now.
            return
        # Nor can anybody know of one whose creator died when it was on its way.
        alive = sum(r.listed for r in self._place.alive(run.study_id))
        most = known.most(lambda s: effective_limits(s.spec).max_parallel)
        assert alive <= min(most, MAX_PARALLEL_CAP), f"more runs at once than max_parallel: {alive}, {most}"

    def run_began(self, run: Run) -> None:
        assert self._place.executions[run.name] == 1, "an attempt was executed twice"
        known = self.known.get(run.study_id)
        assert known is not None, "a run of a deleted study began"
        assert not known.study.state.finished, "a run of an ended study began"
        trial = known.trials[run.trial_id]
        assert not trial.state.finished, "a run of a finished trial began"
        assert trial.attempt == run.attempt, "a run of an attempt that is over began"
        assert self.stopped.get(trial.id, run.attempt) >= run.attempt
        parameters = tuple(f"{p.name}={p.value}" for p in trial.parameters)
        assert run.arguments == parameters


def _identity(trial: Trial) -> tuple[object, ...]:
    return trial.id, trial.study_id, trial.number, trial.parameters, trial.tags, trial.client_id, trial.created_at
