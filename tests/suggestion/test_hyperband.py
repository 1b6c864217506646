"""Hyperband: the brackets of the paper, whatever happens to the trials."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import ParameterConfig, Scale, SearchSpace
from katib.domain.study import Objective, StudyReason
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.hyperband import Hyperband
from katib.suggestion.base import Problem
from katib.suggestion.rungs.brackets import brackets
from katib.suggestion.rungs.resource import Resource
from katib.suggestion.service import check
from tests.suggestion.halving import EPOCHS, HalvingContract, best, configuration, curve, epochs, tag
from tests.suggestion.studies import BOWL, DOUBLE, INT, MiniManager, parameter, study

X = parameter("x", DOUBLE, 0, 1)


class TestHyperbandKeepsTheContract(HalvingContract):
    name = "hyperband"
    prefix = "HyperBand"


@pytest.mark.slow
class TestHyperbandWithAModelKeepsTheContract(HalvingContract):
    name = "hyperband"
    prefix = "HyperBand"
    settings = (*HalvingContract.settings, ("Model", "gp"))


def plan(resource: ParameterConfig, *settings: tuple[str, object]) -> dict[int, list[tuple[int, str]]]:
    """n_i and r_i of each bracket s."""
    spec = study((X, resource), ("ResourceName", resource.name), *settings)
    problem = Problem(spec, SearchSpace.of(spec.parameters), Hyperband.options.read(spec.settings, ""))
    found = brackets(Resource.of(problem))
    return {b.s: [(b.count(r.index) if r.index else b.size, r.value) for r in b.rungs] for b in found}


def of_epochs(most: int, *settings: tuple[str, object]) -> dict[int, list[tuple[int, str]]]:
    return plan(parameter("epochs", INT, 1, most), *settings)


class TestBrackets:
    def test_they_are_those_of_the_paper(self) -> None:
        assert of_epochs(81) == {
            4: [(81, "1"), (27, "3"), (9, "9"), (3, "27"), (1, "81")],
            3: [(34, "3"), (11, "9"), (3, "27"), (1, "81")],
            2: [(15, "9"), (5, "27"), (1, "81")],
            1: [(8, "27"), (2, "81")],
            0: [(5, "81")],
        }
        assert of_epochs(27) == {
            3: [(27, "1"), (9, "3"), (3, "9"), (1, "27")],
            2: [(12, "3"), (4, "9"), (1, "27")],
            1: [(6, "9"), (2, "27")],
            0: [(4, "27")],
        }

    @pytest.mark.parametrize("eta", [2, 3, 4, 5, 7, 10])
    @pytest.mark.parametrize("power", range(1, 9))
    def test_a_power_of_eta_has_as_many_brackets_as_that(self, eta: int, power: int) -> None:
        """Logarithms would say less: log(243) / log(3) is 4.999..."""
        assert max(of_epochs(eta**power, ("Eta", eta))) == power
        assert max(of_epochs(eta**power - 1, ("Eta", eta), ("R", eta**power - 1))) == power - 1 or eta**power == 2

    def test_what_is_no_power_of_eta_ends_with_the_whole_resource(self) -> None:
        found = of_epochs(100)

        assert found[4] == [(81, "1"), (27, "4"), (9, "11"), (3, "33"), (1, "100")]
        assert all(rungs[-1][1] == "100" for rungs in found.values())

    @pytest.mark.parametrize("eta", ["1.5", "2.5", "2.718281828", "3.7"])
    @pytest.mark.parametrize("most", [1, 2, 10, 100, 5000])
    def test_the_numbers_are_the_formulas_for_any_eta(self, eta: str, most: int) -> None:
        exact = Fraction(eta)
        found = plan(parameter("epochs", DOUBLE, 1, 5000), ("R", most), ("Eta", eta))
        steps = max(found)

        assert exact**steps <= most < exact ** (steps + 1)
        for s, rungs in found.items():
            n = math.ceil(Fraction(steps + 1, s + 1) * exact**s)
            assert rungs == [(math.floor(n / exact**i), repr(float(most / exact ** (s - i)))) for i in range(s + 1)]
            assert rungs[-1][0] >= 1

    def test_rungs_whose_resource_is_one_value_are_one(self) -> None:
        tens = parameter("epochs", INT, 1, 81, step=10)

        assert plan(tens)[4] == [(81, "1"), (9, "11"), (3, "31"), (1, "81")]

    def test_a_share_of_the_data_is_a_resource_too(self) -> None:
        share = parameter("share", DOUBLE, "0.1", 1, scale=Scale.LOG)

        assert [r for _, r in plan(share, ("MinResource", "0.125"), ("Eta", 2))[3]] == ["0.125", "0.25", "0.5", "1.0"]
        assert max(plan(share)) == 2  # from a ninth
        assert plan(parameter("share", DOUBLE, "0.01", "0.5"), ("Eta", 5))[2][0] == (25, "0.02")

    def test_the_minimum_of_the_parameter_leaves_brackets_out(self) -> None:
        assert max(plan(parameter("epochs", INT, 9, 81))) == 2
        assert max(of_epochs(81, ("MinResource", 27))) == 1
        assert plan(parameter("epochs", INT, 0, 9))[2][0] == (9, "1")

    def test_a_resource_of_one_value_is_random_search_for_a_trial(self) -> None:
        assert plan(parameter("epochs", INT, 5, 5)) == {0: [(1, "5")]}

    def test_a_sweep_of_one_trial_says_why(self) -> None:
        spec = study((*BOWL, parameter("epochs", INT, 10, 25)), ("ResourceName", "epochs"), ("SuggestionNum", 50))
        manager = MiniManager(Hyperband(), spec)

        asked = manager.ask()
        manager.finish()

        assert len(asked.suggestions) == 1
        assert "R is less than Eta times MinResource" in asked.note
        assert manager.ask().note == asked.note


Outcome = Callable[[Trial], tuple[TrialState, float | None]]


def sweep(
    *settings: tuple[str, object],
    outcome: Outcome = lambda t: (TrialState.COMPLETED, float(t.parameters[0].value)),
    portions: Sequence[int] = (10**9,),
    most: int = 27,
    **fields: object,
) -> MiniManager:
    spec = study(
        (X, parameter("epochs", INT, 1, most)),
        ("ResourceName", "epochs"),
        ("Seed", 1),
        *settings,
        **fields,  # type: ignore[arg-type]
    )
    manager = MiniManager(Hyperband(), spec, outcome=outcome)
    for i in range(10_000):
        reply = manager.ask()
        if reply.completed:
            assert reply.reason == StudyReason.SWEPT
            assert all(t.state.finished for t in manager.trials)
            return manager
        assert any(not t.state.finished for t in manager.trials)
        manager.finish(most=portions[i % len(portions)])
    raise AssertionError("it does not end")


def rungs(manager: MiniManager) -> dict[int, list[tuple[int, str]]]:
    """As `plan` says them, of the trials that there were."""
    counts = Counter((int(tag(t, "s")), int(tag(t, "r")), t.parameters[1].value) for t in manager.trials)
    return {
        s: [(n, value) for (of, _, value), n in sorted(counts.items()) if of == s]
        for s in sorted({s for s, _, _ in counts}, reverse=True)
    }


class TestSweep:
    @pytest.mark.parametrize("parallel", [1, 3, 10, 0])
    @pytest.mark.parametrize("portions", [(10**9,), (1, 3, 2)])
    def test_each_rung_has_exactly_its_trials(self, parallel: int, portions: Sequence[int]) -> None:
        manager = sweep(("MaxParallel", parallel), portions=portions)

        assert rungs(manager) == of_epochs(27)
        assert len(manager.trials) == 69

    @pytest.mark.parametrize("objective", Objective)
    def test_the_best_of_a_rung_go_on(self, objective: Objective) -> None:
        manager = sweep(("MaxParallel", 5), optimization=objective)

        sign = 1 if objective is Objective.MINIMIZE else -1
        for s, plan_of_s in of_epochs(27).items():
            for (_, value), (count, above) in pairwise(plan_of_s):
                here, there = (
                    [t for t in manager.trials if tag(t, "s") == str(s) and t.parameters[1].value == v]
                    for v in (value, above)
                )
                best = sorted(here, key=lambda t: sign * float(t.parameters[0].value))[:count]
                assert {configuration(t) for t in there} == {configuration(t) for t in best}

    def test_slots_are_used_by_further_brackets_while_a_rung_is_waited_for(self) -> None:
        """One trial takes longer than all others together: trial 1, of the first rung."""
        spec = study((X, parameter("epochs", INT, 1, 27)), ("ResourceName", "epochs"), ("MaxParallel", 4))
        manager = MiniManager(Hyperband(), spec, outcome=lambda t: (TrialState.COMPLETED, 1.0))
        while manager.ask().suggestions:
            running = [t for t in manager.trials if not t.state.finished]
            assert running[0].number == 1
            slow, manager.trials = manager.trials[0], manager.trials[1:]
            manager.finish(most=1)
            manager.trials = [slow, *manager.trials]

        # Everything but what waits for trial 1: the rungs above it.
        while sum(not t.state.finished for t in manager.trials) > 1:
            slow, manager.trials = manager.trials[0], manager.trials[1:]
            manager.finish()
            manager.trials = [slow, *manager.trials]
            manager.ask()
        assert {s: r for s, r in rungs(manager).items() if s != 3} == {s: r for s, r in of_epochs(27).items() if s != 3}
        assert rungs(manager)[3] == [(27, "1")]
        assert not manager.ask().completed
        manager.finish()
        assert len(manager.ask().suggestions) == 4

    @pytest.mark.parametrize("seed", range(5))
    def test_failures_at_random_change_no_rung(self, seed: int) -> None:
        """Of a rung's trials a third may go on, and more come to a number."""
        dice = random.Random(seed)

        def outcome(trial: Trial) -> tuple[TrialState, float | None]:
            if epochs(trial) > 3 or dice.random() > 0.3:
                return TrialState.COMPLETED, float(trial.parameters[0].value)
            return dice.choice(
                [
                    (TrialState.ERROR, None),
                    (TrialState.ERROR, -1.0),
                    (TrialState.KILLED, -1.0),
                    (TrialState.COMPLETED, math.nan),
                    (TrialState.COMPLETED, -math.inf),
                ]
            )

        manager = sweep(("MaxParallel", 4), outcome=outcome, portions=(1, 2))

        assert rungs(manager) == of_epochs(27)
        lost = [t for t in manager.trials if t.objective is None or t.objective < 0 or math.isnan(t.objective)]
        assert lost
        for trial in lost:
            same = [t for t in manager.trials if tag(t, "BracketID") == tag(trial, "BracketID")]
            assert epochs(trial) == max(map(epochs, same))

    def test_where_fewer_come_to_a_number_fewer_go_on(self) -> None:
        def outcome(trial: Trial) -> tuple[TrialState, float | None]:
            if tag(trial, "s") == "3" and trial.number % 9:
                return TrialState.ERROR, None
            return TrialState.COMPLETED, float(trial.parameters[0].value)

        assert rungs(sweep(("MaxParallel", 1), outcome=outcome))[3] == [(27, "1"), (3, "3")]

    def test_a_sweep_of_failures_ends(self) -> None:
        manager = sweep(("MaxParallel", 4), outcome=lambda t: (TrialState.ERROR, None))

        assert rungs(manager) == {s: r[:1] for s, r in of_epochs(27).items()}

    def test_of_equals_the_first_go_on(self) -> None:
        manager = sweep(("MaxParallel", 1), outcome=lambda t: (TrialState.COMPLETED, 1.0))

        assert [tag(t, "BracketID") for t in manager.trials if tag(t, "s") == "3"][27:] == [
            *map(str, range(1, 10)),
            *map(str, range(1, 4)),
            "1",
        ]

    def test_merged_rungs_select_as_much_as_those_they_stand_for(self) -> None:
        spec = study((X, parameter("epochs", INT, 1, 81, step=10)), ("ResourceName", "epochs"), ("MaxParallel", 0))
        manager = MiniManager(Hyperband(), spec)
        manager.run()

        assert rungs(manager)[4] == [(81, "1"), (9, "11"), (3, "31"), (1, "81")]

    def test_a_bracket_for_which_the_space_is_too_small_takes_what_there_is(self) -> None:
        space = (parameter("x", INT, 1, 30), parameter("epochs", INT, 1, 27))
        spec = study(space, ("ResourceName", "epochs"), ("MaxParallel", 4))
        manager = MiniManager(Hyperband(), spec)

        assert manager.run().reason == StudyReason.EXHAUSTED
        assert rungs(manager) == {
            3: [(27, "1"), (9, "3"), (3, "9"), (1, "27")],
            2: [(3, "3"), (1, "9"), (1, "27")],
        }

    def test_a_setting_of_0_1_may_be_a_decimal(self) -> None:
        assert rungs(sweep(("R", "27.0"), ("Eta", "3.0"))) == of_epochs(27)

    def test_it_ends_by_itself_so_needs_no_other_end(self) -> None:
        check(Hyperband(), study((X, EPOCHS), ("ResourceName", "epochs")))
        with pytest.raises(InvalidArgumentError):
            check(Hyperband(), study((X, EPOCHS)))


