"""One study's next points by a tree-structured Parzen estimator, one after the other.

Bergstra et al., "Algorithms for hyper-parameter optimization" (2011), in the multivariate form; the choices below follow
Watanabe, "Tree-structured Parzen estimator: understanding its algorithm components and their roles" (2023), where they did
better than others on spaces of the kind of `benchmarks/quality`, other instances than the suites'.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from katib.suggestion.cells import Cells, Points, together
from katib.suggestion.gp.encoding import Floats
from katib.suggestion.seen import Past
from katib.suggestion.tpe.parzen import Kernels, Mixture
from katib.suggestion.untried import any_untried, first_untried

# Good trials are at most so many: more would blur where the best are.
MOST_GOOD: Final = 25
# Of more other trials than this a random part is as good, and the time of a suggestion stays what it is.
MOST_BAD: Final = 400
# A kernel's width never falls below this share of the range, nor below the other one over the root of the number of kernels
# ("magic clipping"): a model of a few trials must not dig itself in.
LEAST_WIDTH: Final = 0.03
FEW_WIDTH: Final = 0.28
# The deviation of the uniform distribution: no group of trials is spread wider than this on purpose.
_UNIFORM: Final = 1.0 / math.sqrt(12.0)
# Scott's factor for one normal distribution is 1.06, which blurs several of them into one.
SCOTT: Final = 0.7
# The narrowest kernel over steps, in steps: two thirds of it stay in its own cell and the neighbours have the rest.
_STEPS: Final = 0.5

# What a random number is for, in its key.
_DESIGN, _SEARCH, _PART = range(3)


@dataclass(frozen=True, slots=True)
class Style:
    """The study's settings."""

    burn_in: int
    gamma: float
    prior: float
    candidates: int


class Optimizer:
    def __init__(self, cells: Cells, past: Past, seed: int, style: Style) -> None:
        self._cells = cells
        self._encoding = cells.encoding
        self._seed = seed
        self._style = style
        self._known, self._failed = len(past.y), len(past.failed)
        order = np.argsort(past.y, kind="stable")
        good = min(max(math.ceil(style.gamma * len(order)), 2), MOST_GOOD, len(order))
        self._good = cells.points(past.x[order[:good]])
        self._weights = _improvements(past.y[order[: good + 1]], good)
        # What failed is as bad as can be.
        bad = np.concatenate([past.x[order[good:]], past.failed])
        if len(bad) > MOST_BAD:
            rng = np.random.default_rng([seed, _PART, len(bad)])
            bad = bad[np.sort(rng.permutation(len(bad))[:MOST_BAD])]
        # What runs counts as bad until it is known (a constant liar), so that others of a batch go elsewhere.
        self._bad = cells.points(np.concatenate([bad, past.pending]))
        self.taken = past.taken

    def next_row(self, number: int) -> Floats:
        """The row of a point that is not taken, of which there is one, for trial `number`; it counts as pending from now on."""
        row = self._designed(number) if self._designing() else self._modelled(number)
        if row is None:
            row = any_untried(self._encoding, self.taken, self._seed, number)
        self.taken.add(self._encoding.key(row))
        # As it will be read of the trial: a place made a value and a place again may differ by its last digit.
        self._bad = together(self._bad, self._cells.points(self._encoding.canonical(row)[None, :]))
        return row

    def _designing(self) -> bool:
        known, wanted = self._known, self._style.burn_in
        # Where most trials fail the model helps to find those that do not.
        return known < 1 or (known < wanted and (known < 2 or known + self._failed < 2 * wanted))

    def _designed(self, number: int) -> Floats | None:
        """Trial `number` of a Latin hypercube: each of its strata in each parameter comes once."""
        strata = self._style.burn_in
        if number > strata:
            return None
        columns = len(self._encoding)
        rng = np.random.default_rng([self._seed, _DESIGN])
        places = rng.permuted(np.tile(np.arange(strata), (columns, 1)), axis=1)[:, number - 1]
        within = np.random.default_rng([self._seed, _DESIGN, number]).random(columns)
        return first_untried(
            self._encoding, self._encoding.from_cube(((places + within) / strata)[None, :]), self.taken
        )

    def _modelled(self, number: int) -> Floats | None:
        rng = np.random.default_rng([self._seed, number, _SEARCH])
        below = self._mixture(self._good, self._weights)
        above = self._mixture(self._bad, np.ones(len(self._bad)))
        rows = self._cells.rows(below.sample(self._style.candidates, rng))
        at = self._cells.points(rows)
        # The expected improvement grows with the ratio of the densities: Bergstra et al., section 4.1.
        ratio = below.log_density(at) - above.log_density(at)
        return first_untried(self._encoding, rows[np.argsort(-ratio, kind="stable")], self.taken)

    def _mixture(self, points: Points, weights: Floats) -> Mixture:
        count = len(points)
        width = np.full(points.numbers.shape[1], _UNIFORM)
        if count > 1:
            shares = weights / weights.sum()
            variance = shares @ (points.numbers - shares @ points.numbers) ** 2
            width = np.minimum(np.sqrt(variance) * (count + 1) / count, _UNIFORM)
        # Scott's rule in as many dimensions, each by its own spread: a parameter that the good ones agree on is narrow.
        width = SCOTT * width * max(count, 1) ** (-1.0 / (len(self._encoding) + 4))
        width = np.clip(width, max(LEAST_WIDTH, FEW_WIDTH / math.sqrt(count + 1)), 1.0)
        for i, borders in self._cells.stepped:
            width[i] = max(width[i], _STEPS * float(np.diff(borders).min()))
        # As if each value had been seen once more, by all kernels together.
        blur = np.array([(k - 1) / (count + 1 + k) for k in self._cells.choices])
        return Mixture(self._cells, points, weights, self._style.prior, Kernels(width, blur))


def _improvements(y: Floats, good: int) -> Floats:
    """Weights of the first `good` of ascending `y`, 1 on average: by how much each is better than the first of the others, the
    weights with which the density is that of the expected improvement (Song et al. 2022)."""
    if len(y) <= good:
        return np.ones(good)
    # Halved: the difference of the largest doubles is none.
    gains = 0.5 * y[good] - 0.5 * y[:good]
    if not gains[0] > 0.0:
        return np.ones(good)
    gains = gains / gains[0]
    return np.asarray(gains / gains.mean(), dtype=np.float64)
