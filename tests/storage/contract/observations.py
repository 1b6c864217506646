"""What every storage does with observations: taken in once, folded into the objective, read in order."""

import math
import sys
from dataclasses import replace

import pytest

from katib.domain.errors import FailedPreconditionError
from katib.domain.metrics import MetricStrategy
from katib.manager.changes import StopRequest, StudyChanges, TrialMove
from tests.storage.builders import (
    COMPLETED,
    ERROR,
    KILLED,
    LATEST,
    PENDING,
    RUNNING,
    add,
    curves_of,
    go,
    intake,
    later,
    make_spec,
    make_study,
    move,
    observe,
    running,
)

VALUES = [
    0.1,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    sys.float_info.max,
    -sys.float_info.max,
    5e-324,
    1 / 3,
    1e22,
    123456789.0,
]


class ObservationContract:
    def _reported(self, storage, trial, *observations, attempt=0):
        return storage.report(trial.id, attempt, observations)

    def _values(self, storage, trial):
        return [o.value for o in storage.list_observations(trial.id, 0, (), 1000, "").items]

    @pytest.mark.parametrize("value", VALUES)
    def test_every_number_comes_back_exactly(self, storage, value):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        after = self._reported(storage, trial, observe(value))
        (read,) = self._values(storage, trial)
        (ended,) = go(storage, after, to=COMPLETED)
        best = storage.get_study(study.id).best_objective
        for number in (read, after.objective, ended.objective, storage.get_trial(trial.id).objective):
            # 0.0 is as good as -0.0.
            assert number == value or (math.isnan(number) and math.isnan(value))
        assert best == (None if math.isnan(value) else value)

    def test_an_observation_comes_back_as_it_was_reported(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        seen = [
            observe(time=later(0.000001), source="клиент 🎲", position=2**62, ordinal=3, step=7, name="λ"),
            observe(position=-5, source="", step=-1),
            observe(position=0, step=0),
        ]
        self._reported(storage, trial, *seen)
        assert list(storage.list_observations(trial.id, 0, (), 10, "").items) == seen

    def test_the_same_report_twice_is_there_once(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        seen = [observe(0.1), observe(0.2), observe(0.2, "loss")]
        first = self._reported(storage, trial, *seen)
        assert self._reported(storage, trial, *seen) == first
        assert self._reported(storage, trial, seen[1], seen[1], observe(0.9, "loss", position=10**6)).objective == 0.2
        assert self._values(storage, trial) == [0.1, 0.2, 0.2, 0.9]
        assert storage.get_study(study.id).revision == first.revision + 1

    def test_a_repeated_report_does_not_bring_an_older_value_back(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        old, new = observe(0.1), observe(0.2)
        self._reported(storage, trial, old)
        self._reported(storage, trial, new)
        assert self._reported(storage, trial, old).objective == 0.2
        # Mixed with something new: only that counts.
        assert self._reported(storage, trial, old, observe(0.5, "loss")).objective == 0.2
        assert self._reported(storage, trial, observe(0.7), old).objective == 0.7

    def test_keys_differ_by_source_position_and_ordinal_exactly(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        base = observe(0.0, source="s", position=5)
        seen = [
            base,
            replace(base, source="S"),
            replace(base, source="s "),
            replace(base, source="ś"),
            replace(base, position=6),
            replace(base, ordinal=1),
        ]
        self._reported(storage, trial, *seen)
        self._reported(storage, trial, *reversed(seen))
        assert list(storage.list_observations(trial.id, 0, (), 10, "").items) == seen

    @pytest.mark.parametrize(
        ("strategy", "expected"), [(LATEST, 0.4), (MetricStrategy.MIN, 0.1), (MetricStrategy.MAX, 0.9)]
    )
    def test_the_objective_is_folded_by_the_strategy(self, storage, strategy, expected):
        study = storage.create_study(make_study(spec=make_spec(objective_strategy=strategy)))
        (trial,) = running(storage, study)
        for values in ([0.5, 0.9], [0.1], [0.4]):
            after = self._reported(storage, trial, *map(observe, values))
        self._reported(storage, trial, observe(7, "loss"))
        assert after.objective == expected
        assert storage.get_trial(trial.id).objective == expected

    def test_a_number_beats_nan_unless_the_latest_counts(self, storage):
        least = storage.create_study(make_study(spec=make_spec(objective_strategy=MetricStrategy.MIN)))
        (a,), (b,) = running(storage, least), running(storage, storage.create_study(make_study()))
        values = [observe(math.nan), observe(0.3), observe(math.nan)]
        assert self._reported(storage, a, *values).objective == 0.3
        assert math.isnan(self._reported(storage, b, *values).objective)

    def test_output_is_taken_in_once_with_its_cursor(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        first = intake(trial, observe(0.1), observe(0.2), to="20")
        applied = storage.apply(study.id, StudyChanges(intakes=(first,)))
        after = applied.trials[trial.id]
        assert (after.cursor, after.objective) == ("20", 0.2)
        again = storage.apply(study.id, StudyChanges(intakes=(first,)))
        assert (again.refused, again.trials) == ({trial.id}, {})
        assert self._values(storage, trial) == [0.1, 0.2]

    def test_output_that_overlaps_is_there_once(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        a, b, c = observe(0.1), observe(0.2), observe(0.3)
        after = storage.apply(study.id, StudyChanges(intakes=(intake(trial, a, b, to="2"),))).trials[trial.id]
        after = storage.apply(study.id, StudyChanges(intakes=(intake(after, a, b, c, to="3"),))).trials[trial.id]
        assert (after.objective, after.cursor) == (0.3, "3")
        after = storage.apply(study.id, StudyChanges(intakes=(intake(after, a, b, to="4"),))).trials[trial.id]
        assert (after.objective, after.cursor) == (0.3, "4")
        assert self._values(storage, trial) == [0.1, 0.2, 0.3]

    def test_intakes_of_one_trial_follow_one_another_in_one_call(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        a, b = observe(0.1), observe(0.2)
        chain = (
            intake(trial, a, to="1"),
            intake(trial, a, b, to="2", from_cursor="1"),
            intake(trial, observe(0.9), from_cursor="1"),
        )
        applied = storage.apply(study.id, StudyChanges(intakes=chain))
        assert applied.refused == {trial.id}
        assert applied.trials[trial.id].cursor == "2"
        assert self._values(storage, trial) == [0.1, 0.2]

    def test_a_cursor_moves_on_without_observations(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        applied = storage.apply(study.id, StudyChanges(intakes=(intake(trial, to="500"),)))
        assert applied.trials[trial.id].cursor == storage.get_trial(trial.id).cursor == "500"

    def test_an_observation_belongs_to_the_attempt_that_takes_it_in(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        key = observe(0.1, attempt=9)
        self._reported(storage, trial, key)
        (second,) = go(storage, *go(storage, trial, to=PENDING), to=RUNNING)
        assert second.objective is None
        # Free again in the next attempt.
        after = self._reported(storage, second, replace(key, value=0.2), attempt=2)
        assert after.objective == 0.2
        assert self._values(storage, trial) == [0.2]
        (old,) = storage.list_observations(trial.id, 1, (), 10, "").items
        assert (old.value, old.attempt) == (0.1, 1)
        assert storage.latest_observations(trial.id, 5)[0][0].attempt == 2
        assert [o.value for o in curves_of(storage, [trial, second], ["accuracy"])[trial.id]] == [0.2]
        assert [o.value for o in curves_of(storage, [trial], ["accuracy"])[trial.id]] == [0.1]
        assert storage.list_observations(trial.id, 3, (), 10, "").items == []

    def test_only_a_running_trial_at_its_attempt_can_report(self, storage):
        study = storage.create_study(make_study())
        pending, ended = add(storage, study, 2)
        (alive,) = running(storage, study)
        for state in (KILLED, ERROR):
            (trial,) = running(storage, study)
            go(storage, trial, to=state)
            with pytest.raises(FailedPreconditionError, match=state.value):
                self._reported(storage, trial, observe())
        for trial, attempt in ((pending, 0), (alive, 2), (alive, -1)):
            with pytest.raises(FailedPreconditionError):
                self._reported(storage, trial, observe(), attempt=attempt)
        go(storage, ended, to=KILLED)
        with pytest.raises(FailedPreconditionError):
            self._reported(storage, ended, observe(), attempt=1)
        assert self._values(storage, alive) == []

    def test_a_trial_that_is_stopping_may_still_report(self, storage):
        study = storage.create_study(make_study())
        (trial,) = running(storage, study)
        storage.apply(study.id, StudyChanges(stops=(StopRequest(trial.id, "EarlyStopped", ""),)))
        assert self._reported(storage, trial, observe(0.4)).objective == 0.4

    def test_the_end_and_the_last_output_come_in_one_call(self, storage):
        study = storage.create_study(make_study())
        first, second = add(storage, study, 2)
        (trial,) = go(storage, first, to=RUNNING)
        applied = storage.apply(
            study.id,
            StudyChanges(
                intakes=(intake(trial, observe(0.6)),),
                moves=(move(trial, COMPLETED), TrialMove(second.id, 1, PENDING, RUNNING, at=later(2))),
            ),
        )
        assert applied.trials[trial.id].objective == applied.study.best_objective == 0.6
        assert (applied.study.running, applied.study.completed) == (1, 1)

    def test_observations_are_paged_in_the_order_in_which_they_were_taken_in(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        # Not in the order of their keys.
        seen = [observe(i, "accuracy" if i % 2 else "loss", position=-i, source="ba"[i % 2]) for i in range(7)]
        for o in seen:
            self._reported(storage, trial, o)
        found, token = [], ""
        while True:
            page = storage.list_observations(trial.id, 0, (), 3, token)
            found += page.items
            token = page.next_token
            if not token:
                break
        assert found == seen
        page = storage.list_observations(trial.id, 0, ["loss", "nothing"], 3, "")
        rest = storage.list_observations(trial.id, 0, ["nothing", "loss"], 3, page.next_token)
        assert [o.value for o in (*page.items, *rest.items)] == [0, 2, 4, 6]
        assert rest.next_token == ""

    def test_a_list_of_an_attempt_goes_on_after_the_next_one_has_begun(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        seen = [observe(i) for i in range(4)]
        self._reported(storage, trial, *seen)
        page = storage.list_observations(trial.id, 0, (), 2, "")
        (again,) = go(storage, *go(storage, trial, to=PENDING), to=RUNNING)
        self._reported(storage, again, observe(9))
        assert list(storage.list_observations(trial.id, 0, (), 2, page.next_token).items) == seen[2:]

    def test_the_latest_observations_are_oldest_first(self, storage):
        (trial,) = running(storage, storage.create_study(make_study()))
        assert storage.latest_observations(trial.id, 3) == ([], False)
        seen = [observe(i) for i in range(4)]
        self._reported(storage, trial, *seen)
        assert storage.latest_observations(trial.id, 3) == (seen[1:], True)
        assert storage.latest_observations(trial.id, 4) == (seen, False)

    def test_curves_are_those_of_the_trials_and_metrics_asked_for(self, storage):
        study = storage.create_study(make_study())
        a, b, c, d, other = running(storage, study, 5)
        for trial in (a, b, other):
            self._reported(
                storage,
                trial,
                observe(1.0, position=1_000_009),
                observe(2.0, "loss"),
                observe(3.0, "x"),
                observe(4.0, position=1_000_003),
            )
        self._reported(storage, d, observe(5.0, "x"))
        go(storage, storage.get_trial(b.id), to=COMPLETED)
        asked = [b, c, replace(c, id="nobody"), a, d]
        curves = curves_of(storage, asked, ["accuracy", "loss"])
        shown = {trial_id: [o.value for o in curve] for trial_id, curve in curves.items()}
        assert shown == {a.id: [1.0, 2.0, 4.0], b.id: [1.0, 2.0, 4.0]}
        assert curves_of(storage, asked, []) == curves_of(storage, [], ["x"]) == {}
        assert set(curves_of(storage, asked, ["x"])) == {a.id, b.id, d.id}
        assert storage.values_taken(asked) == {a.id: 4, b.id: 4, d.id: 1}
        assert storage.values_taken([]) == {}

    def test_the_last_value_of_each_metric_is_that_of_the_current_attempt(self, storage):
        study = storage.create_study(make_study())
        first, second, silent = running(storage, study, 3)
        self._reported(storage, first, observe(0.1), observe(5.0, "loss"), observe(0.3), observe(math.inf, "loss"))
        (waiting,) = go(storage, storage.get_trial(first.id), to=PENDING)
        (again,) = go(storage, waiting, to=RUNNING, run="run-2", at=later(2))
        self._reported(storage, again, observe(0.9, attempt=2), observe(0.2, attempt=2))
        self._reported(storage, second, observe(0.5), observe(math.nan, "loss"))
        found = storage.last_values([storage.get_trial(t.id) for t in (first, second, silent)])
        assert {trial_id: {n: str(v) for n, v in values.items()} for trial_id, values in found.items()} == {
            first.id: {"accuracy": "0.2"},
            second.id: {"accuracy": "0.5", "loss": "nan"},
        }
        assert storage.last_values([]) == {}

    def test_observations_after_a_place_are_those_that_came_since(self, storage):
        study = storage.create_study(make_study())
        first, second = running(storage, study, 2)
        self._reported(storage, first, observe(0.1), observe(9, "loss"), observe(0.2))
        self._reported(storage, second, observe(0.7))

        def after(place, limit=100, names=("accuracy",), attempt=1):
            found, place = storage.observations_after(first.id, attempt, names, place, limit)
            return [o.value for o in found], place

        values, place = after(0)
        assert values == [0.1, 0.2]
        assert after(place) == ([], place)
        self._reported(storage, first, observe(0.3), observe(8, "loss"), observe(0.4))
        assert after(place)[0] == [0.3, 0.4]
        one, there = after(place, limit=1)
        assert (one, after(there)[0]) == ([0.3], [0.4])
        assert after(0, names=("accuracy", "loss"))[0] == [0.1, 9, 0.2, 0.3, 8, 0.4]
        assert after(0, names=("other",)) == ([], 0)
        assert after(0, attempt=2) == ([], 0)
        assert storage.observations_after("b" + "0" * 15, 1, ("accuracy",), 7, 10) == ([], 7)
