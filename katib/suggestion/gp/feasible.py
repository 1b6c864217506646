"""How likely a trial ends with a number, from where others did and did not.

A Gaussian process of its own over 0 and 1, so that it finds out which parameters failures depend on: where every trial fails is
left behind after a few, and failures that come by chance anywhere are the same everywhere and change nothing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from katib.suggestion.gp import model
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.hyper import Fixed, Hyper
from katib.suggestion.gp.kernels import matern52

# The least variance of a label about its mean: of labels that leave no doubt some remains.
_DOUBT: Final = 0.01
_LOG_ROOT_2PI: Final = 0.5 * float(np.log(2.0 * np.pi))


class Feasibility:
    def __init__(self, encoding: Encoding, x: Floats, failed: Floats) -> None:
        """`x`: the rows of trials that ended by themselves; `failed`: 1 where it failed, else 0; of both some."""
        deviation = float(failed.std())
        y = (failed - float(failed.mean())) / deviation
        likelihood = model.Likelihood(encoding, matern52, x, y, Fixed(ripples=False))
        hyper, _ = likelihood.fit([Hyper.prior(encoding, warped=False)], 30)
        self._posterior = model.Posterior(encoding, matern52, hyper, x, y)
        self._middle = (0.5 - float(failed.mean())) / deviation
        self._variance = max(float(np.exp(hyper.noise)), _DOUBT / deviation**2)

    def fails(self, x: Floats) -> NDArray[np.bool_]:
        """Whether a trial there is rather expected to fail."""
        return np.asarray(self._posterior.predict(x)[0] > self._middle)

    def slopes(self, x: Floats) -> tuple[Floats, Floats]:
        """The logarithm of the probability, and its derivatives by the numeric columns."""
        mean, deviation, by_mean, by_deviation = self._posterior.slopes(x)
        whole = np.sqrt(deviation**2 + self._variance)
        z = (self._middle - mean) / whole
        value = np.asarray(log_ndtr(z), dtype=np.float64)
        slope = np.exp(-0.5 * z * z - _LOG_ROOT_2PI - value)
        return value, -(slope / whole)[:, None] * (by_mean + (z * deviation / whole)[:, None] * by_deviation)
