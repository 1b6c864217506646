"""How much of what trials report is noise."""

from functools import lru_cache

import numpy as np

from katib.domain.search_space import ParameterConfig, SearchSpace
from katib.suggestion.gp import kernels, model, subset, transforms
from katib.suggestion.gp.encoding import Encoding, Floats, columns_for
from katib.suggestion.gp.hyper import Fixed
from katib.suggestion.gp.optimizer import FITTED
from katib.suggestion.gp.threads import one_thread


def deviation(parameters: tuple[ParameterConfig, ...], x: Floats, y: Floats) -> float:
    """The noise's standard deviation in deviations of the objective, by the Gaussian process that is most likely for the rows
    `x` of finished trials and their objectives `y` (the less, the better; finite): of 160 of them at the most, on the scale of
    the objective on which it predicts best. A function of these alone: what was told once is remembered, for speed."""
    return _deviation(parameters, x.tobytes(), y.tobytes())


@lru_cache(maxsize=64)
def _deviation(parameters: tuple[ParameterConfig, ...], rows: bytes, values: bytes) -> float:
    one_thread()
    encoding = Encoding(SearchSpace.of(parameters), columns_for(parameters))
    y = np.frombuffer(values)
    x = np.frombuffer(rows).reshape(len(y), len(encoding))
    rng = np.random.default_rng(len(y))
    excesses = transforms.excess(y)
    part = subset.best_and_spread(excesses, FITTED, rng)
    fit = model.fit(encoding, kernels.matern52, x[part], excesses[part], Fixed(), warped=False, rng=rng)
    return float(np.exp(0.5 * fit.hypers[0].noise))
