"""New configurations: points of the search space without the resource."""

from collections.abc import Callable, Iterable
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import Parameter, SearchSpace
from katib.domain.trial import Trial
from katib.suggestion.randomness import Permutation, uniforms

# So often a point of a finite space is drawn until one is new; then the points are gone through.
TRIES: Final = 16
# Random numbers of a trial that are for other things than its configuration.
DICE: Final = 2

Configuration = tuple[Parameter, ...]
Model = Callable[[int], Configuration | None]


class Configurations:
    """Drawn at random, each a function of the seed, of the trial's number and of which are taken, with whatever resource.

    Of a continuum no point comes twice (the probability is zero), so nothing need be known of those before.
    """

    def __init__(self, space: SearchSpace, seed: int, trials: Iterable[Trial]) -> None:
        self._space = space
        self._seed = seed
        self._size = space.cardinality
        self._taken: set[int] = set()
        if self._size is not None:
            for trial in trials:
                try:
                    self._taken.add(space.index_of(trial.parameters))
                except InvalidArgumentError:
                    continue

    @property
    def exhausted(self) -> bool:
        return self._size is not None and len(self._taken) >= self._size

    def dice(self, number: int) -> list[float]:
        """DICE random numbers of trial `number`."""
        return uniforms(self._seed, number, DICE)

    def next(self, number: int) -> Configuration | None:
        """For trial `number`: one that is not taken, and is from now on; None when there is none left."""
        if self.exhausted:
            return None
        width = len(self._space)
        if self._size is None:
            return self._space.from_unit(uniforms(self._seed, number, DICE + width)[DICE:])
        numbers = uniforms(self._seed, number, DICE + TRIES * width)
        for i in range(DICE, len(numbers), width):
            configuration = self._space.from_unit(numbers[i : i + width])
            if self.take(configuration):
                return configuration
        order = Permutation(self._size, self._seed)
        return next(c for c in (self._space.at(order[i]) for i in range(self._size)) if self.take(c))

    def take(self, configuration: Configuration) -> bool:
        """Whether it was free until now."""
        if self._size is None:
            return True
        index = self._space.index_of(configuration)
        free = index not in self._taken
        self._taken.add(index)
        return free
