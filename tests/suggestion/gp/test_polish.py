"""The last digits of a known optimum: left alone while there is another one to find, and looked for at the end."""

import numpy as np
import pytest

from katib.domain.search_space import ParameterConfig
from katib.domain.trial import Trial, TrialState
from katib.suggestion.algorithms.bayesianoptimization import BayesianOptimization
from katib.suggestion.gp.history import Past
from katib.suggestion.gp.optimizer import Optimizer, Style
from tests.suggestion.gp.spaces import CUBE, encoding_of
from tests.suggestion.studies import DOUBLE, INT, MiniManager, parameter, study, values

STEPS = [parameter(f"n{i}", INT, 1, 9) for i in range(3)]


def _promised(space: list[ParameterConfig], style: Style, number: int) -> list[float]:
    """What some rows promise for trial `number` of a search that knows a bowl's bottom well."""
    encoding = encoding_of(space)
    rng = np.random.default_rng(0)
    x = encoding.snap(0.5 + rng.normal(0.0, 0.2, (20, 3)).clip(-0.5, 0.5))
    y = np.asarray(((x - 0.5) ** 2).sum(axis=1), dtype=np.float64)
    past = Past(x, y, np.empty((0, 3)), np.empty((0, 3)), frozenset())
    rows = encoding.snap(rng.random((10, 3)))
    return Optimizer(encoding, past, 1, style).landscape(number).values(rows).tolist()


class TestAnyImprovementCounts:
    @pytest.mark.parametrize("number", [92, 94, 100])
    def test_in_every_second_one_of_the_last_tenth_of_trials(self, number: int) -> None:
        any_counts, some_do = (_promised(CUBE, Style(trade_off=least), number) for least in (0.0, 0.002))

        assert _promised(CUBE, Style(trials=100), number) == any_counts != some_do

    @pytest.mark.parametrize(
        ("space", "style", "number"),
        [
            pytest.param(CUBE, Style(trials=100), 90, id="not before"),
            pytest.param(CUBE, Style(trials=100), 93, id="not in those between"),
            pytest.param(CUBE, Style(), 100, id="not where nobody knows which is the last"),
            pytest.param(STEPS, Style(trials=100), 100, id="not where all numbers have steps"),
        ],
    )
    def test_in_no_others(self, space: list[ParameterConfig], style: Style, number: int) -> None:
        assert _promised(space, style, number) == _promised(space, Style(trade_off=0.002), number)

    def test_in_no_study_that_has_no_max_trials(self) -> None:
        """A client may ask for as many as it likes, and to each of its questions a setting says how far that one goes."""
        known = MiniManager(BayesianOptimization(), study(CUBE, ("SuggestionNum", 15), ("MaxParallel", 1), ("Seed", 0)))
        known.run()

        def asked(upto: int, limit: int | None) -> list[tuple[str, ...]]:
            spec = study(CUBE, ("SuggestionNum", upto), ("MaxParallel", 1), ("Seed", 0), max_trials=limit)
            return values(MiniManager(BayesianOptimization(), spec, trials=list(known.trials)).ask())

        assert asked(16, None) == asked(1000, None) != asked(16, 16)

    def test_unless_the_study_says_what_does(self) -> None:
        style = Style(trials=100, trade_off=0.1)

        assert _promised(CUBE, style, 100) == _promised(CUBE, Style(trade_off=0.1), 100)

    @pytest.mark.parametrize("mode", ["pi", "lcb"])
    def test_of_the_expected_one_alone(self, mode: str) -> None:
        assert _promised(CUBE, Style(trials=100, mode=mode), 100) == _promised(CUBE, Style(mode=mode), 100)


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_last_trials_of_a_study_come_much_nearer_to_the_bottom_of_a_bowl(seed: int) -> None:
    def bowl(trial: Trial) -> tuple[TrialState, float]:
        places = np.array([float(p.value) for p in trial.parameters])
        return TrialState.COMPLETED, float(((places - [0.3, 0.6, 0.45]) ** 2).sum())

    space = [parameter(f"x{i}", DOUBLE, 0, 1) for i in range(3)]
    settings = (("MaxParallel", 1), ("Seed", seed))
    manager = MiniManager(BayesianOptimization(), study(space, *settings, max_trials=40), outcome=bowl)
    manager.run()

    found = [t.objective for t in manager.trials if t.objective is not None]
    assert len(found) == 40
    assert min(found) < 0.1 * min(found[:36])
