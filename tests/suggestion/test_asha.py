"""ASHA: who is among the best of its rung so far goes on, without waiting for the rung."""

import math
from collections import Counter
from collections.abc import Sequence

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import SearchSpace
from katib.domain.study import Objective, StudyReason
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.asha import Asha, amounts
from katib.suggestion.base import Problem
from katib.suggestion.rungs.configurations import MODELLED
from katib.suggestion.rungs.resource import Resource
from katib.suggestion.service import check
from tests.suggestion.halving import EPOCHS, HalvingContract, configuration, epochs, tag
from tests.suggestion.studies import DOUBLE, INT, MiniManager, parameter, study

X = parameter("x", DOUBLE, 0, 1)


class TestAshaKeepsTheContract(HalvingContract):
    name = "asha"
    prefix = "ASHA"


@pytest.mark.slow
class TestAshaWithAModelKeepsTheContract(HalvingContract):
    name = "asha"
    prefix = "ASHA"
    settings = (*HalvingContract.settings, ("Model", "gp"))


def asha(*settings: tuple[str, object], trials: int = 200, parallel: int = 1, **fields: object) -> MiniManager:
    spec = study(
        (X, EPOCHS),
        ("ResourceName", "epochs"),
        ("Seed", 1),
        ("MaxParallel", parallel),
        *settings,
        max_trials=trials,
        **fields,
    )
    return MiniManager(Asha(), spec, outcome=lambda t: (TrialState.COMPLETED, float(t.parameters[0].value)))


def rungs(manager: MiniManager) -> dict[float, list[Trial]]:
    return {e: [t for t in manager.trials if epochs(t) == e] for e in sorted({epochs(t) for t in manager.trials})}


def values_of(low: object, high: object, *settings: tuple[str, object]) -> list[str]:
    spec = study((X, parameter("epochs", INT, low, high)), ("ResourceName", "epochs"), *settings)
    problem = Problem(spec, SearchSpace.of(spec.parameters), Asha.options.read(spec.settings, ""))
    return amounts(Resource.of(problem))


