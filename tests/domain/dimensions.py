"""Search spaces of every kind, by chance."""

import math

from hypothesis import assume, reject
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import (
    Dimension,
    FeasibleSpace,
    ParameterConfig,
    ParameterType,
    Scale,
    SearchSpace,
)

DOUBLE, INT, DISCRETE, CATEGORICAL = ParameterType
UNIT = st.floats(0, 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def config(
    type_: ParameterType | None,
    low: object = "",
    high: object = "",
    values: tuple[str, ...] = (),
    step: object = "",
    scale: Scale = Scale.LINEAR,
    name: str = "x",
) -> ParameterConfig:
    return ParameterConfig(name, type_, FeasibleSpace(str(low), str(high), values, str(step), scale))


def dimension(*args: object, **kwargs: object) -> Dimension:
    (only,) = SearchSpace.of([config(*args, **kwargs)])  # type: ignore[arg-type]
    return only


def checked(*args: object, **kwargs: object) -> Dimension:
    """The dimension, where the search space accepts it."""
    try:
        return dimension(*args, **kwargs)
    except InvalidArgumentError:
        reject()


@st.composite
def continua(draw: st.DrawFn) -> Dimension:
    scale = draw(st.sampled_from(Scale))
    ends = FINITE if scale is Scale.LINEAR else st.floats(min_value=5e-324, allow_infinity=False)
    low, high = sorted((draw(ends), draw(ends)))
    assume(low < high)
    return dimension(DOUBLE, repr(low), repr(high), scale=scale)


@st.composite
def stepped(draw: st.DrawFn) -> Dimension:
    scale = draw(st.sampled_from(Scale))
    if draw(st.booleans()):
        least = 1 if scale is Scale.LOG else -(10**12)
        low = draw(st.integers(least, 10**12))
        high = low + draw(st.one_of(st.integers(0, 300), st.integers(0, 10**12)))
        return checked(INT, low, high, step=draw(st.one_of(st.just(""), st.integers(1, 1000))), scale=scale)
    ends = FINITE if scale is Scale.LINEAR else st.floats(min_value=5e-324, allow_infinity=False)
    low, high = sorted((draw(ends), draw(ends)))
    assume(high - low < math.inf)
    step = (high - low) / draw(st.one_of(st.floats(1, 100), st.floats(1, 2.0**50)))
    assume(step > 0)
    return checked(DOUBLE, repr(low), repr(high), step=repr(step), scale=scale)


@st.composite
def lists(draw: st.DrawFn) -> Dimension:
    if draw(st.booleans()):
        numbers = draw(st.lists(FINITE, min_size=1, max_size=20, unique=True))
        return dimension(DISCRETE, values=tuple(map(repr, numbers)))
    texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=8)
    return dimension(CATEGORICAL, values=tuple(draw(st.lists(texts, min_size=1, max_size=20, unique=True))))


FINITE_DIMENSIONS = st.one_of(stepped(), lists())
DIMENSIONS = st.one_of(continua(), FINITE_DIMENSIONS)