@pytest.mark.slow
def test_with_a_model_it_finds_better_ones_than_without() -> None:
    """By chance alone it would win all six pairs once in 64 times."""
    for seed in range(6):
        found = []
        for model in ("gp", "none"):
            spec = study(
                (*BOWL, EPOCHS),
                ("ResourceName", "epochs"),
                ("R", 27),
                ("Seed", seed),
                ("Model", model),
                ("MaxParallel", 2),
            )
            manager = MiniManager(Hyperband(), spec, outcome=curve)
            manager.run()
            found.append(best(manager))
        assert found[0] < found[1]


@pytest.mark.long
def test_a_model_leaves_a_share_of_the_configurations_random() -> None:
    """Those are the same as without a model: about a third, and all until a rung has enough trials."""
    without, own = (
        sweep(("Model", model), ("MaxParallel", 1), outcome=lambda t: (TrialState.COMPLETED, abs(x_of(t) - 0.3)))
        for model in ("none", "gp")
    )

    same = [a.parameters == b.parameters for a, b in zip(without.trials, own.trials, strict=True)][:27]
    assert all(same[:4])
    assert 3 <= sum(same[4:]) <= 14
    by_model = [abs(x_of(t) - 0.3) for t, random in zip(own.trials, same, strict=False) if not random]
    assert sorted(by_model)[len(by_model) // 2] < 0.1


def x_of(trial: Trial) -> float:
    return float(trial.parameters[0].value)
