"""While a loop has no trial: how long it waits, what it says of that, and when it is a fault. And the end of a study."""

import logging
import time
from datetime import timedelta
from typing import Final

from katib.api.client import ManagerClient
from katib.domain.backoff import backoff
from katib.domain.errors import FailedPreconditionError, KatibError, UnavailableError
from katib.domain.study import StudyReason, StudyState
from katib.domain.views import StudySummary

_log: Final = logging.getLogger("katib")

# While there is no trial to be had: others run, or the study is paused.
_WAIT_FIRST_S: Final = 0.2
_WAIT_MOST_S: Final = 5.0
# How long the algorithm may give nothing while no trial runs, before that is taken for a fault of its.
_NOTHING_S: Final = 600.0
# The manager ends a study some milliseconds after its last trial.
_END_S: Final = 2.0
_LOOK_FIRST_S: Final = 0.01
_LOOK_MOST_S: Final = 0.2


class Lull:
    """From a question that brought no trial to the next one that does."""

    def __init__(self, study_id: str, algorithm: str, patience: float, lease: timedelta) -> None:
        self._study_id: Final = study_id
        self._algorithm: Final = algorithm
        self._patience: Final = patience
        # What others leave is taken up soon after its lease.
        self._most_s: Final = min(_WAIT_MOST_S, lease.total_seconds() / 2)
        self._waited = 0
        self._paused = self._said = False
        # Since when it gives no trials although it is RUNNING, and since when there are none although none runs.
        self._refused_since: float | None = None
        self._nothing_since: float | None = None

    def refused(self, study: StudySummary, error: FailedPreconditionError) -> None:
        """The study gives no trials. It may have been resumed between the refusal and the look at it, and only a refusal that
        goes on is raised."""
        self._nothing_since = None
        self._say_if_paused(study)
        if study.state is not StudyState.RUNNING or study.reason == StudyReason.STOPPING:
            self._refused_since = None
            return
        now = time.monotonic()
        if self._refused_since is not None and now - self._refused_since >= self._patience:
            raise error
        self._refused_since = self._refused_since or now

    def nothing(self, study: StudySummary) -> None:
        """There is no trial now; where none runs that must not go on for ever."""
        self._refused_since = None
        self._say_if_paused(study)
        if not self._said:
            self._said = True
            _log.info("study %s has no trial for this program now: others run", self._study_id)
        if study.state is not StudyState.RUNNING or study.pending + study.running:
            self._nothing_since = None
            return
        now = time.monotonic()
        if self._nothing_since is not None and now - self._nothing_since > _NOTHING_S:
            raise UnavailableError(
                f"{self._algorithm or 'random'} has given no trial for {_NOTHING_S:.0f} s although none runs: see the log of "
                "its service, or ask with another algorithm"
            )
        self._nothing_since = self._nothing_since or now

    def wait(self) -> None:
        self._waited += 1
        # Many programs wait for the same.
        time.sleep(backoff(self._waited, _WAIT_FIRST_S, self._most_s))

    def _say_if_paused(self, study: StudySummary) -> None:
        if (study.state is StudyState.PAUSED) is self._paused:
            return
        self._paused = not self._paused
        if not self._paused:
            _log.info("study %s is not paused any more", self._study_id)
            return
        # It may be for days, and nothing else would say why nothing happens.
        _log.warning(
            "study %s is paused, and this loop waits until it is resumed: by its owner or whoever may operate it, with "
            "katib-cli resume study %s or on the dashboard",
            self._study_id,
            self._study_id,
        )


def wait_until_ended(client: ManagerClient, study_id: str) -> None:
    """When there is nothing more to try the manager ends the study a moment later: whoever looks at it after the loop should
    see that. Not where trials of other programs are out, which may take their time."""
    bounded = client.within(_END_S)
    deadline = time.monotonic() + _END_S
    pause = _LOOK_FIRST_S
    try:
        while True:
            study = bounded.get_study(study_id).summary
            if study.state is not StudyState.RUNNING or study.pending + study.running:
                return
            if time.monotonic() + pause >= deadline:
                return
            time.sleep(pause)
            pause = min(2 * pause, _LOOK_MOST_S)
    except KatibError as error:
        # The loop has ended well; whoever looks next is told.
        _log.info("whether study %s has ended is not known yet: %s", study_id, error)
