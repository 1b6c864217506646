"""What is maximised: the mean over models, with failures; its slopes must be its own."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from katib.domain.search_space import SearchSpace
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.history import Past
from katib.suggestion.gp.optimizer import Landscape, Optimizer, Style
from tests.suggestion.studies import CATEGORICAL, DOUBLE, parameter


@pytest.mark.parametrize(("failures", "running"), [(0, 0), (6, 0), (0, 2)])
@pytest.mark.parametrize("mode", ["ei", "pi", "lcb"])
def test_its_slopes_are_those_of_differences(failures: int, running: int, mode: str) -> None:
    encoding = Encoding(SearchSpace.of([parameter(f"x{i}", DOUBLE, 0, 1) for i in range(3)]))
    rng = np.random.default_rng(0)
    x = rng.random((20, 3))
    y = np.asarray(((x - 0.3) ** 2).sum(axis=1), dtype=np.float64)
    past = Past(x, y, rng.random((failures, 3)) * 0.5, rng.random((running, 3)), frozenset())
    optimizer = Optimizer(encoding, past, 1, Style(mode=mode))

    landscape = optimizer.landscape()

    rows = rng.random((5, 3))
    found = landscape.slopes(rows)
    assert found is not None
    assert found[0] == pytest.approx(landscape.values(rows))
    assert found[1] == pytest.approx(_differences(landscape, rows), rel=2e-3, abs=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(("choices", "rows"), [(0, 100_000), (1000, 20_000)])
def test_it_takes_no_more_memory_for_very_many_rows_than_for_some_thousands(choices: int, rows: int) -> None:
    """Of 200 trials, or of a list with a thousand values."""
    numbers = [parameter(f"x{i}", DOUBLE, 0, 1) for i in range(3)]
    lists = [parameter("choice", CATEGORICAL, values=[str(i) for i in range(choices)])] if choices else []
    encoding = Encoding(SearchSpace.of([*numbers, *lists]))
    rng = np.random.default_rng(0)
    x = encoding.snap(rng.random((200, len(encoding))))
    none = np.empty((0, len(encoding)))
    past = Past(x, np.asarray(x[:, :3].sum(axis=1)), none, none, frozenset())
    landscape = Optimizer(encoding, past, 1, Style()).landscape()
    places = encoding.snap(rng.random((rows, len(encoding))))

    tracemalloc.start()
    found = landscape.values(places)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # All at once would be 153 MiB for one number of each trial and each row, or of each value, and several are wanted.
    assert most < 120 * 2**20
    assert found[-100:] == pytest.approx(landscape.values(places[-100:]))


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
    assert (one_answer.landscape().values(rows) == next_question.landscape().values(rows)).all()


def _differences(landscape: Landscape, rows: Floats, step: float = 1e-6) -> Floats:
    out = np.empty_like(rows)
    for i in range(rows.shape[1]):
        off = np.zeros_like(rows)
        off[:, i] = step
        out[:, i] = (landscape.values(rows + off) - landscape.values(rows - off)) / (2 * step)
    return out
