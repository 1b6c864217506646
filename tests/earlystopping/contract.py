"""What every early-stopping rule keeps. One enrols by a subclass that names it."""

import math
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from katib.api import plugins
from katib.domain.errors import InvalidArgumentError
from katib.domain.study import Objective, StudySpec
from katib.domain.trial import TrialState
from katib.earlystopping.base import CHECK_INTERVAL, Rule
from katib.earlystopping.server import GROUP
from katib.earlystopping.service import Call, check, should_stop
from tests.earlystopping.studies import STUDY_ID, observations, question, study

ANOTHER_PROCESS = """
import pickle, sys
from katib.api import plugins
from katib.earlystopping.service import should_stop
name, call = pickle.load(sys.stdin.buffer)
sys.stdout.write(repr(should_stop(plugins.find("katib.earlystopping", "rule", name), call)))
"""


class RuleContract:
    name: ClassVar[str]
    # With these the rule stops a trial that is far behind five others, all of twenty values.
    settings: ClassVar[Sequence[tuple[str, object]]] = ()

    @pytest.fixture
    def rule(self) -> Rule:
        found: Rule = plugins.find(GROUP, "rule", self.name)
        return found

    def study(self, *settings: tuple[str, object], objective: Objective = Objective.MAXIMIZE) -> StudySpec:
        return study(*self.settings, *settings, objective=objective)

    def call(self, objective: Objective = Objective.MAXIMIZE) -> Call:
        """Of three running trials the second is far behind; one has reported nothing yet."""
        sign = 1 if objective is Objective.MAXIMIZE else -1

        def rising(to: float) -> list[float]:
            return [sign * to * (i + 1) / 20 for i in range(20)]

        return question(
            self.study(objective=objective),
            running=[rising(1.0), rising(-50.0), []],
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
        assert self.numbers(rule, question(self.study(), running=[[-1e9] * 100])) == []

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
        assert self.numbers(rule, replace(call, curves=everywhere)) == []

    def test_other_metrics_do_not_matter(self, rule: Rule) -> None:
        call = self.call()
        other = {i: [*observations("loss", [1e9] * 50), *curve] for i, curve in call.curves.items()}

        assert self.numbers(rule, replace(call, curves=other)) == [2]

    def test_the_order_in_which_trials_are_sent_does_not_matter(self, rule: Rule) -> None:
        call = self.call()
        finished = list(call.finished)
        random.Random(1).shuffle(finished)

        assert self.numbers(rule, replace(call, finished=finished, running=call.running[::-1])) == [2]

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
        check(rule, replace(StudySpec("", "", None, ()), early_stopping_settings=self.study().early_stopping_settings))

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
        assert violation.field.startswith(f"study_config.early_stopping_parameters[{len(self.settings)}].")
        assert "CheckInterval" in violation.expected

    def test_every_setting_is_described(self, rule: Rule) -> None:
        assert rule.options.owner == rule.name == self.name
        assert CHECK_INTERVAL in rule.options.rows
        for row in rule.options.rows:
            assert row.meaning.endswith(".")
            assert row.expected
            assert row.default_text
