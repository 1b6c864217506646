"""What every early-stopping rule keeps. One enrols by a subclass that names it."""

import math
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import ClassVar, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.stopping.contestants import Ours
from benchmarks.stopping.curves import names, read
from benchmarks.stopping.simulate import simulate
from katib.api import plugins
from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import MetricStrategy
from katib.domain.study import Objective, StudySpec
from katib.domain.trial import TrialReason, TrialState
from katib.earlystopping.base import CHECK_INTERVAL, Request, Rule
from katib.earlystopping.server import GROUP
from katib.earlystopping.service import Call, by_metric, check, should_stop
from tests.earlystopping.studies import STUDY_ID, observations, question, study
from tests.examples import examples

ANOTHER_PROCESS = """
import pickle, sys
from katib.api import plugins
from katib.earlystopping.service import should_stop
name, call = pickle.load(sys.stdin.buffer)
sys.stdout.write(repr(should_stop(plugins.find("katib.earlystopping", "rule", name), call)))
"""


Settings = Sequence[tuple[str, object]]
Curves = list[list[float]]

CURVES: Final = st.lists(
    st.lists(st.one_of(st.integers(-5, 5).map(float), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=12),
    max_size=6,
)
FINITE: Final = st.lists(st.lists(st.integers(-5, 5).map(float), max_size=12), max_size=6)


# A failing example of one rule is no use to another.
PROPERTY: Final = settings(
    deadline=None, database=None, max_examples=examples(30), suppress_health_check=[HealthCheck.differing_executors]
)


def mirrored(curves: Curves) -> Curves:
    return [[-v for v in curve] for curve in curves]


def rule_named(name: str) -> Rule:
    found: Rule = plugins.find(GROUP, "rule", name)
    return found


class RuleContract:
    name: ClassVar[str]
    # With these the rule stops a trial that is far behind five others, all of twenty values.
    far_behind: ClassVar[Settings] = ()
    # Under these it may stop something in curves of a dozen values between -5 and 5.
    eager: ClassVar[Settings] = ()
    # With these it is to save so much of the steps on recorded curves, and find the best model or one that is hardly worse:
    # `regret`, the most on average, is in distances between the best and the median one.
    recorded: ClassVar[Settings] = ()
    saves: ClassVar[float]
    regret: ClassVar[float]
    # How many of the twenty values the running ones of these have; a rule may stop none that has as many as the others.
    gone: ClassVar[int] = 20
    # Whether it compares trials with each other.
    compares: ClassVar[bool] = True

    def for_objective(self, given: Settings, objective: Objective) -> Settings:
        """The settings of a study that goes the other way than the one that they were written for, which maximizes."""
        return given

    @pytest.fixture
    def rule(self) -> Rule:
        return rule_named(self.name)

    def study(self, *given: tuple[str, object], objective: Objective = Objective.MAXIMIZE) -> StudySpec:
        return study(*self.for_objective(self.far_behind, objective), *given, objective=objective)

    def eagerly(
        self, objective: Objective, running: Curves, completed: Curves, early: Curves, others: Curves | None = None
    ) -> Call:
        """`others`: of trials that failed or that a user stopped, in turn."""
        ended = [(TrialState.ERROR, TrialReason.EXIT_CODE), (TrialState.KILLED, TrialReason.STOPPED_BY_USER)]
        spec = study(*self.for_objective(self.eager, objective), objective=objective)
        return question(
            spec, running, completed, early, [(*ended[i % 2], curve) for i, curve in enumerate(others or [])]
        )

    def call(self, objective: Objective = Objective.MAXIMIZE) -> Call:
        """Of three running trials the second is far behind; one has reported nothing yet."""
        sign = 1 if objective is Objective.MAXIMIZE else -1

        def rising(to: float) -> list[float]:
            return [sign * to * (i + 1) / 20 for i in range(20)]

        return question(
            self.study(objective=objective),
            running=[rising(1.0)[: self.gone], rising(-50.0)[: self.gone], []],
            completed=[rising(v) for v in (0.7, 0.8, 0.9, 1.0, 1.1)],
            others=[(TrialState.ERROR, "ExitCode", rising(0.1)), (TrialState.KILLED, "StoppedByUser", [])],
        )

    def numbers(self, rule: Rule, call: Call) -> list[int]:
        return [t.number for t in should_stop(rule, call)]

    @pytest.mark.parametrize("objective", Objective)
    def test_a_trial_far_behind_is_stopped_and_no_other(self, rule: Rule, objective: Objective) -> None:
        assert self.numbers(rule, self.call(objective)) == [2]

    def test_nothing_runs_and_nothing_is_stopped(self, rule: Rule) -> None:
        assert self.numbers(rule, replace(self.call(), running=[])) == []

    def test_without_any_other_trial_none_is_stopped(self, rule: Rule) -> None:
        assert not self.compares or self.numbers(rule, question(self.study(), running=[[-1e9] * 100])) == []

    def test_trials_without_values_are_not_stopped(self, rule: Rule) -> None:
        assert self.numbers(rule, replace(self.call(), curves={})) == []

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1.7976931348623157e308])
    def test_any_number_may_stand_anywhere(self, rule: Rule, odd: float) -> None:
        call = self.call()
        for trial in (*call.running, *call.finished):
            curve = [odd, *(o.value for o in call.curves[trial.id]), odd]
            mixed = {**call.curves, trial.id: observations("score", curve)}
            assert set(self.numbers(rule, replace(call, curves=mixed))) <= {1, 2, 3}
        everywhere = {trial_id: observations("score", [odd] * 30) for trial_id in call.curves}
        assert not self.compares or self.numbers(rule, replace(call, curves=everywhere)) == []

    @pytest.mark.parametrize("objective", Objective)
    def test_what_has_become_nan_for_good_is_stopped_whatever_it_was_before(
        self, rule: Rule, objective: Objective
    ) -> None:
        call = self.becoming_nan(self.call(objective), 2, at=3)
        (stopped,) = should_stop(rule, call)

        assert stopped.number == 2
        assert "inf" not in stopped.message.replace("inf behind the best", "")

    def test_no_trial_is_stopped_for_others_that_became_nan_for_good(self, rule: Rule) -> None:
        call = replace(self.call(), running=self.call().running[:1])
        for number in (4, 5, 6, 7, 8):
            call = self.becoming_nan(call, number, at=3)

        assert self.numbers(rule, call) == []

    def test_a_single_nan_at_the_end_may_be_a_gap(self, rule: Rule) -> None:
        assert not self.compares or self.numbers(rule, self.becoming_nan(self.call(), 1, at=self.gone - 1)) == [2]

    def test_where_the_best_value_is_the_objective_a_nan_takes_nothing_from_it(self, rule: Rule) -> None:
        call = self.becoming_nan(self.call(), 2, at=3)
        best = replace(call, spec=replace(call.spec, objective_strategy=MetricStrategy.MAX))

        assert not self.compares or 2 not in self.numbers(rule, best)

    def becoming_nan(self, call: Call, number: int, at: int) -> Call:
        """The trial was better than every other before."""
        (trial,) = (t for t in (*call.running, *call.finished) if t.number == number)
        better = 1e3 if call.spec.optimization is Objective.MAXIMIZE else -1e3
        curve = [replace(o, value=better if i < at else math.nan) for i, o in enumerate(call.curves[trial.id])]
        return replace(call, curves={**call.curves, trial.id: curve})

    def test_other_metrics_do_not_matter(self, rule: Rule) -> None:
        call = self.call()
        other = {i: [*observations("loss", [1e9] * 50), *curve] for i, curve in call.curves.items()}

        assert self.numbers(rule, replace(call, curves=other)) == [2]

    def test_the_order_in_which_trials_are_sent_does_not_matter(self, rule: Rule) -> None:
        call = self.call()
        finished = list(call.finished)
        random.Random(1).shuffle(finished)

        assert self.numbers(rule, replace(call, finished=finished, running=call.running[::-1])) == [2]

    @pytest.mark.long
    def test_another_process_gives_the_same_answer(self, rule: Rule) -> None:
        done = subprocess.run(
            [sys.executable, "-c", ANOTHER_PROCESS],
            input=pickle.dumps((self.name, self.call())),
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": "12345"},
            timeout=60,
            check=True,
        )

        assert done.stdout.decode() == repr(should_stop(rule, self.call()))

    def test_a_question_without_its_study_is_refused(self, rule: Rule) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            should_stop(rule, Call(STUDY_ID, StudySpec("", "", None, ()), [], []))

        assert [v.field for v in caught.value.violations] == [
            "study_config.optimization_type",
            "study_config.objective_value_name",
        ]

    def test_settings_may_be_checked_without_their_study(self, rule: Rule) -> None:
        for some in (self.far_behind, self.eager, self.recorded):
            check(
                rule,
                replace(StudySpec("", "", None, ()), early_stopping_settings=study(*some).early_stopping_settings),
            )

    def test_the_manager_s_own_setting_is_accepted(self, rule: Rule) -> None:
        check(rule, self.study(("CheckInterval", 60)))

    @pytest.mark.parametrize(
        ("name", "text"), [("CheckInterval", "0"), ("CheckInterval", "x"), ("CheckIntervall", "1")]
    )
    def test_a_bad_setting_is_refused_by_its_path(self, rule: Rule, name: str, text: str) -> None:
        spec = self.study((name, text))
        with pytest.raises(InvalidArgumentError) as caught:
            check(rule, spec)
        with pytest.raises(InvalidArgumentError) as again:
            should_stop(rule, replace(self.call(), spec=spec))

        (violation,) = caught.value.violations
        assert again.value.violations == caught.value.violations
        assert violation.field.startswith(f"study_config.early_stopping_parameters[{len(self.far_behind)}].")
        assert "CheckInterval" in violation.expected

    @pytest.mark.long
    @PROPERTY
    @given(CURVES, CURVES, CURVES, CURVES)
    def test_a_study_that_minimizes_is_the_mirror_of_one_that_maximizes(
        self, running: Curves, completed: Curves, early: Curves, others: Curves
    ) -> None:
        rule = rule_named(self.name)
        up = self.eagerly(Objective.MAXIMIZE, running, completed, early, others)
        down = self.eagerly(Objective.MINIMIZE, *map(mirrored, (running, completed, early, others)))

        assert self.numbers(rule, up) == self.numbers(rule, down)

    @pytest.mark.long
    @PROPERTY
    @given(CURVES, CURVES, CURVES, CURVES)
    def test_what_failed_or_was_stopped_by_a_user_changes_nothing(
        self, running: Curves, completed: Curves, early: Curves, others: Curves
    ) -> None:
        rule = rule_named(self.name)
        alone = self.eagerly(Objective.MAXIMIZE, running, completed, early)
        beside = self.eagerly(Objective.MAXIMIZE, running, completed, early, others)

        assert self.numbers(rule, beside) == self.numbers(rule, alone)

    @pytest.mark.long
    @PROPERTY
    @given(FINITE, FINITE, FINITE, st.data())
    def test_the_best_is_never_stopped(
        self, running: Curves, completed: Curves, early: Curves, data: st.DataObject
    ) -> None:
        best = data.draw(st.lists(st.integers(5, 7).map(float), max_size=12))
        call = self.eagerly(Objective.MAXIMIZE, [best, *running], completed, early)

        assert 1 not in self.numbers(rule_named(self.name), call)

    @pytest.mark.long
    @PROPERTY
    @given(CURVES, CURVES, CURVES)
    def test_steps_that_count_up_from_one_may_be_named_or_not(
        self, running: Curves, completed: Curves, early: Curves
    ) -> None:
        call = self.eagerly(Objective.MAXIMIZE, running, completed, early)
        named = {i: [replace(o, step=at) for at, o in enumerate(curve, 1)] for i, curve in call.curves.items()}
        rule = rule_named(self.name)

        assert self.numbers(rule, replace(call, curves=named)) == self.numbers(rule, call)

    @pytest.mark.long
    @PROPERTY
    @given(CURVES, CURVES, CURVES)
    def test_trials_that_are_alike_are_treated_alike(self, running: Curves, completed: Curves, early: Curves) -> None:
        call = self.eagerly(Objective.MAXIMIZE, [*running, *running], completed, early)

        first, second = [], []
        for number in self.numbers(rule_named(self.name), call):
            (first if number <= len(running) else second).append((number - 1) % max(1, len(running)))
        assert first == second

    @pytest.mark.long
    @PROPERTY
    @given(CURVES, CURVES, CURVES, CURVES)
    def test_what_is_kept_of_finished_trials_changes_no_answer(
        self, running: Curves, completed: Curves, early: Curves, later: Curves
    ) -> None:
        rule = rule_named(self.name)
        first = self.eagerly(Objective.MAXIMIZE, running, completed, early)
        second = self.eagerly(Objective.MAXIMIZE, [], completed, early, [])
        kept: dict[object, object] = {}

        def ask(call: Call, running: Curves) -> list[int]:
            again = question(call.spec, running, completed, early)
            # The finished trials must be the same ones in both questions.
            ids = {t.id: f"c{i:015x}" for i, t in enumerate(again.finished)}
            request = Request(
                STUDY_ID,
                check(rule, call.spec),
                again.running,
                [replace(t, id=ids[t.id]) for t in again.finished],
                {ids.get(i, i): by_metric(c) for i, c in again.curves.items()},
                kept,  # type: ignore[arg-type]
            )
            return [t.number for t in rule.stop(request)]

        assert ask(first, running) == self.numbers(rule, first)
        assert ask(second, later) == self.numbers(rule, question(second.spec, later, completed, early))

    def test_one_that_is_stopped_is_told_why(self, rule: Rule) -> None:
        (stopped,) = should_stop(rule, self.call())

        assert 20 < len(stopped.message) < 200
        assert not stopped.message.endswith(".")

    def test_it_looks_at_the_objective_unless_told_otherwise(self, rule: Rule) -> None:
        assert list(rule.metrics(check(rule, self.study()))) == ["score"]

    @pytest.mark.long
    def test_on_recorded_curves_it_saves_steps_and_keeps_the_best(self) -> None:
        outcomes = []
        for task in map(read, names()):
            given = dict(self.for_objective(self.recorded, task.objective))
            outcomes += [simulate(task, seed, Ours(task, self.name, given)) for seed in range(3)]

        assert len(outcomes) == 15
        assert 1 - fmean(o.steps for o in outcomes) >= self.saves
        assert fmean(o.regret for o in outcomes) <= self.regret

    def test_no_setting_takes_an_empty_text(self, rule: Rule) -> None:
        for row in rule.options.rows:
            with pytest.raises(InvalidArgumentError, match=row.name) as caught:
                check(rule, self.study((row.name, "")))
            assert f"expected {row.expected} for {row.name}" in str(caught.value)

    def test_every_setting_is_described(self, rule: Rule) -> None:
        assert rule.options.owner == rule.name == self.name
        assert CHECK_INTERVAL in rule.options.rows
        for row in rule.options.rows:
            assert row.meaning.endswith(".")
            assert row.expected
            assert row.default_text
