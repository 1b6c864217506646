"""The search distribution of a covariance matrix adaptation evolution strategy, and its update by a generation.

Numbers are points of the unit cube, after Hansen, "The CMA evolution strategy: a tutorial" (2016), with its numbers of
equations, and negative weights. A number with steps keeps a margin, so that its distribution never shrinks into one cell:
Hamano et al., "CMA-ES with margin" (2022). Categories have a probability for each value, moved by the natural gradient as in
Hamano et al., "CatCMA" (2024), and kept from vanishing.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from katib.suggestion.cells import Cells, Ints, Points
from katib.suggestion.gp.encoding import Floats

# The step with which the categories' probabilities follow a generation.
RATE: Final = 0.3
# A run has come to its end: every number without steps deviates by less than this share of its range, or the covariance
# degenerates.
LEAST_DEVIATION: Final = 1e-6
MOST_CONDITION: Final = 1e14
# Where a run goes on all the same: points nearer than this are one.
LEAST_STEP: Final = 1e-10
_EPSILON: Final = 1e-12


@dataclass(frozen=True)
class Rates:
    """What follows from the dimension and the size of a generation. `weights`: by rank, the best first."""

    weights: Floats
    effective: float
    rank_one: float
    rank_mu: float
    path: float
    step_path: float
    damping: float
    expected: float

    @staticmethod
    @lru_cache(maxsize=256)
    def of(dimension: int, size: int) -> "Rates":
        n = dimension
        raw = np.log((size + 1) / 2.0) - np.log(np.arange(1, size + 1))  # (49)
        parents = max(size // 2, 1)
        positive, negative = raw[:parents], raw[parents:]
        if size == 1:
            positive = np.ones(1)
        effective = float(positive.sum() ** 2 / (positive**2).sum())
        effective_negative = float(negative.sum() ** 2 / (negative**2).sum()) if (negative != 0).any() else 0.0
        rank_one = 2.0 / ((n + 1.3) ** 2 + effective)  # (57)
        rank_mu = min(1.0 - rank_one - 1e-8, 2.0 * (effective - 2 + 1 / effective) / ((n + 2) ** 2 + effective))  # (58)
        bound = min(
            1.0 + rank_one / rank_mu if rank_mu > 0 else 1.0,  # (50)
            1.0 + 2.0 * effective_negative / (effective + 2.0),  # (51)
            (1.0 - rank_one - rank_mu) / (n * rank_mu) if rank_mu > 0 else 1.0,  # (52)
        )
        weights = np.concatenate(
            [positive / positive.sum(), bound * negative / max(float(-negative.sum()), _EPSILON)]  # (53)
        )
        step_path = (effective + 2.0) / (n + effective + 5.0)  # (55)
        return Rates(
            weights=weights,
            effective=effective,
            rank_one=rank_one,
            rank_mu=rank_mu,
            path=(4.0 + effective / n) / (n + 4.0 + 2.0 * effective / n),  # (56)
            step_path=step_path,
            damping=1.0 + 2.0 * max(0.0, float(np.sqrt((effective - 1.0) / (n + 1.0))) - 1.0) + step_path,
            expected=float(np.sqrt(n)) * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        )


@dataclass(frozen=True)
class Distribution:
    """Numbers are mean + step * scales * N(0, covariance). `margin`: the least probability, in all numbers with steps together
    and a trial, that a value beside the mean's is drawn."""

    cells: Cells
    mean: Floats
    step: float
    covariance: Floats
    scales: Floats
    categories: tuple[Floats, ...]
    path: Floats
    step_path: Floats
    margin: float
    generation: int = 0

    @classmethod
    def begin(cls, cells: Cells, mean: Floats, step: float, size: int, chosen: Ints | None = None) -> "Distribution":
        """`chosen`: of each category parameter the value that is as likely as a margin for the others allows; None: all are
        equally likely."""
        n = len(cells.borders)
        categories = [np.full(k, 1.0 / k) for k in cells.choices]
        if chosen is not None:
            for probabilities, value in zip(categories, chosen, strict=True):
                least = _least(len(categories), len(probabilities))
                probabilities[:] = least
                probabilities[value] = 1.0 - least * (len(probabilities) - 1)
        return cls(
            cells=cells,
            mean=mean,
            step=step,
            covariance=np.eye(n),
            scales=np.ones(n),
            categories=tuple(categories),
            path=np.zeros(n),
            step_path=np.zeros(n),
            margin=1.0 / (max(n, 1) * size),
        )._with_margin()

    def sample(self, rng: np.random.Generator) -> Points:
        """One point; what falls out of the cube is reflected at its border."""
        n = len(self.mean)
        lengths, axes = self._axes()
        # By the symmetric root: eigenvectors may have either sign and, of like eigenvalues, any directions in their space, and
        # which ones depends on the processor. The root does not.
        drawn = axes @ (lengths * (rng.normal(size=n) @ axes))
        numbers = self.mean + self.step * self.scales * drawn
        folded = np.abs(numbers) % 2.0
        categories = [int(rng.choice(len(q), p=q)) for q in self.categories]
        return Points(
            np.minimum(folded, 2.0 - folded)[None, :], np.array(categories, np.intp).reshape(1, len(categories))
        )

    def updated(self, points: Points) -> "Distribution":
        """After a generation, its points from the best to the worst."""
        moved = self._categories_moved(points)
        return moved._numbers_moved(points.numbers) if len(self.mean) else moved

    def _categories_moved(self, points: Points) -> "Distribution":
        weights = Rates.of(max(len(self.mean), 1), len(points)).weights
        weights = np.where(weights > 0, weights, 0.0)
        categories = []
        for i, probabilities in enumerate(self.categories):
            count = len(probabilities)
            drawn = np.bincount(points.categories[:, i], weights=weights, minlength=count)
            followed = (1.0 - RATE) * probabilities + RATE * drawn / drawn.sum()
            least = _least(len(self.categories), count)
            followed = np.maximum(followed, least)
            # What the others were lifted by is taken from what they have above the margin.
            above = followed - least
            categories.append(followed + (1.0 - followed.sum()) * above / above.sum())
        return replace(self, categories=tuple(categories), generation=self.generation + 1)

    def _numbers_moved(self, numbers: Floats) -> "Distribution":
        n = len(self.mean)
        rates = Rates.of(n, len(numbers))
        weights = rates.weights
        lengths, axes = self._axes()
        y = (numbers - self.mean) / (self.step * self.scales)
        whitened = (y @ axes) / lengths
        # A point that this distribution would hardly draw counts as one that it might: Hansen, "Injecting external solutions
        # into CMA-ES" (2011).
        distance = np.sqrt((whitened**2).sum(axis=1))
        shorter = np.minimum(1.0, (np.sqrt(n) + 2.0 * n / (n + 2.0)) / np.maximum(distance, _EPSILON))
        y, whitened = y * shorter[:, None], whitened * shorter[:, None]
        parents = np.maximum(weights, 0.0)
        drift = parents @ y
        mean = self.mean + self.step * self.scales * drift
        step_path = (1.0 - rates.step_path) * self.step_path + np.sqrt(
            rates.step_path * (2.0 - rates.step_path) * rates.effective
        ) * (axes @ (parents @ whitened))  # (43)
        length = float(np.sqrt(step_path @ step_path))
        step = self.step * float(
            np.exp(min(1.0, rates.step_path / rates.damping * (length / rates.expected - 1.0)))
        )  # (44)
        # Not while the step is about to grow: the path would be too long for the step. generation counts this one.
        settled = (
            length / np.sqrt(1.0 - (1.0 - rates.step_path) ** (2 * self.generation))
            < (1.4 + 2.0 / (n + 1.0)) * rates.expected
        )
        path = (1.0 - rates.path) * self.path
        if settled:
            path = path + np.sqrt(rates.path * (2.0 - rates.path) * rates.effective) * drift  # (45)
        lost = 0.0 if settled else rates.rank_one * rates.path * (2.0 - rates.path)
        signed = np.where(weights >= 0, weights, weights * n / ((whitened**2).sum(axis=1) + _EPSILON))  # (46)
        covariance = (
            (1.0 + lost - rates.rank_one - rates.rank_mu * float(weights.sum())) * self.covariance
            + rates.rank_one * np.outer(path, path)
            + rates.rank_mu * (y.T * signed) @ y
        )  # (47)
        return replace(
            self,
            mean=np.clip(mean, 0.0, 1.0),
            step=float(np.clip(step, LEAST_STEP, 1.0)),
            covariance=_positive(0.5 * (covariance + covariance.T)),
            path=path,
            step_path=step_path,
        )._with_margin()

    def _with_margin(self) -> "Distribution":
        """Each number with steps has at least the margin's probability of a value beside the mean's, by its mean and scale:
        sections 4.2 and 4.3 of Hamano et al. (2022)."""
        mean, scales = self.mean.copy(), self.scales.copy()
        deviations = self.step * np.sqrt(np.diag(self.covariance))
        for i, borders in self.cells.stepped:
            inner = borders[1:-1]
            deviation = float(deviations[i]) * scales[i]
            place = int(np.searchsorted(inner, mean[i]))
            if place in {0, len(inner)}:
                # In an outer cell only one neighbour counts: the mean comes near enough to its border.
                border = float(inner[0] if place == 0 else inner[-1])
                reach = -float(ndtri(self.margin)) * deviation
                mean[i] = border + float(np.clip(mean[i] - border, -reach, reach))
                continue
            low, high = float(inner[place - 1]), float(inner[place])
            below, above = float(ndtr((low - mean[i]) / deviation)), float(ndtr((mean[i] - high) / deviation))
            half = self.margin / 2.0
            within = 1.0 - below - above
            p_below, p_above, p_within = max(half, below), max(half, above), max(half, within)
            excess = p_below + p_above + p_within - 1.0
            free = p_below + p_above + p_within - 3.0 * half
            p_below -= excess * (p_below - half) / free
            p_above -= excess * (p_above - half) / free
            far_below, far_above = -float(ndtri(min(p_below, 0.5))), -float(ndtri(min(p_above, 0.5)))
            if far_below + far_above > _EPSILON:
                scales[i] = (high - low) / (float(deviations[i]) * (far_below + far_above))
                mean[i] = (low * far_above + high * far_below) / (far_below + far_above)
        return replace(self, mean=mean, scales=scales)

    def _axes(self) -> tuple[Floats, Floats]:
        """Square roots of the covariance's eigenvalues, and its eigenvectors."""
        values, axes = np.linalg.eigh(self.covariance)
        return np.sqrt(np.maximum(values, _EPSILON)), axes

    @property
    def spent(self) -> bool:
        """Whether numbers hardly move any more."""
        if not len(self.mean):
            return False
        smooth = self.cells.smooth
        deviations = self.step * self.scales * np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        values = np.linalg.eigvalsh(self.covariance)
        narrow = bool(len(smooth)) and bool((deviations[smooth] < LEAST_DEVIATION).all())
        return narrow or float(values[-1]) > MOST_CONDITION * max(float(values[0]), 0.0) or not np.isfinite(self.step)


def _positive(covariance: Floats) -> Floats:
    """Rounding, and negative weights over long, can take an eigenvalue below zero."""
    values, axes = np.linalg.eigh(covariance)
    most = float(values[-1])
    if not 0.0 < most < np.inf:
        return np.eye(len(covariance))
    least = most / (10.0 * MOST_CONDITION)
    if values[0] >= least:
        return covariance
    return np.asarray((axes * np.maximum(values, least)) @ axes.T, dtype=np.float64)


def _least(parameters: int, choices: int) -> float:
    """CatCMA's margin: in a generation of usual size some other value is still likely to come."""
    return float((1.0 - 0.73 ** (1.0 / parameters)) / (choices - 1))
