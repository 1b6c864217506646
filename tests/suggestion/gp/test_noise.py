"""How much of what trials report is noise."""

import numpy as np
import pytest

from katib.domain.search_space import ParameterConfig, SearchSpace
from katib.suggestion.gp import noise
from katib.suggestion.gp.encoding import Encoding, Floats
from tests.suggestion.studies import BOWL, DOUBLE, parameter

SQUARE = tuple(parameter(n, DOUBLE, 0, 1) for n in "xy")


def rows(parameters: tuple[ParameterConfig, ...], count: int, seed: int = 0) -> Floats:
    encoding = Encoding(SearchSpace.of(parameters))
    rng = np.random.default_rng(seed)
    return encoding.snap(encoding.from_cube(rng.random((count, len(encoding)))))


def wave(x: Floats) -> Floats:
    return np.asarray(np.sin(5 * x[:, 0]) + x[:, 1] ** 2, dtype=np.float64)


@pytest.mark.parametrize("count", [200, 500])
@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_it_is_about_as_much_as_there_is(share: float, count: int) -> None:
    x = rows(SQUARE, count)
    truth = wave(x)
    y = truth + share * truth.std() * np.random.default_rng(1).normal(size=count)

    assert noise.deviation(SQUARE, x, y) == pytest.approx(share / np.hypot(1.0, share), rel=0.5)


@pytest.mark.parametrize("parameters", [SQUARE, BOWL])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-9, 0.0), (1e12, -1e12)])
def test_without_noise_it_is_next_to_nothing_on_any_scale(
    parameters: tuple[ParameterConfig, ...], scale: float, shift: float
) -> None:
    x = rows(parameters, 200)

    assert noise.deviation(parameters, x, scale * wave(x) + shift) < 0.005


def test_it_grows_with_what_there_is() -> None:
    x = rows(SQUARE, 200)
    dice = np.random.default_rng(2).normal(size=200)

    found = [noise.deviation(SQUARE, x, wave(x) + much * dice) for much in (0.0, 0.01, 0.03, 0.1, 0.3)]

    assert found == sorted(found)
    assert len(set(found)) == 5


def test_objectives_that_are_all_the_same_are_no_noise() -> None:
    x = rows(SQUARE, 200)

    assert 0.0 <= noise.deviation(SQUARE, x, np.ones(200)) < 1.0
