"""The values that trials reported on their way, thinned to what a chart can show."""

from collections.abc import Sequence
from typing import Final

from katib.api.client import ManagerClient
from katib.dashboard.text import rounded
from katib.domain.errors import NotFoundError
from katib.domain.metrics import Observation
from katib.domain.names import is_id_prefix
from katib.domain.views import TrialDetail

_POINTS: Final = 200
# Of a longer trial the middle is left out: so many requests for one curve would keep others waiting.
_BEGINNING: Final = 10_000


def curves_of(client: ManagerClient, study_id: str, metric: str, prefixes: Sequence[str]) -> list[dict[str, object]]:
    """For each trial, found by the beginning of its id: its number, state, reason, the points `[step, value]` of the
    current attempt, at most 200, and whether a middle part was `cut`."""
    found: list[dict[str, object]] = []
    for prefix in prefixes:
        if not is_id_prefix(prefix):
            continue
        for trial in client.list_trials(study_id, id_prefix=prefix, page_size=10).items:
            try:
                observations, cut = both_ends(client, trial.id, [metric] if metric else ())
            except NotFoundError:
                continue
            found.append(
                {
                    "number": trial.number,
                    "id": prefix,
                    "state": trial.state.value,
                    "reason": trial.stop_reason or trial.reason,
                    "points": points(observations),
                    "cut": cut,
                }
            )
    return found


def both_ends(
    client: ManagerClient, trial_id: str, names: Sequence[str] = (), detail: TrialDetail | None = None
) -> tuple[Sequence[Observation], bool]:
    """Of the current attempt the first 10,000 observations, of these metrics or all, and the trial's latest: `detail`, where
    it is known. In the order of their coming; and whether what lies between is left out."""
    first = client.list_observations(trial_id, names=names, page_size=_BEGINNING)
    if not first.next_token:
        return first.items, False
    detail = detail or client.get_trial(trial_id)
    latest = [o for o in detail.observations if not names or o.name in names]
    if detail.trial.attempt != first.items[0].attempt:
        # A new attempt began between the two questions.
        return latest, detail.truncated
    known = {(o.source, o.position, o.ordinal) for o in first.items}
    further = [o for o in latest if (o.source, o.position, o.ordinal) not in known]
    return [*first.items, *further], len(further) == len(latest)


def points(observations: Sequence[Observation], most: int = _POINTS) -> list[list[object]]:
    """By step where each observation has one, else in the order of their coming from 1 on. Of too many, evenly chosen ones,
    first and last among them."""
    by_step = all(o.step is not None for o in observations)
    line: list[tuple[int, float]] = [
        (o.step if by_step and o.step is not None else order, o.value) for order, o in enumerate(observations, start=1)
    ]
    if by_step:
        line.sort(key=lambda point: point[0])
    if len(line) > most:
        last = len(line) - 1
        line = [line[round(i * last / (most - 1))] for i in range(most)]
    return [[step, rounded(value)] for step, value in line]
