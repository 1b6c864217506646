"""What every search algorithm keeps. One enrols by a subclass that names it."""

import itertools
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
from katib.domain.search_space import Parameter, ParameterConfig, SearchSpace
from katib.domain.study import Limits, Objective, StudyReason
from katib.domain.trial import Trial
from katib.suggestion.algorithms.random import RandomSearch
from katib.suggestion.base import Algorithm, History, Suggestion
from katib.suggestion.randomness import SEED
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.server import GROUP
from katib.suggestion.service import check, generate
from tests.suggestion.refusals import RefusalsContract
from tests.suggestion.studies import (
    BOWL,
    FINITE,
    FINITE_LOG,
    INFINITE,
    MiniManager,
    study,
    troubled,
    values,
)

SPACES = {"infinite": INFINITE, "finite": FINITE, "finite with a log scale": FINITE_LOG}
EVERY_SPACE = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())

# The trials of `AlgorithmContract.after`, which cost most of the time of these tests, by their study.
_HISTORIES: dict[str, list[Trial]] = {}

# A process of its own, so that neither what was imported or cached before nor the hashes of strings can matter.
ANOTHER_PROCESS = """
import pickle, sys
from katib.api import plugins
from katib.suggestion.service import generate
name, calls = pickle.load(sys.stdin.buffer)
algorithm = plugins.find("katib.suggestions", "algorithm", name)
sys.stdout.write(repr([generate(algorithm, call) for call in calls]))
"""


