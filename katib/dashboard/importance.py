"""How much of the objective's variation each parameter explains.

With scikit-learn: permutation importance (Breiman, Random Forests, 2001, section 10) on a random forest over completed trials.
A forest is fitted to two thirds of them; of the other third each parameter's values are shuffled among the trials, and how much
worse the forest then predicts (the loss of R²) is the parameter's importance. Shares add up to 1.

Without: the square of Spearman's rank correlation for numbers, the correlation ratio of the ranks for words. It sees each
parameter alone, and of a number only what rises or falls throughout.
"""

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from katib.api.client import ManagerClient
from katib.dashboard.answers import Answers
from katib.domain.errors import InvalidArgumentError
from katib.domain.parameters import ParameterType
from katib.domain.search_space import SearchSpace
from katib.domain.study import StudySpec
from katib.domain.trial import Trial, TrialState

Json = dict[str, object]

# Fewer trials say nothing; of more, the latest: a forest of 2,000 takes a second or two.
LEAST: Final = 10
_MOST: Final = 2000
_TREES: Final = 64
_SHUFFLES: Final = 5
# One more makes the others, and every page, slower.
_AT_ONCE: Final = 2

_FOREST: Final = "Permutation importance on a random forest"
_RANKS: Final = "Squared rank correlation, each parameter alone (scikit-learn is not installed)"


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
    found: list[Trial] = []
    token = ""
    while len(found) < _MOST:
        page = client.list_trials(study_id, [TrialState.COMPLETED], newest_first=True, page_size=1000, page_token=token)
        found += [t for t in page.items if t.objective is not None and math.isfinite(t.objective)]
        token = page.next_token
        if not token:
            break
    return found[:_MOST]


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
    forest = find_spec("sklearn") is not None
    result: Json = {
        "method": _FOREST if forest else _RANKS,
        "trials": len(points),
        "least": LEAST,
        "quality": None,
        "shares": [],
    }
    if len(points) < LEAST or min(values) == max(values):
        return result
    words = [config.type is ParameterType.CATEGORICAL for config in spec.parameters]
    if forest:
        weights, result["quality"] = _forest(points, _ranks(values), words)
    else:
        weights = _correlations(points, _ranks(values), words)
    whole = sum(weights)
    shares = [(c.name, w / whole if whole > 0 else 0.0) for c, w in zip(spec.parameters, weights, strict=True)]
    result["shares"] = [{"name": n, "share": round(s, 4)} for n, s in sorted(shares, key=lambda pair: -pair[1])]
    return result


def _forest(
    points: Sequence[Sequence[float]], ranks: Sequence[float], words: Sequence[bool]
) -> tuple[list[float], float]:
    """Ranks in place of values: a few objectives of 1e9 would otherwise be all that the forest explains."""
    numpy: Any = import_module("numpy")
    ensemble: Any = import_module("sklearn.ensemble")
    rng = numpy.random.default_rng(0)
    columns, owner = [], []
    table = numpy.asarray(points)
    for i, word in enumerate(words):
        # A word has no order: a column for each.
        kinds = [table[:, i] == value for value in numpy.unique(table[:, i])] if word else [table[:, i]]
        columns += kinds
        owner += [i] * len(kinds)
    x, y, of = numpy.column_stack(columns).astype(float), numpy.asarray(ranks), numpy.asarray(owner)
    order = rng.permutation(len(y))
    cut = max(len(y) * 2 // 3, 1)
    fitted, seen = order[:cut], order[cut:]
    model = ensemble.RandomForestRegressor(_TREES, min_samples_leaf=2, max_features=0.7, n_jobs=1, random_state=0)
    model.fit(x[fitted], y[fitted])
    right = float(model.score(x[seen], y[seen]))
    weights = []
    for i in range(len(words)):
        lost = 0.0
        for _ in range(_SHUFFLES):
            shuffled = x[seen].copy()
            shuffled[:, of == i] = x[rng.permutation(seen)][:, of == i]
            lost += right - float(model.score(shuffled, y[seen]))
        weights.append(max(lost / _SHUFFLES, 0.0))
    return weights, round(right, 3)


def _correlations(points: Sequence[Sequence[float]], ranks: Sequence[float], words: Sequence[bool]) -> list[float]:
    mean = sum(ranks) / len(ranks)
    whole = sum((r - mean) ** 2 for r in ranks)
    weights = []
    for i, word in enumerate(words):
        column = [point[i] for point in points]
        if word:
            groups: dict[float, list[float]] = {}
            for value, rank in zip(column, ranks, strict=True):
                groups.setdefault(value, []).append(rank)
            between = sum(len(g) * (sum(g) / len(g) - mean) ** 2 for g in groups.values())
            weights.append(between / whole)
            continue
        own = _ranks(column)
        centre = sum(own) / len(own)
        spread = sum((r - centre) ** 2 for r in own)
        together = sum((a - centre) * (b - mean) for a, b in zip(own, ranks, strict=True))
        weights.append(together**2 / (spread * whole) if spread > 0 else 0.0)
    return weights


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
