"""The last values of the metrics beside the objective, from the model store.

The store is read whole, which of a hundred thousand trials takes the manager seconds, and somebody may look while trials end
all the time. So what took long to read is good for a while, and trials that have ended meanwhile are asked for one by one.
"""

import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from katib.api.client import ManagerClient
from katib.dashboard.answers import Answers
from katib.dashboard.text import rounded
from katib.domain.errors import NotFoundError, UnimplementedError
from katib.domain.metrics import parse_value
from katib.domain.models import SavedModel
from katib.domain.views import StudyDetail, every

# The store is read by the project, which may have many studies: seldom, and by few at once.
_AT_ONCE: Final = 4
# A model may be saved, or changed, without its study knowing; and that of a trial is saved a little after the trial has ended.
_FRESH_S: Final = 60.0
_NEW_S: Final = 5.0
# What took so long to read is good for so many times as long: a twentieth of the manager's time is enough for it.
_REST: Final = 20
# Trials that are looked through for those that have ended meanwhile, and models that are asked for.
_CHANGED: Final = 200
_ONE_BY_ONE: Final = 50
_KEPT: Final = 8

Json = dict[str, object]
# What a page may show of each trial, by its number.
Values = Mapping[int, Sequence[object]]


@dataclass(frozen=True, slots=True)
class _Known:
    """`values` were read whole, and later ones added; until `rests` they are not read whole again. `seen`: the study's revision
    at the last look, and `before`, at the one before it: a model is there a little after its trial's end."""

    names: Sequence[str]
    values: Values
    rests: float
    seen: int
    before: int


class Metrics:
    """Answers by study and how many of its trials have finished, the same for everybody who looks within a minute, or within
    seconds where trials end."""

    def __init__(self) -> None:
        self._answers: Answers[Json] = Answers(_AT_ONCE)
        # By study; of each, one thread reads at a time.
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def of(self, client: ManagerClient, study_id: str) -> Json:
        """`names`: the metrics but the objective, in the study's order; `values`: theirs, by the number of each finished
        trial. Raises BusyError while others read."""
        detail = client.get_study(study_id)
        names = detail.spec.metric_names[1:]
        if not names:
            return {"names": [], "values": {}}
        ended = detail.summary.ended_at
        new = ended is None or datetime.now(UTC) - ended < timedelta(seconds=_FRESH_S)
        version: Hashable = (detail.summary.finished_trials, time.monotonic() // (_NEW_S if new else _FRESH_S))
        return self._answers.of(study_id, version, lambda: self._read(client, study_id, detail, names))

    def _read(self, client: ManagerClient, study_id: str, detail: StudyDetail, names: Sequence[str]) -> Json:
        known = self._known.get(study_id)
        began = time.monotonic()
        if known is not None and known.names == names and began < known.rests and detail.summary.ended_at is None:
            known = _with_later(client, study_id, detail.spec.name, known)
        else:
            found = last_values(client, study_id, detail.spec.name, names)
            done = time.monotonic()
            values: Values = {number: [rounded(value) for value in some] for number, some in found.items()}
            revision = detail.summary.revision
            known = _Known(names, values, done + _REST * (done - began), revision, revision)
        self._keep(study_id, known)
        return {"names": names, "values": known.values}

    def _keep(self, study_id: str, known: _Known) -> None:
        self._known[study_id] = known
        self._known.move_to_end(study_id)
        # Another thread may have taken it away.
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)


def _with_later(client: ManagerClient, study_id: str, project: str, known: _Known) -> _Known:
    """With the values of trials that have ended since, of many the first ones."""
    try:
        change = client.trial_changes(study_id, known.before, _CHANGED)
    except UnimplementedError:
        return known  # an older manager
    ended = [
        (trial_id, number)
        for trial_id, number, state in zip(change.trials.ids, change.trials.numbers, change.trials.states, strict=True)
        if state.finished and number not in known.values
    ]
    later: dict[int, Sequence[object]] = {}
    for trial_id, number in ended[:_ONE_BY_ONE]:
        try:
            model = client.saved_model(project, trial_id)
        except NotFoundError:
            continue  # it comes in a moment, or none are kept
        later[number] = [rounded(value) for value in _values(model, known.names)]
    values = {**known.values, **later} if later else known.values
    return _Known(known.names, values, known.rests, change.revision, known.seen)


def last_values(
    client: ManagerClient, study_id: str, project: str, names: Sequence[str]
) -> dict[int, Sequence[float | None]]:
    """Of each finished trial of a study, by its number, the value of each of these metrics."""
    found: dict[int, Sequence[float | None]] = {}
    try:
        for model in every(lambda token: client.saved_models(project, 1000, token)):
            if model.study_id == study_id:
                found[model.number] = _values(model, names)
    except NotFoundError:
        pass  # no trial has ended yet
    return found


def _values(model: SavedModel, names: Sequence[str]) -> Sequence[float | None]:
    known = dict(model.metrics)
    return [parse_value(known.get(name, "")) for name in names]