class TestRungs:
    @pytest.mark.parametrize(
        ("low", "high", "settings", "expected"),
        [
            (1, 81, (), ["1", "3", "9", "27", "81"]),
            (1, 243, (), ["1", "3", "9", "27", "81", "243"]),
            (1, 100, (), ["1", "3", "9", "27", "100"]),
            (2, 81, (), ["2", "6", "18", "81"]),
            (0, 9, (), ["1", "3", "9"]),
            (1, 81, (("R", 20), ("MinResource", 5), ("Eta", 2)), ["5", "10", "20"]),
            (1, 2, (("Eta", "1.5"),), ["1", "2"]),
            (7, 7, (), ["7"]),
        ],
    )
    def test_the_resource_grows_by_eta_up_to_its_maximum(
        self, low: int, high: int, settings: Sequence[tuple[str, object]], expected: list[str]
    ) -> None:
        assert values_of(low, high, *settings) == expected

    def test_one_after_another_promotes_as_soon_as_a_third_is_more_than_nothing(self) -> None:
        manager = asha(trials=13)

        manager.run()

        assert [epochs(t) for t in manager.trials] == [1, 1, 1, 3, 1, 1, 1, 3, 1, 1, 1, 3, 9]
        first = min(manager.trials[:3], key=lambda t: float(t.parameters[0].value))
        assert configuration(manager.trials[3]) == configuration(first)

    @pytest.mark.long
    @pytest.mark.parametrize("objective", Objective)
    @pytest.mark.parametrize("parallel", [1, 7])
    def test_whoever_goes_on_is_among_the_best_of_its_rung_at_that_time(
        self, objective: Objective, parallel: int
    ) -> None:
        manager = asha(parallel=parallel, optimization=objective)
        sign = 1 if objective is Objective.MINIMIZE else -1
        promoted = 0
        while True:
            before = list(manager.trials)
            if manager.ask().completed:
                break
            for trial in manager.trials[len(before) :]:
                if epochs(trial) == 1:
                    continue
                promoted += 1
                below = [t for t in before if t.state.finished and epochs(t) == epochs(trial) / 3]
                best = sorted(below, key=lambda t: sign * float(t.parameters[0].value))[: len(below) // 3]
                assert configuration(trial) in map(configuration, best)
            manager.finish(most=2)

        assert promoted > 40
        counts = [len(trials) for trials in rungs(manager).values()]
        assert len(counts) == 5
        assert counts == sorted(counts, reverse=True)

    def test_the_highest_rung_goes_first(self) -> None:
        manager = asha(parallel=9)
        while len(rungs(manager).get(3.0, ())) < 9:
            manager.ask()
            manager.finish()
        manager.spec = asha().spec

        manager.ask()

        assert epochs(manager.trials[-1]) == 9

    @pytest.mark.long
    def test_with_a_model_many_come_in_portions_of_few_that_it_suggests(self) -> None:
        manager = asha(("Model", "gp"), trials=1000, parallel=30)
        manager.ask()
        manager.finish()
        manager.spec = asha(("Model", "gp"), trials=1000, parallel=0).spec
        for _ in range(3):
            # A third is at random, and whoever may go on does.
            assert MODELLED < len(manager.ask().suggestions) < 3 * MODELLED + 10

    def test_nobody_waits(self) -> None:
        """The first trial never ends; all other slots are used all the time."""
        manager = asha(parallel=4)
        for _ in range(60):
            manager.ask()
            assert sum(not t.state.finished for t in manager.trials) == 4
            slow, manager.trials = manager.trials[0], manager.trials[1:]
            manager.finish(most=1)
            manager.trials = [slow, *manager.trials]

        assert max(rungs(manager)) >= 27

    @pytest.mark.long
    def test_failures_count_in_their_rung_and_never_go_on(self) -> None:
        manager = asha(parallel=3)
        manager.outcome = lambda t: [
            (TrialState.ERROR, None),
            (TrialState.COMPLETED, math.nan),
            (TrialState.KILLED, -1.0),
            (TrialState.COMPLETED, float(t.parameters[0].value)),
        ][t.number % 4]
        manager.run()

        by_id = Counter(tag(t, "BracketID") for t in manager.trials)
        for trial in manager.trials:
            if trial.number % 4 != 3:
                later = [t for t in manager.trials if tag(t, "BracketID") == tag(trial, "BracketID")]
                assert epochs(trial) == max(map(epochs, later))
        assert max(by_id.values()) > 1
        assert len(rungs(manager)[3.0]) <= len(rungs(manager)[1.0]) // 3 + 1


class TestBrackets:
    @pytest.mark.long
    def test_more_brackets_begin_higher_with_the_shares_of_hyperband(self) -> None:
        manager = asha(("Brackets", 3), parallel=10, trials=1500)
        manager.outcome = lambda t: (TrialState.ERROR, None)
        manager.run()

        begun = Counter((int(tag(t, "s")), epochs(t)) for t in manager.trials)

        assert set(begun) == {(0, 1.0), (1, 3.0), (2, 9.0)}
        for (bracket, _), count in begun.items():
            share = [81, 34, 15][bracket] / 130
            assert abs(count - 1500 * share) < 4 * math.sqrt(1500 * share * (1 - share))

    @pytest.mark.long
    def test_each_has_rungs_of_its_own(self) -> None:
        manager = asha(("Brackets", 5), parallel=5, trials=400)
        manager.run()

        for bracket in range(4):
            of = [t for t in manager.trials if tag(t, "s") == str(bracket)]
            assert min(map(epochs, of)) == 3**bracket
            assert len({epochs(t) for t in of}) > 1
            assert all(float(tag(t, "r")) == 3 ** (int(tag(t, "shi")) - 1) for t in of)

    def test_more_than_there_are_rungs_are_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match=r"\[1\]\.value.*expected at most 5 for Brackets"):
            check(Asha(), study((X, EPOCHS), ("ResourceName", "epochs"), ("Brackets", 6), max_trials=5))


class TestAnEnd:
    def test_infinitely_many_configurations_need_one(self) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check(Asha(), study((X, EPOCHS), ("ResourceName", "epochs")))

        assert caught.value.violations[0].field == "study_config.max_trials"

    def test_finitely_many_are_one_whatever_the_resource(self) -> None:
        space = (parameter("x", INT, 1, 9), parameter("hours", DOUBLE, 1, 9))
        manager = MiniManager(Asha(), study(space, ("ResourceName", "hours"), ("MaxParallel", 2)))

        assert manager.run().reason == StudyReason.EXHAUSTED
        assert Counter(t.parameters[1].value for t in manager.trials) == {"1.0": 9, "3.0": 3, "9.0": 1}
