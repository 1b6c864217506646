"""One study's next points, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from katib.suggestion.gp import acquisition, kernels, model, search, subset, transforms, trust
from katib.suggestion.gp.crowd import Crowd
from katib.suggestion.gp.edges import Edges
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.feasible import Feasibility
from katib.suggestion.gp.history import Past
from katib.suggestion.gp.hyper import Fixed
from katib.suggestion.gp.threads import one_thread
from katib.suggestion.randomness import Permutation

KERNELS: Final = {
    "rbf": kernels.rbf,
    "matern0.5": kernels.matern12,
    "matern1.5": kernels.matern32,
    "matern2.5": kernels.matern52,
}
# For `ei` enough that the last digits of a known optimum are left alone, and another one is looked for.
TRADE_OFF: Final = {"ei": 0.002, "pi": 0.01, "lcb": 2.0}
# In this last share of a study's trials every second one is after those digits: any improvement counts. With all of them a
# search that has not seen the best place yet would stay beside it.
POLISHED: Final = 0.1
# Of more trials than this the likelihood, and the predictions, see a part.
FITTED: Final = 160
MODELLED: Final = 400
FORESTED: Final = 1000
INCUMBENTS: Final = 5
# Up to so many trials so many other hyperparameters are as likely; then the trials leave little doubt.
SAMPLES: Final = ((40, 4), (70, 2))
# Trials before the model: one more than parameters, within these bounds.
DESIGN: Final = (4, 10)
# A sequence is made from its first point on. Behind so many, of which hardly any came to a value, a random point is as good.
DESIGNED: Final = 2**12
# From so many trials on there is enough to tell where the numbers of a parameter lie closer.
WARPED: Final = 20
# And so many tell ripples from what they are on.
RIPPLED: Final = 25

# Numbers that a matrix has at most where many rows are looked at, some such matrices at a time: 32 MiB each.
AT_ONCE: Final = 2**22

# What a random number is for, in its key.
_FIT, _DESIGN, _SEARCH = range(3)


@dataclass(frozen=True)
class Style:
    """The study's settings; None: our own. `trials`: how many it has in all; None: that is not known."""

    model: str = "gp"
    kernel: str = "matern2.5"
    length: float | None = None
    noise: float | None = None
    mode: str = "ei"
    trade_off: float | None = None
    burn_in: int | None = None
    candidates: int = search.SPREAD
    warping: bool = False
    trees: int | None = None
    columns: str | float | None = None
    trials: int | None = None


class Surrogate(Protocol):
    """What a model says of any rows, and which it becomes when another trial runs."""

    def predict(self, x: Floats) -> tuple[Floats, Floats]: ...

    def slopes(self, x: Floats, /) -> tuple[Floats, Floats, Floats, Floats] | None: ...

    def with_pending(self, x: Floats) -> "Surrogate": ...


@dataclass(frozen=True)
class Member:
    """One of the models that may be right, and the least mean that it has for a trial."""

    surrogate: Surrogate
    best: float

    def with_pending(self, row: Floats) -> "Member":
        """The model takes the row for observed, just as it expects it."""
        expected = float(self.surrogate.predict(row[None, :])[0][0])
        return Member(self.surrogate.with_pending(row), min(self.best, expected))


class Weight(Protocol):
    """The logarithm of a factor of the acquisition."""

    def slopes(self, x: Floats, /) -> tuple[Floats, Floats]:
        """Values, and their derivatives by the numeric columns."""


