"""The same calls, drawn at random, lead every storage to the same state; and the counters are always those of the trials."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from katib.domain.errors import KatibError
from katib.domain.metrics import MetricStrategy, Observation
from katib.domain.study import Intent, Objective, StudyState
from katib.domain.trial import MOVES, TrialState
from katib.manager.changes import Intake, StopRequest, StudyChanges, StudyMove, TrialMove, TrialNote
from katib.manager.ports import StudyFilter, TrialFilter
from katib.manager.storage.open import open_storage
from tests.examples import examples
from tests.storage.builders import NOW, curves_of, make_spec, make_study, new_trials, recount

# SQLite keeps no sign of a zero.
values = (st.floats() | st.sampled_from([0.0, 0.5, 1.0])).map(lambda value: value + 0.0)
indexes = st.integers(0, 5)
attempts = st.integers(1, 2)
words = st.sampled_from(["", "a", "b"])
times = st.integers(-(10**15), 7 * 10**15).map(lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=n))
observations = st.lists(
    st.builds(
        Observation,
        name=st.sampled_from(["accuracy", "loss"]),
        value=values,
        time=times,
        attempt=attempts,
        source=st.sampled_from(["output", "me"]),
        position=st.integers(0, 6),
        ordinal=st.integers(0, 1),
        step=st.none() | st.integers(0, 3),
    ),
    max_size=4,
).map(tuple)
# Trials are named by their place; the walk puts their ids in.
moves = st.builds(
    lambda i, attempt, way, word, at: TrialMove(i, attempt, *way, word, word, word, at, at),
    indexes,
    attempts,
    st.sampled_from(sorted(MOVES, key=str)),
    words,
    times,
)
intakes = st.builds(Intake, indexes, attempts, words, words, observations)
study_moves = st.none() | st.builds(StudyMove, st.sampled_from(StudyState), words, words, times)
changes = st.builds(
    StudyChanges,
    st.lists(intakes, max_size=3).map(tuple),
    st.lists(moves, max_size=4).map(tuple),
    st.lists(st.builds(TrialNote, indexes, attempts, words, words), max_size=2).map(tuple),
    st.lists(st.builds(StopRequest, indexes, st.just("StoppedByUser"), words, st.none() | attempts), max_size=1).map(
        tuple
    ),
    study_moves,
)
calls = st.lists(
    st.tuples(st.just("apply"), changes, words, st.booleans())
    | st.tuples(st.just("add"), st.integers(0, 3), st.booleans(), words)
    | st.tuples(st.just("report"), indexes, st.integers(0, 2), observations)
    | st.tuples(st.just("update"), st.sampled_from(StudyState), st.sampled_from(Intent), words)
    | st.tuples(st.just("claim"), words),
    max_size=25,
)


def fitting(storage, trial_ids, what, likely):
    """The changes with ids for places; where they are to be `likely`, moves and intakes begin where the trials are."""

    def named(part):
        return [replace(p, trial_id=trial_ids[p.trial_id] if p.trial_id < len(trial_ids) else "a" * 16) for p in part]

    intakes, moves_ = named(what.intakes), named(what.moves)
    if likely:
        trials = {trial_id: storage.get_trial(trial_id) for trial_id in trial_ids}
        for i, intake in enumerate(intakes):
            trial = trials.get(intake.trial_id)
            if trial is not None:
                intakes[i] = replace(intake, attempt=trial.attempt, from_cursor=trial.cursor)
        for i, move in enumerate(moves_):
            trial = trials.get(move.trial_id)
            if trial is not None and (trial.state, move.to_state) in MOVES:
                moves_[i] = replace(move, attempt=trial.attempt, from_state=trial.state)
    return StudyChanges(tuple(intakes), tuple(moves_), tuple(named(what.notes)), tuple(named(what.stops)), what.study)


def call(storage, study, trial_ids, new, name, *arguments):
    """What the call returns or raises, comparable: NaN equals NaN."""
    try:
        if name == "apply":
            what, manager = arguments
            result = storage.apply(study.id, what, manager or None)
            result = (result.study, sorted(result.trials.items()), sorted(result.refused))
        elif name == "add":
            _, running, client = arguments
            suggested = storage.get_study(study.id).suggested
            named = [replace(trial, client_id=client) for trial in new]
            result = storage.add_trials(study.id, suggested, named, NOW, running)
        elif name == "report":
            i, attempt, seen = arguments
            trial_id = trial_ids[i] if i < len(trial_ids) else "a" * 16
            result = storage.report(trial_id, attempt, seen)
        elif name == "update":
            state, intent, word = arguments
            result = storage.update_study(
                study.id,
                lambda s: replace(s, state=state, intent=intent, spec=replace(s.spec, owner=word), ended_at=None),
            )
        else:
            result = storage.claim_studies(arguments[0] or "m", "", ["a"], 1000)
    except KatibError as error:
        result = type(error)
    return repr(result)


def everything(storage, study, trial_ids):
    trials = [storage.get_trial(trial_id) for trial_id in trial_ids]
    return repr(
        [
            storage.get_study(study.id),
            trials,
            list(storage.list_trials(TrialFilter(study.id), 100, "").items),
            [list(storage.list_trials(TrialFilter(study.id, states=frozenset({s})), 9, "").items) for s in TrialState],
            list(storage.changed_trials(study.id, 2, 3)),
            storage.changed_columns(study.id, 2, 3),
            [
                list(storage.list_observations(trial_id, attempt, (), 50, "").items)
                for trial_id in trial_ids
                for attempt in (0, 1, 2)
            ],
            sorted(curves_of(storage, trials, ["loss"]).items()),
            sorted(storage.values_taken(trials).items()),
            [storage.has_trials_for(study.id, client) for client in ("", "a")],
            storage.has_leases(study.id),
            list(storage.list_studies(StudyFilter(id_prefix=study.id), 5, "").items),
            storage.driven_studies("m").get(study.id),
        ]
    )


class Walk:
    examples = 200

    @pytest.fixture(scope="class")
    def urls(self, request):
        raise NotImplementedError

    @pytest.mark.long
    def test_every_storage_comes_to_the_same(self, urls):
        with ExitStack() as stack:
            memory, other = (open_storage(url) for url in urls)
            stack.callback(memory.close)
            stack.callback(other.close)

            @settings(max_examples=examples(self.examples), suppress_health_check=list(HealthCheck))
            @given(calls, st.sampled_from(Objective), st.sampled_from(MetricStrategy))
            def walk(steps, optimization, strategy):
                spec = make_spec(optimization=optimization, objective_strategy=strategy)
                study = make_study(spec=spec, created_at=NOW - timedelta(1))
                trial_ids = []
                for storage in (memory, other):
                    storage.create_study(study)
                for name, *arguments in steps:
                    new = new_trials(arguments[0]) if name == "add" else []
                    if name == "apply":
                        what, manager, likely = arguments
                        arguments = [fitting(memory, trial_ids, what, likely), manager]
                    results = [call(s, study, trial_ids, new, name, *arguments) for s in (memory, other)]
                    assert results[0] == results[1]
                    trial_ids += [n.id for n in new if "Trial(" in results[0]]
                states = [everything(s, study, trial_ids) for s in (memory, other)]
                assert states[0] == states[1]
                recount(other, study.id)
                for storage in (memory, other):
                    storage.delete_study(study.id)

            walk()


class TestSqliteWalk(Walk):
    @pytest.fixture
    def urls(self, sqlite_url):
        return "memory://", sqlite_url


class TestMariaDbWalk(Walk):
    examples = 60

    @pytest.fixture
    def urls(self, server_url):
        return "memory://", server_url
