"""One study's next points, one after the other."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from katib.suggestion.gp import acquisition, kernels, model, search, transforms
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.feasible import Feasibility
from katib.suggestion.gp.history import Past
from katib.suggestion.randomness import Permutation

KERNELS: Final = {
    "rbf": kernels.rbf,
    "matern0.5": kernels.matern12,
    "matern1.5": kernels.matern32,
    "matern2.5": kernels.matern52,
}
TRADE_OFF: Final = {"ei": 0.0, "pi": 0.01, "lcb": 2.0}
# Of more trials than this the likelihood, and the predictions, see a part.
FITTED: Final = 160
MODELLED: Final = 400
INCUMBENTS: Final = 5
# From so many trials on there is enough to tell where the numbers of a parameter lie closer.
WARPED: Final = 12

# What a random number is for, in its key.
_FIT, _DESIGN, _SEARCH = range(3)


@dataclass(frozen=True)
class Style:
    """The study's settings; None: our own."""

    model: str = "gp"
    kernel: str = "matern2.5"
    length: float | None = None
    noise: float | None = None
    mode: str = "ei"
    trade_off: float | None = None
    burn_in: int | None = None
    candidates: int = search.SPREAD


class Landscape:
    """A model's acquisition, less where trials fail."""

    def __init__(self, posterior: model.Posterior, promise: acquisition.Acquisition, well: Feasibility | None) -> None:
        self._posterior = posterior
        self._promise = promise
        self._well = well

    def values(self, x: Floats) -> Floats:
        value = self._promise(*self._posterior.predict(x))[0]
        return value if self._well is None else value + self._well.log_probability(x)

    def slopes(self, x: Floats) -> tuple[Floats, Floats]:
        mean, deviation, mean_slopes, deviation_slopes = self._posterior.slopes(x)
        value, by_mean, by_deviation = self._promise(mean, deviation)
        slopes = by_mean[:, None] * mean_slopes + by_deviation[:, None] * deviation_slopes
        if self._well is not None:
            log_probability, its_slopes = self._well.slopes(x)
            value, slopes = value + log_probability, slopes + its_slopes
        return value, slopes


class Optimizer:
    def __init__(self, encoding: Encoding, past: Past, seed: int, style: Style) -> None:
        self._encoding = encoding
        self._past = past
        self._seed = seed
        self._style = style
        self._posterior: model.Posterior | None = None
        self._well: Feasibility | None = None
        self._best = 0.0
        self._incumbents: Floats = np.empty((0, len(encoding)))
        self.taken = set(past.taken)

    def next_row(self, number: int) -> Floats:
        """The row of a point that is not taken, of which there is one, for trial `number`; it counts as pending from now on."""
        row = self._designed(number) if self._designing() else self._modelled(number)
        if row is None:
            row = self._any(number)
        self.taken.add(self._encoding.key(row))
        if self._posterior is not None:
            self._expect(row)
        return row

    def _designing(self) -> bool:
        known = len(self._past.y)
        wanted = self._style.burn_in or min(max(4, len(self._encoding) + 1), 10)
        # Where most trials fail the model helps to find those that do not.
        return known < 2 or (known < wanted and known + len(self._past.failed) < 2 * wanted)

    def _designed(self, number: int) -> Floats | None:
        encoding = self._encoding
        if not len(encoding):
            return None
        if number <= 1:
            cube = np.full((1, len(encoding)), 0.5)
        else:
            cube = search.sobol(len(encoding), number - 1, self._stream(_DESIGN, 0))[number - 2 :]
        row = encoding.canonical(encoding.from_cube(cube)[0])
        return None if encoding.key(row) in self.taken else row

    def _modelled(self, number: int) -> Floats | None:
        encoding = self._encoding
        if not len(encoding):
            return None
        if self._posterior is None:
            self._prepare()
        assert self._posterior is not None
        landscape = Landscape(self._posterior, self._promise(), self._well)
        size = encoding.space.cardinality
        if size is not None and size <= search.ENUMERATED:
            every = encoding.every_row()
            free = every[[encoding.key(row) not in self.taken for row in every]]
            return free[int(np.argmax(landscape.values(free)))] if len(free) else None
        rng = np.random.default_rng([self._seed, number, _SEARCH])
        region = search.Region.whole(encoding)
        return search.best_row(encoding, landscape, region, self._incumbents, self.taken, rng, self._style.candidates)

    def _promise(self) -> acquisition.Acquisition:
        mode, trade_off = self._style.mode, self._style.trade_off
        if trade_off is None:
            trade_off = TRADE_OFF[mode]
        if mode == "lcb":
            return acquisition.lower_confidence_bound(trade_off)
        if mode == "pi":
            return acquisition.log_probability_of_improvement(self._best - trade_off)
        return acquisition.log_expected_improvement(self._best - trade_off)

    def _prepare(self) -> None:
        encoding, past = self._encoding, self._past
        kernel = KERNELS[self._style.kernel]
        fixed = model.Fixed(self._style.length, self._style.noise)
        rng = np.random.default_rng([self._seed, len(past.y), _FIT])
        z = transforms.draw_in(past.y)
        x = past.x
        order = np.argsort(z, kind="stable")
        part = self._part(order, FITTED, rng)
        fitted = model.fit(encoding, kernel, x[part], z[part], fixed, len(part) >= WARPED, rng)
        y = transforms.power(z, fitted.exponent)
        if len(x) > MODELLED:
            kept = self._part(order, MODELLED, rng)
            x, y = x[kept], y[kept]
        y = transforms.standardised(y)
        posterior = model.Posterior(encoding, kernel, fitted.hyper, x, y)
        mean, _ = posterior.predict(x)
        ranked = np.argsort(mean, kind="stable")
        self._best = float(mean[ranked[0]])
        self._incumbents = x[ranked[:INCUMBENTS]]
        self._posterior = posterior
        if len(past.failed):
            ended = np.concatenate([x, past.failed])
            failed = np.concatenate([np.zeros(len(x)), np.ones(len(past.failed))])
            self._well = Feasibility(encoding, fitted.hyper, ended, failed)
        for row in past.pending:
            self._expect(row)

    def _expect(self, row: Floats) -> None:
        """The model takes the row for observed, just as it expects it."""
        assert self._posterior is not None
        self._best = min(self._best, float(self._posterior.predict(row[None, :])[0][0]))
        self._posterior = self._posterior.with_pending(row)

    def _part(self, order: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        if len(order) <= size:
            return np.arange(len(order))
        best = order[: size // 2]
        rest = rng.permutation(order[size // 2 :])[: size - len(best)]
        return np.sort(np.concatenate([best, rest]))

    def _any(self, number: int) -> Floats:
        """Some point that is not taken: an untried one of a finite space, else a random one."""
        encoding = self._encoding
        size = encoding.space.cardinality
        if size is not None:
            order = Permutation(size, self._stream(_DESIGN, 1))
            for i in range(size):
                row, _ = encoding.rows([encoding.space.at(order[i])])
                if encoding.key(row[0]) not in self.taken:
                    return np.asarray(row[0], dtype=np.float64)
        rng = np.random.default_rng([self._seed, number, _DESIGN])
        return encoding.canonical(encoding.from_cube(rng.random((1, len(encoding))))[0])

    def _stream(self, purpose: int, index: int) -> int:
        return int(np.random.default_rng([self._seed, purpose, index]).integers(2**31))
