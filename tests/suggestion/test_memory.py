"""How much memory a suggestion takes, and what is left of it afterwards: a service is given a limit, and has many studies."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from katib.domain.search_space import ParameterConfig
from katib.suggestion.algorithms.bayesianoptimization import CANDIDATES, BayesianOptimization
from katib.suggestion.algorithms.cmaes import CmaEs
from katib.suggestion.algorithms.tpe import Tpe
from katib.suggestion.base import Algorithm
from katib.suggestion.gp import model, optimizer
from katib.suggestion.gp.encoding import MAX_LEVELS, Floats
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM
from katib.suggestion.service import generate
from tests.suggestion.gp.spaces import CUBE, MIXED, encoding_of
from tests.suggestion.studies import CATEGORICAL, MiniManager, parameter, study

LISTS = tuple(parameter(f"p{i}", CATEGORICAL, values=[str(v) for v in range(1000)]) for i in range(20))


def after(
    algorithm: Algorithm, space: tuple[ParameterConfig, ...], trials: int, *settings: tuple[str, object]
) -> MiniManager:
    """A study with so many trials that have ended."""
    limits = ((MAX_PARALLEL.name, trials), (SUGGESTION_NUM.name, 1000))
    manager = MiniManager(algorithm, study(space, *limits, *settings))
    while len(manager.trials) < trials:
        manager.ask()
    manager.finish()
    manager.spec = replace(
        manager.spec, settings=(*manager.spec.settings, *study(space, (MAX_PARALLEL.name, 2)).settings)
    )
    return manager


@pytest.mark.parametrize("algorithm", [Tpe(), CmaEs(), BayesianOptimization()], ids=lambda a: a.name)
def test_a_study_that_was_asked_about_does_not_keep_its_trials(algorithm: Algorithm) -> None:
    """Those that need not be sent again are kept by the histories, which know how much they may."""
    call = after(algorithm, MIXED, 12).call()
    generate(algorithm, call)
    trial = weakref.ref(call.finished[0])

    del call
    gc.collect()

    assert trial() is None


def test_of_the_texts_of_a_continuum_only_so_many_are_remembered() -> None:
    encoding = encoding_of(CUBE)
    cube = np.random.default_rng(0).random((MAX_LEVELS + 100, len(encoding)))

    rows, _ = encoding.rows(encoding.parameters(row) for row in cube)

    assert (rows == cube).all()
    assert max(map(len, encoding.known)) == MAX_LEVELS


@pytest.mark.long
@pytest.mark.parametrize(
    ("space", "settings"),
    [(MIXED, ((CANDIDATES.name, 100_000),)), (LISTS, ())],
    ids=["a hundred thousand candidates", "lists of a thousand"],
)
def test_no_question_to_the_model_takes_more_memory_than_is_had(
    monkeypatch: pytest.MonkeyPatch, space: tuple[ParameterConfig, ...], settings: tuple[tuple[str, object], ...]
) -> None:
    """All at once it is three gigabytes and more, and the shipped limit is one."""
    manager = after(BayesianOptimization(), space, 20, *settings)
    asked: list[int] = []
    predict = model.Posterior.predict

    def watched(self: model.Posterior, x: Floats) -> tuple[Floats, Floats]:
        asked.append(len(x) * (sum(column.choices or 1 for column in self.encoding.columns) + optimizer.MODELLED))
        return predict(self, x)

    monkeypatch.setattr(model.Posterior, "predict", watched)
    manager.ask()

    assert asked
    assert max(asked) <= optimizer.AT_ONCE


def test_a_question_in_parts_has_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    call = after(BayesianOptimization(), MIXED, 20).call()
    whole = generate(BayesianOptimization(), call)

    monkeypatch.setattr(optimizer, "AT_ONCE", 50_000)

    assert generate(BayesianOptimization(), call) == whole
