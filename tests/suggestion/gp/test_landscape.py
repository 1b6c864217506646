"""What is maximised: the mean over models, with failures; its slopes must be its own."""

from dataclasses import replace

import numpy as np
import pytest

from katib.domain.search_space import SearchSpace
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.history import Past
from katib.suggestion.gp.optimizer import Landscape, Optimizer, Style
from tests.suggestion.studies import DOUBLE, parameter


@pytest.mark.parametrize(("failures", "running"), [(0, 0), (6, 0), (0, 2)])
@pytest.mark.parametrize("mode", ["ei", "pi", "lcb"])
def test_its_slopes_are_those_of_differences(failures: int, running: int, mode: str) -> None:
    encoding = Encoding(SearchSpace.of([parameter(f"x{i}", DOUBLE, 0, 1) for i in range(3)]))
    rng = np.random.default_rng(0)
    x = rng.random((20, 3))
    y = np.asarray(((x - 0.3) ** 2).sum(axis=1), dtype=np.float64)
    past = Past(x, y, rng.random((failures, 3)) * 0.5, rng.random((running, 3)), frozenset())
    optimizer = Optimizer(encoding, past, 1, Style(mode=mode))

    landscape = optimizer.landscape(1)

    rows = rng.random((5, 3))
    found = landscape.slopes(rows)
    assert found is not None
    assert found[0] == pytest.approx(landscape.values(rows))
    assert found[1] == pytest.approx(_differences(landscape, rows), rel=2e-3, abs=1e-4)


def test_a_suggestion_of_the_same_answer_counts_to_the_last_digit_as_it_will_be_read_of_its_trial() -> None:
    """A place in the range that is made a value and a place again comes back with another last digit, now and then."""
    encoding = Encoding(SearchSpace.of([parameter(f"x{i}", DOUBLE, "-0.5", "0.9") for i in range(6)]))
    rng = np.random.default_rng(0)
    x = rng.random((12, 6))
    past = Past(x, np.asarray(x.sum(axis=1)), np.empty((0, 6)), np.empty((0, 6)), frozenset())
    style = Style(burn_in=1000)
    one_answer = Optimizer(encoding, past, 1, style)
    parameters = [encoding.parameters(one_answer.next_row(number)) for number in range(1, 9)]

    next_question = Optimizer(encoding, replace(past, pending=encoding.rows(parameters)[0]), 1, style)

    rows = rng.random((50, 6))
    assert (one_answer.landscape(9).values(rows) == next_question.landscape(9).values(rows)).all()


def _differences(landscape: Landscape, rows: Floats, step: float = 1e-6) -> Floats:
    out = np.empty_like(rows)
    for i in range(rows.shape[1]):
        off = np.zeros_like(rows)
        off[:, i] = step
        out[:, i] = (landscape.values(rows + off) - landscape.values(rows - off)) / (2 * step)
    return out
