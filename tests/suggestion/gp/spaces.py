"""Encodings and data to try the model on."""

from collections.abc import Sequence

import numpy as np

from katib.domain.search_space import ParameterConfig, Scale, SearchSpace
from katib.suggestion.gp.encoding import Encoding, Floats
from tests.suggestion.studies import CATEGORICAL, DISCRETE, DOUBLE, INT, parameter

MIXED = (
    parameter("lr", DOUBLE, "1e-5", "1", scale=Scale.LOG),
    parameter("momentum", DOUBLE, 0, 1),
    parameter("layers", INT, 1, 6),
    parameter("batch", DISCRETE, values=("64", "16", "32")),
    parameter("optimizer", CATEGORICAL, values=("sgd", "adam", "ftrl")),
)
CUBE = tuple(parameter(f"x{i}", DOUBLE, 0, 1) for i in range(3))


def encoding_of(space: Sequence[ParameterConfig]) -> Encoding:
    return Encoding(SearchSpace.of(space))


def sample(encoding: Encoding, count: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Rows all over the space and a smooth objective of them."""
    rng = np.random.default_rng(seed)
    x = encoding.from_cube(rng.random((count, len(encoding))))
    y = np.sin(3 * x[:, 0]) + (x[:, 1:] ** 2).sum(axis=1) + 0.01 * rng.normal(size=count)
    return x, np.asarray((y - y.mean()) / y.std(), dtype=np.float64)
