"""Which of many trials a model is made of: what a Gaussian process costs grows with the cube of their number."""

import numpy as np
from numpy.typing import NDArray

from katib.suggestion.gp.encoding import Floats
from katib.suggestion.gp.kernels import squared_distances

Indices = NDArray[np.intp]


def best_and_spread(y: Floats, size: int, rng: np.random.Generator) -> Indices:
    """The better ones for half of the size, and as many of the others by chance: for what holds everywhere, such as lengths."""
    if len(y) <= size:
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    best = order[: size // 2]
    others = rng.permutation(order[len(best) :])[: size - len(best)]
    return np.sort(np.concatenate([best, others]))


def near_and_spread(scaled: Floats, y: Floats, size: int, rng: np.random.Generator) -> Indices:
    """A third of the best, a third of the nearest to the very best, the rest by chance: for predictions, which must be right
    where the next trials will be, and must know that elsewhere it was tried. `scaled`: rows in units of the model's lengths."""
    if len(y) <= size:
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    chosen = list(order[: size // 3])
    left = order[size // 3 :]
    distances = squared_distances(scaled[left], scaled[order[:1]])[:, 0]
    near = np.argsort(distances, kind="stable")
    chosen += list(left[near[: size // 3]])
    rest = np.sort(left[near[size // 3 :]])
    chosen += list(rng.permutation(rest)[: size - len(chosen)])
    return np.sort(np.array(chosen, dtype=np.intp))
