"""A model of the configurations, from the highest rung of which enough is known.

Which rung that is, and that a share of the configurations stays random, is after Falkner, Klein and Hutter, "BOHB: robust and
efficient hyperparameter optimization at scale" (2018). The model is the Gaussian process of `bayesianoptimization`.
"""

from dataclasses import replace
from itertools import groupby
from typing import Final

import numpy as np

from katib.domain.search_space import Parameter
from katib.domain.trial import Trial, TrialState
from katib.suggestion.base import Request
from katib.suggestion.gp.encoding import Encoding
from katib.suggestion.gp.history import Past, past
from katib.suggestion.gp.optimizer import Optimizer, Style
from katib.suggestion.rungs.resource import Resource

# Trials with a number that a rung has before it is modelled: one more than parameters, and at least so many.
ENOUGH: Final = 4


class Model:
    def __init__(self, resource: Resource, seed: int, request: Request) -> None:
        self._seed = seed
        self._encoding = Encoding(resource.rest)
        self._past = self._known(resource, request)

    def next(self, number: int) -> tuple[Parameter, ...] | None:
        """For trial `number`; None: too little is known. There is a configuration that is not taken."""
        if self._past is None:
            return None
        # Made anew for each, so that several at once are the same as one after another, whatever stands between them.
        optimizer = Optimizer(self._encoding, self._past, self._seed, Style(burn_in=2))
        return self._encoding.parameters(optimizer.next_row(number))

    def expect(self, configuration: tuple[Parameter, ...]) -> None:
        """It runs from now on."""
        if self._past is not None:
            rows, _ = self._encoding.rows([configuration])
            self._past = replace(
                self._past,
                pending=np.concatenate([self._past.pending, rows]),
                taken=self._past.taken | {self._encoding.key(row) for row in rows},
            )

    def _known(self, resource: Resource, request: Request) -> Past | None:
        objective = request.problem.spec.optimization
        if not len(self._encoding):
            return None

        def amount(trial: Trial) -> float:
            texts = [p.value for p in trial.parameters if p.name == resource.dimension.name]
            return float(texts[0]) if texts and resource.dimension.contains(texts[0]) else 0.0

        # What fails with little of the resource fails with much.
        failed = [t for t in request.finished if t.state is TrialState.ERROR]
        others = [t for t in request.finished if t.state is not TrialState.ERROR]
        enough = max(ENOUGH, len(self._encoding) + 1)
        everything, _ = self._encoding.rows(t.parameters for t in (*request.finished, *request.unfinished))
        taken = frozenset(self._encoding.key(row) for row in everything)
        for _, level in groupby(sorted(others, key=amount, reverse=True), key=amount):
            found = past(self._encoding, [*level, *failed], request.unfinished, objective)
            if len(found.y) >= enough:
                return replace(found, taken=taken)
        return None