class Landscape:
    """The acquisition, on average over the models, times what else counts."""

    def __init__(
        self,
        members: Sequence[Member],
        promise: Callable[[float], acquisition.Acquisition],
        weights: Sequence[Weight],
        width: int,
    ) -> None:
        """`width`: how many numbers a row takes in a matrix, for the trials that a model sees or the values of its lists."""
        self._members = [(m.surrogate, promise(m.best)) for m in members]
        self._weights = weights
        self._together = max(1, AT_ONCE // width)

    def values(self, x: Floats) -> Floats:
        if len(x) > self._together:
            parts = range(0, len(x), self._together)
            return np.concatenate([self.values(x[i : i + self._together]) for i in parts])
        value = _mean([promise(*surrogate.predict(x))[0] for surrogate, promise in self._members])[0]
        return sum((weight.slopes(x)[0] for weight in self._weights), start=value)

    def slopes(self, x: Floats) -> tuple[Floats, Floats] | None:
        all_values, all_slopes = [], []
        for surrogate, promise in self._members:
            found = surrogate.slopes(x)
            if found is None:
                return None
            mean, deviation, mean_slopes, deviation_slopes = found
            value, by_mean, by_deviation = promise(mean, deviation)
            all_values.append(value)
            all_slopes.append(by_mean[:, None] * mean_slopes + by_deviation[:, None] * deviation_slopes)
        value, shares = _mean(all_values)
        slopes: Floats = np.einsum("kn,knd->nd", shares, np.array(all_slopes))
        for weight in self._weights:
            its_value, its_slopes = weight.slopes(x)
            value, slopes = value + its_value, slopes + its_slopes
        return value, slopes


def _mean(values: list[Floats]) -> tuple[Floats, Floats]:
    """The logarithm of the mean of what `values` are the logarithms of, and each one's share of it."""
    together = np.array(values)
    if len(together) == 1:
        return together[0], np.ones_like(together)
    most = together.max(axis=0)
    weights = np.exp(together - most)
    total = weights.sum(axis=0)
    return most + np.log(total / len(together)), weights / total


class Optimizer:
    def __init__(self, encoding: Encoding, past: Past, seed: int, style: Style) -> None:
        one_thread()
        self._encoding = encoding
        self._past = past
        self._seed = seed
        self._style = style
        self._members: list[Member] = []
        self._running = list(past.pending)
        self._region = search.Region.whole(encoding)
        self._well: Feasibility | None = None
        self._incumbents: Floats = np.empty((0, len(encoding)))
        self.taken = set(past.taken)

    def next_row(self, number: int) -> Floats:
        """The row of a point that is not taken, of which there is one, for trial `number`; it counts as pending from now on."""
        row = self._designed(number) if self._designing() else self._modelled(number)
        if row is None:
            row = self._any(number)
        self.taken.add(self._encoding.key(row))
        # As it will be read of the trial: a place made a value and a place again may differ by its last digit.
        self._expect(self._encoding.canonical(row))
        return row

    def _designing(self) -> bool:
        known = len(self._past.y)
        wanted = self._style.burn_in or min(max(DESIGN[0], len(self._encoding) + 1), DESIGN[1])
        # Where most trials fail the model helps to find those that do not.
        return known < 2 or (known < wanted and known + len(self._past.failed) < 2 * wanted)

    def _designed(self, number: int) -> Floats | None:
        encoding = self._encoding
        if not len(encoding) or number > DESIGNED:
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
        landscape = self.landscape(number)
        size = encoding.space.cardinality
        if size is not None and size <= search.ENUMERATED:
            every = encoding.every_row()
            free = every[[encoding.key(row) not in self.taken for row in every]]
            return free[int(np.argmax(landscape.values(free)))] if len(free) else None
        rng = np.random.default_rng([self._seed, number, _SEARCH])
        return search.best_row(
            encoding, landscape, self._region, self._incumbents, self.taken, rng, self._style.candidates
        )

    def landscape(self, number: int) -> Landscape:
        """What is to be maximised for trial `number`."""
        if not self._members:
            self._prepare()
        weights: list[Weight] = [] if self._well is None else [self._well]
        # A bound is no expectation that a factor could make less of; and a box around the best has no corners to be lost in.
        if self._style.mode != "lcb" and len(self._encoding) < trust.MANY:
            weights.append(Edges(self._encoding))
        if self._running:
            weights.append(Crowd(self._encoding, np.array(self._running)))
        width = MODELLED + len(self._running) + sum(column.choices or 1 for column in self._encoding.columns)
        trade_off = self._trade_off(number)
        return Landscape(self._members, lambda best: self._promise(best, trade_off), weights, width)

    def _trade_off(self, number: int) -> float:
        style = self._style
        if style.trade_off is not None:
            return style.trade_off
        # Where all numbers have steps there are no last digits.
        last = style.trials is not None and number > (1.0 - POLISHED) * style.trials and len(self._encoding.smooth) > 0
        return 0.0 if style.mode == "ei" and last and number % 2 == 0 else TRADE_OFF[style.mode]

    def _promise(self, best: float, trade_off: float) -> acquisition.Acquisition:
        mode = self._style.mode
        if mode == "lcb":
            return acquisition.lower_confidence_bound(trade_off)
        if mode == "pi":
            return acquisition.log_probability_of_improvement(best - trade_off)
        return acquisition.log_expected_improvement(best - trade_off)

    def _prepare(self) -> None:
        past = self._past
        rng = np.random.default_rng([self._seed, len(past.y), _FIT])
        x, z = past.x, transforms.excess(past.y)
        if len(past.failed):
            failed = past.failed[-FITTED:]
            well = x[np.sort(rng.permutation(len(x))[:FITTED])]
            labels = np.concatenate([np.zeros(len(well)), np.ones(len(failed))])
            self._well = Feasibility(self._encoding, np.concatenate([well, failed]), labels)
            # Where failures are the rule they count as the median, lest the model sees a slope go on there.
            lost = failed[self._well.fails(failed)]
            x, z = np.concatenate([x, lost]), np.concatenate([z, np.ones(len(lost))])
        # What is made up for them is a cliff, which is no ripple.
        rippled = len(past.y) == len(x) >= RIPPLED
        surrogates, x = self._forest(x, z, rng) if self._style.model == "rf" else self._processes(x, z, rippled, rng)
        means = np.array([surrogate.predict(x)[0] for surrogate in surrogates])
        self._incumbents = x[np.argsort(means.mean(axis=0), kind="stable")[:INCUMBENTS]]
        members = [Member(s, float(mean.min())) for s, mean in zip(surrogates, means, strict=True)]
        for row in self._running:
            members = [m.with_pending(row) for m in members]
        self._members = members
        if len(self._encoding) >= trust.MANY:
            first = surrogates[0]
            lengths = first.hyper.lengths if isinstance(first, model.Posterior) else np.zeros(len(self._encoding))
            side = trust.side(transforms.excess(past.y), len(self._encoding))
            self._region = trust.region(self._encoding, self._incumbents[0], lengths, side)

    def _expect(self, row: Floats) -> None:
        """The row runs from now on."""
        self._running.append(row)
        self._members = [m.with_pending(row) for m in self._members]

    def _processes(
        self, x: Floats, z: Floats, rippled: bool, rng: np.random.Generator
    ) -> tuple[list[Surrogate], Floats]:
        encoding = self._encoding
        kernel = KERNELS[self._style.kernel]
        part = subset.best_and_spread(z, FITTED, rng)
        fixed = Fixed(self._style.length, self._style.noise, rippled)
        samples = next((count for trials, count in SAMPLES if len(x) <= trials), 0)
        fitted = model.fit(
            encoding, kernel, x[part], z[part], fixed, self._style.warping and len(part) >= WARPED, rng, samples
        )
        kept = subset.near_and_spread(fitted.hypers[0].scale(encoding, x), z, MODELLED, rng)
        y = transforms.standardised(transforms.power(z[kept], fitted.exponent))
        return [model.Posterior(encoding, kernel, hyper, x[kept], y) for hyper in fitted.hypers], x[kept]

    def _forest(self, x: Floats, z: Floats, rng: np.random.Generator) -> tuple[list[Surrogate], Floats]:
        # Here, not above: scikit-learn takes a second to import, and who asks for a Gaussian process needs none of it.
        from katib.suggestion.gp.forest import SHARE, TREES, Forest

        kept = subset.best_and_spread(z, FORESTED, rng)
        x, y = x[kept], transforms.standardised(transforms.power(z[kept], 0.0))
        columns = SHARE if self._style.columns is None else self._style.columns
        return [Forest(self._encoding, x, y, int(rng.integers(2**31)), self._style.trees or TREES, columns)], x

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