class AlgorithmContract(RefusalsContract):
    # Whether another seed means other trials.
    by_chance: ClassVar[bool] = True

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        found: Algorithm = plugins.find(GROUP, "algorithm", self.name)
        return found

    def manager(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig], *settings: tuple[str, object], **fields: object
    ) -> MiniManager:
        spec = study((*space, *self.extra), *self.settings, *settings, **fields)  # type: ignore[arg-type]
        return MiniManager(algorithm, spec)

    def after(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig], trials: int, **fields: object
    ) -> MiniManager:
        """A study of which so many trials, with all that can happen to them, have ended, and two run."""
        manager = self.manager(algorithm, space, (MAX_PARALLEL.name, 1), (SUGGESTION_NUM.name, 1000), **fields)
        manager.outcome = troubled
        # One by one each follows from those before, so what one test had made another begins with.
        known = _HISTORIES.setdefault(repr((self.name, manager.spec)), [])
        manager.trials = known[:trials]
        while len(manager.trials) < trials:
            manager.ask()
            manager.finish()
        known += manager.trials[len(known) :]
        manager.spec = self.manager(
            algorithm, space, (MAX_PARALLEL.name, 2), (SUGGESTION_NUM.name, 1000), **fields
        ).spec
        manager.ask()
        manager.spec = self.manager(
            algorithm, space, (MAX_PARALLEL.name, 5), (SUGGESTION_NUM.name, 1000), **fields
        ).spec
        return manager

    # The answer

    @EVERY_SPACE
    def test_suggestions_are_values_that_the_study_allows(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig]
    ) -> None:
        manager = self.after(algorithm, space, 9)
        configs = manager.spec.parameters
        checked = SearchSpace.of(configs)

        reply = manager.ask()

        assert reply.suggestions
        for trial in manager.trials:
            assert [p.name for p in trial.parameters] == [c.name for c in configs]
            assert [p.type for p in trial.parameters] == [c.type for c in configs]
            for dimension, given in zip(checked, trial.parameters, strict=True):
                assert dimension.contains(given.value), given

    @EVERY_SPACE
    @pytest.mark.parametrize("objective", Objective)
    def test_whatever_happened_to_the_trials_there_are_more(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig], objective: Objective
    ) -> None:
        manager = self.after(algorithm, space, 18, optimization=objective)

        reply = manager.ask()

        assert len(reply.suggestions) == 3
        assert not reply.completed

    @EVERY_SPACE
    def test_trials_that_it_did_not_suggest_are_taken_in(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig]
    ) -> None:
        """As after a change of algorithm, or of the search space: of unknown names, kinds and ranges too."""
        manager = self.manager(algorithm, space, (MAX_PARALLEL.name, 2), (SUGGESTION_NUM.name, 1000))
        others = MiniManager(RandomSearch(), study(space, (MAX_PARALLEL.name, 20), max_trials=1000), outcome=troubled)
        others.ask()
        others.finish()
        manager.trials = [
            replace(t, parameters=parameters)
            for t in others.trials
            for parameters in (
                [tuple(reversed(t.parameters)), t.parameters[1:], (), _all_set_to(t.parameters, "1e9")][t.number % 4],
            )
        ]
        manager.others = True
        taken = {frozenset(t.parameters) for t in manager.trials}

        suggestions = manager.ask().suggestions

        assert len(suggestions) == 2
        if algorithm.history(check(algorithm, manager.spec)) is not History.NONE:
            assert not {frozenset(s.parameters) for s in suggestions} & taken

    @pytest.mark.parametrize("objective", Objective)
    def test_the_directions_mirror_each_other(self, algorithm: Algorithm, objective: Objective) -> None:
        there = self.after(algorithm, INFINITE, 13, optimization=objective)
        opposite = next(o for o in Objective if o is not objective)
        back = replace(
            there,
            spec=replace(there.spec, optimization=opposite),
            trials=[replace(t, objective=t.objective and -t.objective) for t in there.trials],
        )

        assert values(there.ask()) == values(back.ask())

    @pytest.mark.parametrize("count", [1, 50])
    def test_a_study_may_have_one_parameter_or_fifty(self, algorithm: Algorithm, count: int) -> None:
        space = [replace(INFINITE[2 + (i + 3) % 7], name=f"p{i}") for i in range(count)]
        manager = self.after(algorithm, space, 7)

        suggestions = manager.ask().suggestions

        assert len({s.parameters for s in suggestions}) == len(suggestions) == 3

    @pytest.mark.parametrize("count", [1, 2, 7, 20])
    def test_any_number_comes_at_once(self, algorithm: Algorithm, count: int) -> None:
        manager = self.manager(algorithm, INFINITE, (MAX_PARALLEL.name, count), (SUGGESTION_NUM.name, 100))

        assert len({s.parameters for s in manager.ask().suggestions}) == count

    # Statelessness

    def test_the_seed_alone_determines_the_trials(self, algorithm: Algorithm) -> None:
        own = [s for s in self.settings if s[0] != SEED.name]

        def trials(study_id: str, *seed: tuple[str, object]) -> list[tuple[Parameter, ...]]:
            spec = study((*BOWL, *self.extra), *own, *seed, (MAX_PARALLEL.name, 1), (SUGGESTION_NUM.name, 8))
            manager = MiniManager(algorithm, spec, study_id)
            manager.run()
            return [t.parameters for t in manager.trials]

        one, another = "a" * 16, "b" * 16
        assert trials(one, (SEED.name, 7)) == trials(another, (SEED.name, 7))
        assert (trials(one, (SEED.name, 7)) != trials(one, (SEED.name, 8))) is self.by_chance
        assert (trials(one) != trials(another)) is self.by_chance

    @EVERY_SPACE
    def test_the_same_request_gets_the_same_answer(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig]
    ) -> None:
        call = self.after(algorithm, space, 9).call()
        first = generate(algorithm, call)
        self.after(algorithm, FINITE, 3, name="another study in between")

        assert generate(algorithm, call) == first
        assert generate(plugins.find(GROUP, "algorithm", self.name), call) == first

    @pytest.mark.long
    def test_another_process_gives_the_same_answer(self, algorithm: Algorithm) -> None:
        calls = [self.after(algorithm, space, 9).call() for space in SPACES.values()]

        done = subprocess.run(
            [sys.executable, "-c", ANOTHER_PROCESS],
            input=pickle.dumps((self.name, calls)),
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": "12345"},
            timeout=240,  # it imports numerics and models three studies, perhaps on a machine with much else to do
            check=True,
        )

        assert done.stdout.decode() == repr([generate(algorithm, call) for call in calls])

    @EVERY_SPACE
    def test_the_order_in_which_trials_are_sent_does_not_matter(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig]
    ) -> None:
        call = self.after(algorithm, space, 12).call()
        finished, unfinished = list(call.finished), list(call.unfinished)
        random.Random(1).shuffle(finished)
        unfinished.reverse()

        shuffled = replace(call, finished=finished, unfinished=unfinished)

        assert generate(algorithm, shuffled) == generate(algorithm, call)

    # How many, and the end

    @pytest.mark.long
    @pytest.mark.parametrize("parallel", [1, 3, 0])
    @pytest.mark.parametrize("space", [FINITE, FINITE_LOG], ids=["finite", "finite with a log scale"])
    def test_a_finite_space_is_tried_without_repetition_until_it_is_exhausted(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig], parallel: int
    ) -> None:
        manager = self.manager(algorithm, space, (MAX_PARALLEL.name, parallel))
        size = SearchSpace.of(space).cardinality

        reply = manager.run()

        assert (reply.completed, reply.reason, reply.suggestions) == (True, StudyReason.EXHAUSTED, ())
        assert len({t.parameters for t in manager.trials}) == len(manager.trials) == size

    @pytest.mark.long
    @pytest.mark.parametrize("space", [FINITE, FINITE_LOG], ids=["finite", "finite with a log scale"])
    def test_what_others_left_of_a_finite_space_is_tried_without_repetition_until_it_is_exhausted(
        self, algorithm: Algorithm, space: Sequence[ParameterConfig]
    ) -> None:
        """They suggest by turns, and not each of theirs has ended when it is asked."""
        manager = self.manager(algorithm, space, (MAX_PARALLEL.name, 5), ("Seed", 1))
        manager.others = True
        checked = SearchSpace.of(manager.spec.parameters)
        random_numbers = random.Random(1)
        size = SearchSpace.of(space).cardinality
        assert size is not None

        for _ in range(size // 6):
            manager.ask()
            tried = {t.parameters for t in manager.trials}
            point = checked.from_unit([random_numbers.random() for _ in checked])
            if point not in tried:
                manager.add(Suggestion(point))
            manager.finish(most=5)
        manager.spec = self.manager(algorithm, space, (MAX_PARALLEL.name, 0), ("Seed", 1)).spec
        reply = manager.run()

        assert (reply.completed, reply.reason, reply.suggestions) == (True, StudyReason.EXHAUSTED, ())
        assert len({t.parameters for t in manager.trials}) == len(manager.trials)
        assert len({t.parameters[: len(space)] for t in manager.trials}) == size

    def test_an_exhausted_space_is_not_completed_while_a_trial_runs(self, algorithm: Algorithm) -> None:
        manager = self.manager(algorithm, FINITE, (MAX_PARALLEL.name, 0))
        while manager.ask().suggestions:
            manager.finish(most=5)

        assert [not t.state.finished for t in manager.trials].count(True) > 0
        assert not manager.ask().completed
        manager.finish()
        assert manager.ask().completed

    @pytest.mark.parametrize("parallel", [1, 2, 7, 50, 0])
    def test_a_study_gets_as_many_trials_as_it_asks_for(self, algorithm: Algorithm, parallel: int) -> None:
        manager = self.manager(algorithm, INFINITE, (SUGGESTION_NUM.name, 13), (MAX_PARALLEL.name, parallel))

        reply = manager.run()

        assert (reply.completed, reply.reason, reply.suggestions) == (True, StudyReason.MAX_TRIALS, ())
        assert len(manager.trials) == 13

    def test_no_more_run_at_once_than_the_study_allows(self, algorithm: Algorithm) -> None:
        manager = self.manager(algorithm, INFINITE, (SUGGESTION_NUM.name, 20), (MAX_PARALLEL.name, 4))
        for finished in itertools.cycle((1, 3, 2)):
            reply = manager.ask()
            assert sum(not t.state.finished for t in manager.trials) <= 4
            if reply.completed:
                break
            manager.finish(most=finished)

        assert len(manager.trials) == 20

    def test_the_limits_of_the_study_count_where_the_settings_say_nothing(self, algorithm: Algorithm) -> None:
        manager = self.manager(algorithm, INFINITE, limits=Limits(max_trials=5, max_parallel=2))

        assert len(manager.ask().suggestions) == 2
        assert manager.ask().suggestions == ()
        manager.finish()
        manager.run()
        assert len(manager.trials) == 5

    def test_the_settings_count_before_the_limits(self, algorithm: Algorithm) -> None:
        limits = Limits(max_trials=5, max_parallel=2)
        manager = self.manager(algorithm, INFINITE, ("MaxParallel", 7), ("SuggestionNum", 9), limits=limits)

        assert len(manager.ask().suggestions) == 7
        manager.finish()
        assert len(manager.ask().suggestions) == 2


def _all_set_to(parameters: Sequence[Parameter], value: str) -> tuple[Parameter, ...]:
    return tuple(replace(p, value=value) for p in parameters)
