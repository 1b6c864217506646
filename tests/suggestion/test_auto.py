"""auto: the contract, what it chooses, and that it says so."""

from dataclasses import replace

import pytest

from katib.domain.errors import InvalidArgumentError
from katib.domain.study import Limits, StudyReason, StudySpec
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.auto import CHOSEN, Auto
from katib.suggestion.algorithms.bayesianoptimization import BayesianOptimization
from katib.suggestion.service import Call, check, generate
from tests.suggestion.learning import LearningContract
from tests.suggestion.studies import (
    BOWL,
    CATEGORICAL,
    DOUBLE,
    INT,
    STUDY_ID,
    MiniManager,
    bowl,
    parameter,
    study,
    values,
)


@pytest.mark.slow
class TestAutoKeepsTheContract(LearningContract):
    name = "auto"
    settings = (("Seed", 1),)


CHOICES = (BOWL[0], *(parameter(n, CATEGORICAL, values=("a", "b", "c")) for n in ("x", "y")))
WIDE = tuple(parameter(f"x{i}", DOUBLE, 0, 1) for i in range(51))
WIDE_CHOICES = (*(parameter(f"c{i}", CATEGORICAL, values=("a", "b", "c")) for i in range(26)), *WIDE[:25])


def _bowl(trial: Trial) -> tuple[TrialState, float | None]:
    return bowl(replace(trial, parameters=trial.parameters[:4]))


EPOCHS = (*BOWL, parameter("epochs", INT, 1, 27))


def limited(trials: int | None, parallel: int | None, *settings: tuple[str, object]) -> StudySpec:
    return study(BOWL, *settings, limits=Limits(max_trials=trials, max_parallel=parallel))


def note(spec: StudySpec) -> str:
    assert check(Auto(), spec)
    return generate(Auto(), Call(STUDY_ID, spec, 0, 0)).note


