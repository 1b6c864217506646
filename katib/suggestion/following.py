"""Which of a study's trials follow another one, told from their tags.

Where one algorithm follows a good trial to its last digits, while another one goes on looking for better places, the followers
bear the number of the trial that they follow. All that follow the same one are an episode.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from katib.domain.study import Objective
from katib.domain.trial import Tag, Trial, TrialState
from katib.suggestion.base import Request

FOLLOWED: Final = "Auto_followed"
# So many trials that follow none, without a better one, before another one is followed: who has just found another valley goes
# down faster than who follows.
PATIENCE: Final = 20
# Of this many turns all but one are the followers'. Who looks for better places finds some even where all seems to be known.
TURNS: Final = 3


def tag(number: int) -> Tag:
    return Tag(FOLLOWED, str(number))


def followed(trial: Trial) -> int | None:
    """The number of the trial that this one follows; None: it follows none."""
    for t in trial.tags:
        if t.name == FOLLOWED:
            # What says anything else is not ours.
            return int(t.value) if t.value.isascii() and t.value.isdecimal() and len(t.value) < 10 else None
    return None


class Following:
    """What a request's trials say of it. `others` are the finished trials that follow none, by number."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.others: list[Trial] = []
        self._running: list[Trial] = []
        # Of each episode the trials that ended, and those that run.
        self._episodes: dict[int, tuple[list[Trial], list[Trial]]] = {}
        # In a space of finitely many points nothing is followed: each of them counts as tried, whatever its tags say.
        finite = request.problem.space.cardinality is not None
        for place, rest, trials in ((0, self.others, request.finished), (1, self._running, request.unfinished)):
            for trial in trials:
                number = None if finite else followed(trial)
                (rest if number is None else self._episodes.setdefault(number, ([], []))[place]).append(trial)

    @property
    def last(self) -> int | None:
        """The number of the trial that was followed last."""
        begun = {number: min(t.number for each in both for t in each) for number, both in self._episodes.items()}
        return max(begun, key=lambda number: begun[number], default=None)

    def settled(self) -> list[Trial]:
        """Of the others those before the first that still runs: none will come in between."""
        first = min((t.number for t in self._running), default=math.inf)
        return [t for t in self.others if t.number < first]

    def turn(self) -> bool:
        """Whether it is a follower's turn: since the first of them they have had no more than their share of the trials."""
        numbers = [t.number for both in self._episodes.values() for each in both for t in each]
        first = min(numbers, default=math.inf)
        since = sum(t.number > first for each in (self.others, self._running) for t in each)
        return len(numbers) <= (TURNS - 1) * since

    def next(self, fits: Callable[[Trial], bool]) -> int | None:
        """The number of the best trial of those that fit, if that is worth to be followed when the last episode is over: it is
        better than all that followers found, and there was time to find a better one. None: there is none."""
        best = self._best(self.others, fits)
        if best is None or best.number in self._episodes:
            return None
        reached = min((self._cost(t) for ended, _ in self._episodes.values() for t in ended), default=math.inf)
        since = sum(t.number > best.number for t in self.others)
        if self._episodes and (self._cost(best) >= reached or since < PATIENCE):
            return None
        return best.number

    def episode(self, number: int) -> Request:
        """The request as if there were only that trial, as one from elsewhere, and its followers."""
        ended, running = self._episodes.get(number, ([], []))
        begin = [_bare(t) for t in self.others if t.number == number]
        return replace(self._request, finished=[*begin, *ended], unfinished=running)

    def rest(self) -> Request:
        """The request without followers but for the best of each episode, as one from elsewhere: a model would have to tell
        hundreds of trials on one spot apart."""
        if not self._episodes:
            return self._request
        left = (self._best(ended, lambda _: True) for ended, _ in self._episodes.values())
        finished = sorted([*self.others, *(_bare(t) for t in left if t is not None)], key=lambda t: t.number)
        running = [t if followed(t) is None else _bare(t) for t in self._request.unfinished]
        return replace(self._request, finished=finished, unfinished=running)

    def _best(self, trials: Iterable[Trial], fits: Callable[[Trial], bool]) -> Trial | None:
        for trial in sorted(trials, key=lambda t: (self._cost(t), t.number)):
            if self._cost(trial) == math.inf:
                return None
            if fits(trial):
                return trial
        return None

    def _cost(self, trial: Trial) -> float:
        value = trial.objective
        if trial.state is TrialState.ERROR or value is None or not math.isfinite(value):
            return math.inf
        return -value if self._request.problem.spec.optimization is Objective.MAXIMIZE else value


def _bare(trial: Trial) -> Trial:
    return replace(trial, tags=())
