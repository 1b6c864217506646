"""New configurations: points of the search space without the resource."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from katib.domain.search_space import Parameter, SearchSpace
from katib.domain.settings import choice
from katib.domain.trial import Trial
from katib.suggestion.base import Request
from katib.suggestion.randomness import Permutation, study_seed, uniforms
from katib.suggestion.rungs.resource import Resource

if TYPE_CHECKING:
    from katib.suggestion.rungs import model as modelling

MODEL: Final = choice(
    "Model",
    "none",
    ("none", "gp"),
    "Where new configurations come from: at random, or two thirds of them from a Gaussian process over the highest rung of "
    "which enough is known.",
)

# So often a point of a finite space is drawn until one is new; then the points are gone through.
TRIES: Final = 16
# Random numbers of a trial that are for other things than its configuration.
DICE: Final = 2
# The share of random ones beside a model: where that is wrong, they find what it would not.
RANDOM: Final = 1 / 3
# Of one answer: the model is fitted anew for each, and who asks has a deadline.
MODELLED: Final = 16

Configuration = tuple[Parameter, ...]


class Configurations:
    """Each a function of the seed, of the trial's number and of the trials before; at random of the seed, the number and of
    which are taken, with whatever resource.

    Of a continuum no point comes twice (the probability is zero), so nothing need be known of those before.
    """

    def __init__(self, resource: Resource, request: Request) -> None:
        self._space = resource.rest
        self._seed = study_seed(request.problem.values, request.study_id)
        self._size = self._space.cardinality
        self._taken: set[int] = set()
        self._model: modelling.Model | None = None
        self._modelled = 0
        if self._size is not None:
            self._taken = set(_indexes(self._space, (*request.finished, *request.unfinished)))
        if request.problem.values[MODEL] == "gp" and not self.exhausted:
            # Here, not above: numerics take a second to import, and random ones need none.
            from katib.suggestion.rungs.model import Model

            self._model = Model(resource, self._seed, request)

    @property
    def exhausted(self) -> bool:
        return self._size is not None and len(self._taken) >= self._size

    def dice(self, number: int) -> list[float]:
        """DICE random numbers of trial `number`."""
        return uniforms(self._seed, number, DICE)

    def next(self, number: int) -> Configuration | None:
        """For trial `number`: one that is not taken, and is from now on; None when there is none left, or no more for this
        answer."""
        if self.exhausted:
            return None
        found = None
        if self._model is not None and self.dice(number)[1] >= RANDOM:
            if self._modelled == MODELLED:
                return None
            found = self._model.next(number)
            self._modelled += found is not None
        if found is None or not self._take(found):
            found = self._random(number)
        self.expect(found)
        return found

    def expect(self, configuration: Configuration) -> None:
        """A trial of it begins, which the model may learn from later."""
        if self._model is not None:
            self._model.expect(configuration)

    def _random(self, number: int) -> Configuration:
        width = len(self._space)
        if self._size is None:
            return self._space.from_unit(uniforms(self._seed, number, DICE + width)[DICE:])
        numbers = uniforms(self._seed, number, DICE + TRIES * width)
        for i in range(DICE, len(numbers), width):
            configuration = self._space.from_unit(numbers[i : i + width])
            if self._take(configuration):
                return configuration
        order = Permutation(self._size, self._seed)
        return next(c for c in (self._space.at(order[i]) for i in range(self._size)) if self._take(c))

    def _take(self, configuration: Configuration) -> bool:
        """Whether it was free until now."""
        if self._size is None:
            return True
        index = self._space.index_of(configuration)
        free = index not in self._taken
        self._taken.add(index)
        return free


def _indexes(space: SearchSpace, trials: Iterable[Trial]) -> Iterator[int]:
    """The numbers that `space.at` has for the trials whose parameters are of the space. Each text is read once: trials may be
    thousands, and decimals are slow."""
    known: list[dict[str, int | None]] = [{} for _ in space]
    for trial in trials:
        values = {p.name: p.value for p in trial.parameters}
        number = 0
        for dimension, read in zip(space, known, strict=True):
            text = values.get(dimension.name)
            if text is None:
                break
            if text not in read:
                read[text] = dimension.index_of(text) if dimension.contains(text) else None
            index = read[text]
            if index is None:
                break
            number = number * (dimension.cardinality or 1) + index
        else:
            yield number
