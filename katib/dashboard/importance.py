"""How much of the objective's variation each parameter explains, as shares that add up to 1: permutation importance on a random
forest over completed trials (katib.dashboard.forest)."""

import math
from collections.abc import Sequence
from itertools import islice
from typing import Final

from katib.api.client import ManagerClient
from katib.dashboard import forest
from katib.dashboard.answers import Answers
from katib.domain.errors import InvalidArgumentError
from katib.domain.parameters import ParameterType
from katib.domain.search_space import SearchSpace
from katib.domain.study import StudySpec
from katib.domain.trial import Trial, TrialState
from katib.domain.views import every

Json = dict[str, object]

# Fewer trials say nothing; of more, the latest: a forest of 1,000 takes about a second of a core.
LEAST: Final = 10
_MOST: Final = 1000
# One more makes the others, and every page, slower.
_AT_ONCE: Final = 2

_METHOD: Final = "Permutation importance on a random forest"


class Importance:
    """Answers by study and how many of its trials have completed. Each takes a whole core while it is computed."""

    def __init__(self) -> None:
        self._answers: Answers[Json] = Answers(_AT_ONCE)

    def of(self, client: ManagerClient, study_id: str) -> Json:
        """`method`, `trials`: from how many, `quality`: R² of the forest on trials that it has not seen, or None, `shares` of
        the parameters, the largest first. No shares: too few trials. Raises BusyError while others are computed."""
        detail = client.get_study(study_id)
        return self._answers.of(
            study_id, detail.summary.completed, lambda: _compute(detail.spec, _completed(client, study_id))
        )


def _completed(client: ManagerClient, study_id: str) -> list[Trial]:
    completed = every(
        lambda token: client.list_trials(
            study_id, [TrialState.COMPLETED], newest_first=True, page_size=1000, page_token=token
        )
    )
    return list(islice((t for t in completed if t.objective is not None and math.isfinite(t.objective)), _MOST))


def _compute(spec: StudySpec, trials: Sequence[Trial]) -> Json:
    space = SearchSpace.of(spec.parameters)
    points, values = [], []
    for trial in trials:
        try:
            points.append(space.to_unit(trial.parameters))
        except InvalidArgumentError:
            # A client that drives its study itself may try what the search space does not have.
            continue
        values.append(trial.objective or 0.0)
    result: Json = {
        "method": _METHOD,
        "trials": len(points),
        "least": LEAST,
        "quality": None,
        "shares": [],
    }
    if len(points) < LEAST or min(values) == max(values):
        return result
    words = [config.type is ParameterType.CATEGORICAL for config in spec.parameters]
    # Ranks in place of values: a few objectives of 1e9 would otherwise be all that the forest explains.
    fit = forest.fit(points, _ranks(values), words)
    result["quality"] = round(fit.quality, 3)
    weights = fit.weights
    whole = sum(weights)
    shares = [(c.name, w / whole if whole > 0 else 0.0) for c, w in zip(spec.parameters, weights, strict=True)]
    result["shares"] = [{"name": n, "share": round(s, 4)} for n, s in sorted(shares, key=lambda pair: -pair[1])]
    return result


def _ranks(values: Sequence[float]) -> list[float]:
    """Equal values share the middle of their ranks."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            ranks[i] = (start + end - 1) / 2
        start = end
    return ranks
