"""The last values of the metrics beside the objective, from the model store."""

import time
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from katib.api.client import ManagerClient
from katib.dashboard.answers import Answers
from katib.dashboard.text import rounded
from katib.domain.errors import NotFoundError
from katib.domain.metrics import parse_value
from katib.domain.views import every

# The store is read by the project, which may have many studies: seldom, and by few at once.
_AT_ONCE: Final = 4
# A model may be saved, or changed, without its study knowing; and that of a trial is saved a little after the trial has ended.
_FRESH_S: Final = 60.0
_NEW_S: Final = 5.0
# Of a hundred thousand trials it takes the manager seconds, and somebody may look while trials end all the time: what took so
# long to read is good for so many times as long.
_REST: Final = 4

Json = dict[str, object]


class Metrics:
    """Answers by study and how many of its trials have finished, the same for everybody who looks within a minute, or within
    seconds where trials end."""

    def __init__(self) -> None:
        self._answers: Answers[Json] = Answers(_AT_ONCE)
        # By study, until when which version of its answer is good.
        self._resting: dict[str, tuple[float, Hashable]] = {}

    def of(self, client: ManagerClient, study_id: str) -> Json:
        """`names`: the metrics but the objective, in the study's order; `values`: theirs, by the number of each finished
        trial. Raises BusyError while others read."""
        detail = client.get_study(study_id)
        names = detail.spec.metric_names[1:]
        if not names:
            return {"names": [], "values": {}}
        ended = detail.summary.ended_at
        new = ended is None or datetime.now(UTC) - ended < timedelta(seconds=_FRESH_S)
        now = time.monotonic()
        version: Hashable = (detail.summary.finished_trials, now // (_NEW_S if new else _FRESH_S))
        until, rested = self._resting.get(study_id, (0.0, None))
        if ended is None and now < until:
            version = rested

        def read() -> Json:
            began = time.monotonic()
            answer = _read(client, study_id, detail.spec.name, names)
            done = time.monotonic()
            others = {id_: rest for id_, rest in self._resting.items() if rest[0] > done}
            self._resting = {**others, study_id: (done + _REST * (done - began), version)}
            return answer

        return self._answers.of(study_id, version, read)


def _read(client: ManagerClient, study_id: str, project: str, names: Sequence[str]) -> Json:
    found = last_values(client, study_id, project, names)
    return {
        "names": names,
        "values": {number: [rounded(value) for value in values] for number, values in found.items()},
    }


def last_values(
    client: ManagerClient, study_id: str, project: str, names: Sequence[str]
) -> dict[int, Sequence[float | None]]:
    """Of each finished trial of a study, by its number, the value of each of these metrics."""
    found: dict[int, Sequence[float | None]] = {}
    try:
        for model in every(lambda token: client.saved_models(project, 1000, token)):
            if model.study_id == study_id:
                known = dict(model.metrics)
                found[model.number] = [parse_value(known.get(name, "")) for name in names]
    except NotFoundError:
        pass  # no trial has ended yet
    return found