class TestChoice:
    @pytest.mark.long
    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            (
                limited(100, 4),
                "auto uses bayesianoptimization: of 100 trials each is worth a model of all those before",
            ),
            (limited(1000, 500), "auto uses bayesianoptimization: "),
            (limited(3, 3), "auto uses sobol: 3 trials may run at once, so none can be learned from"),
            (limited(1, 3), "auto uses sobol: 1 trial may run at once, so none"),
            (limited(100, 100), "auto uses sobol: 100 trials may run at once, so none can be learned from"),
            (limited(100, 99), "auto uses bayesianoptimization: of 100 trials each is worth a model of all those"),
            (
                limited(100, None),
                "auto uses sobol: all trials run at once, so none can be learned from; max_parallel wo",
            ),
            (
                limited(1300, 100),
                "auto uses bayesianoptimization: of the first 1000 trials each is worth a model of all those before",
            ),
            (limited(1299, 500), "auto uses bayesianoptimization: of 1299 trials each is worth a model of all those"),
            (study(BOWL, ("MaxParallel", 4), goal=0.1), "auto uses bayesianoptimization: of the first 1000 trials "),
            (
                limited(5000, 101),
                "auto uses cmaes: 5000 trials want an answer at once however many there are, and suffice",
            ),
            (
                limited(1300, 101),
                "auto uses tpe: 1300 trials want an answer at once, and 101 at a time leave too few gen",
            ),
            (study(BOWL, ("MaxParallel", 101), goal=0.1), "auto uses cmaes: trials without a limit want an answer at"),
            (
                study(CHOICES, ("MaxParallel", 101), max_trials=5000),
                "auto uses tpe: 5000 trials want an answer at once however many there are, and most parameters are ch",
            ),
            (
                study(WIDE, ("MaxParallel", 2), max_trials=1300),
                "auto uses cmaes: 1300 trials want an answer at once however many there are, and suffice",
            ),
            (study(WIDE, ("MaxParallel", 2), max_trials=100), "auto uses bayesianoptimization: of 100 trials each is"),
            (
                study(WIDE_CHOICES, ("MaxParallel", 2), max_trials=100),
                "auto uses tpe: 51 parameters, most of them choices, are too many for a Gaussian process",
            ),
            (study(EPOCHS, ("ResourceName", "epochs"), max_trials=100), "auto uses asha: epochs says how much a trial"),
            (
                limited(5, 5, ("SuggestionNum", 100), ("MaxParallel", 2)),
                "auto uses bayesianoptimization: of 100 trials",
            ),
            (limited(100, 5, ("MaxParallel", 0)), "auto uses sobol: all trials run at once"),
        ],
        ids=lambda value: value[10:16] if isinstance(value, str) else "",
    )
    def test_it_follows_from_what_the_study_says_of_itself(self, spec: StudySpec, said: str) -> None:
        assert note(spec).startswith(said)

    def test_for_studies_of_clients_only_the_limits_of_the_study_count(self) -> None:
        """Their settings are made for each question: as many at once, and in all, as there are now and are asked for."""
        asked = (("MaxParallel", 3), ("SuggestionNum", 3))

        assert note(study(BOWL, *asked, algorithm="", limits=Limits(max_trials=80))).startswith(
            "auto uses bayesianoptimization: of 80 trials"
        )
        assert note(study(BOWL, *asked, algorithm="", limits=Limits(max_trials=9, max_parallel=9))).startswith(
            "auto uses sobol: 9 trials may run at once"
        )

    @pytest.mark.long
    def test_what_begins_when_the_first_round_has_ended_learns_from_it(self) -> None:
        """Of 24 trials, 16 at once, the last eight find more than the sixteen before, in nine studies of ten or more."""
        better = 0
        for seed in range(10):
            manager = MiniManager(Auto(), limited(24, 16, ("Seed", seed)), outcome=bowl)
            manager.run()
            found = [t.objective for t in manager.trials]
            assert len(found) == 24
            better += min(found[16:]) < min(found[:16])

        assert better >= 9

    def test_it_takes_what_there_is_when_a_change_of_limits_makes_it_another(self) -> None:
        spec = limited(12, 12)
        manager = MiniManager(Auto(), spec, outcome=bowl)
        assert manager.ask().note.startswith("auto uses sobol")
        manager.finish()
        manager.spec = limited(40, 2)

        reply = manager.ask()

        assert reply.note.startswith("auto uses bayesianoptimization")
        assert len(reply.suggestions) == 2
        assert [{t.name: t.value for t in s.tags}[CHOSEN] for s in reply.suggestions] == ["bayesianoptimization"] * 2
        assert {t.value for trial in manager.trials[:12] for t in trial.tags if t.name == CHOSEN} == {"sobol"}
        assert not {s.parameters for s in reply.suggestions} & {t.parameters for t in manager.trials[:12]}

    @pytest.mark.long
    @pytest.mark.parametrize("seed", [1, 2])
    def test_of_finitely_many_points_none_is_tried_twice_nor_left_out_by_another_choice(self, seed: int) -> None:
        few = (parameter("n", INT, 1, 6), parameter("o", CATEGORICAL, values=("a", "b")))
        spec = study(few, ("Seed", seed), limits=Limits(max_trials=100, max_parallel=1))
        manager = MiniManager(Auto(), spec)
        for _ in range(6):
            assert manager.ask().note.startswith("auto uses bayesianoptimization")
            manager.finish()
        manager.spec = replace(spec, limits=Limits(max_trials=100, max_parallel=100))

        assert manager.ask().note.startswith("auto uses sobol")
        manager.finish()

        assert manager.run().reason is StudyReason.EXHAUSTED
        assert len(manager.trials) == len({t.parameters for t in manager.trials}) == 12

    @pytest.mark.long
    def test_a_resource_has_its_tags_and_its_settings(self) -> None:
        spec = study(EPOCHS, ("ResourceName", "epochs"), ("R", 9), ("MaxParallel", 2), max_trials=100)
        manager = MiniManager(Auto(), spec, outcome=_bowl)

        manager.ask()
        manager.finish()
        for _ in range(12):
            manager.ask()
            manager.finish()

        epochs = {t.parameters[-1].value for t in manager.trials}
        assert epochs == {"1", "3", "9"}
        assert all(any(t.name.startswith("ASHA_") for t in trial.tags) for trial in manager.trials)

    @pytest.mark.parametrize("name", ["R", "Eta", "MinResource"])
    def test_a_setting_of_a_resource_without_its_name_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check(Auto(), study(EPOCHS, ("Seed", 1), (name, 2), max_trials=10))

        (violation,) = caught.value.violations
        assert violation.field == "study_config.suggestion_parameters[1].name"
        assert violation.expected == "expected ResourceName beside it"

    def test_a_resource_that_is_none_is_refused_by_the_algorithm_that_would_use_it(self) -> None:
        with pytest.raises(
            InvalidArgumentError, match="expected the name of a DOUBLE or INT parameter for ResourceName"
        ):
            check(Auto(), study(EPOCHS, ("ResourceName", "nothing"), max_trials=10))

    def test_a_study_that_nothing_would_end_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="the search space is infinite"):
            check(Auto(), study(BOWL))


def test_it_suggests_what_the_algorithm_that_it_uses_would() -> None:
    spec = limited(50, 4, ("Seed", 7))

    assert values(generate(Auto(), Call(STUDY_ID, spec, 0, 0))) == values(
        generate(BayesianOptimization(), Call(STUDY_ID, spec, 0, 0))
    )
