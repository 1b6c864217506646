"""Rules of the cluster that refuse Pods of a study of which they took others before.

A study whose first Pod is refused has asked for what it may not have. Where its Pods were taken, somebody is more likely to
have changed the rules: a Pod security level, a LimitRange, an admission webhook. Then its next Pods wait, as they do for a
quota, ever longer from one try to the next, each for so long as the operator says: were it so long for all of a study together,
the trials that are left would be used up within seconds after that, and the rules may be taken back a day later. One that is
refused while others are taken is not like them.
"""

import threading
import time
from dataclasses import dataclass
from typing import Final

from katib.domain.backoff import backoff
from katib.domain.errors import UnavailableError
from katib.domain.pod import parse_template
from katib.domain.study_file_values import format_period
from katib.worker.base import RunSpec
from katib.worker.kubernetes.policy import Policy
from katib.worker.kubernetes.remembered import Remembered
from katib.worker.kubernetes.runs import Runs
from katib.worker.kubernetes.template import asks_by_parameters

FIRST_S: Final = 1.0
MOST_S: Final = 30.0
# For so long after a change of the rules some API servers may go by the old ones.
_CHANGING_S: Final = 10.0
# One that nobody has tried to create for so long is not wanted any more.
_FORGET_S: Final = 600.0


@dataclass(slots=True)
class _Waiting:
    """By the monotonic clock: `since` when it is refused, and until when it is not tried `again`. `message`: what is said
    meanwhile."""

    since: float
    again: float
    tries: int
    message: str


class Refusals:
    def __init__(self, runs: Runs, policy: Policy) -> None:
        self._runs: Final = runs
        self._policy: Final = policy
        self._lock: Final = threading.Lock()
        # Studies of which a Pod was taken, and when the last one was, by the monotonic clock.
        self._taken: Final = Remembered[float]()
        self._waiting: Final[dict[str, _Waiting]] = {}

    def check(self, run: RunSpec) -> None:
        """Raises UnavailableError where it was refused just now."""
        with self._lock:
            waiting = self._waiting.get(run.name)
        if waiting is not None and time.monotonic() < waiting.again:
            raise UnavailableError(waiting.message)

    def taken(self, run: RunSpec) -> None:
        self._taken.put(run.study_id, time.monotonic())
        with self._lock:
            self._waiting.pop(run.name, None)

    def refused(self, run: RunSpec, said: str) -> str:
        """By the cluster's rules, in their words. Returns why the run has FAILED; raises UnavailableError while it waits."""
        waits = self._policy.waits_of(run.study)
        most = waits.refused if waits.total is None else waits.total
        now = time.monotonic()
        with self._lock:
            for name in [name for name, one in self._waiting.items() if one.again + _FORGET_S < now]:
                del self._waiting[name]
            before = self._waiting.get(run.name)
            since, tries = (before.since, before.tries + 1) if before is not None else (now, 1)
            last = self._taken.get(run.study_id)
            if not self._were_taken(run) or (last is not None and last > since + _CHANGING_S):
                self._waiting.pop(run.name, None)
                return f"the cluster's rules do not admit its Pod: {said}"
            if since + most.total_seconds() <= now:
                self._waiting.pop(run.name, None)
                return f"the cluster's rules have not admitted its Pod for {format_period(most)}, as they did before: {said}"
            # Without the name of the Pod: a study says this, and would say another thing for each of its trials.
            words = said.replace(f'pods "{run.name}" is forbidden: ', "").replace(run.name, "NAME")
            message = (
                "the cluster's rules do not admit Pods of the study any more, which each trial tries again for "
                f"{format_period(most)}: {words}; have what was changed taken back, or the study exempted, or stop the study"
            )
            pause = backoff(tries, FIRST_S, MOST_S, 0.75)
            self._waiting[run.name] = _Waiting(since, now + pause, tries, message)
        raise UnavailableError(message)

    def _were_taken(self, run: RunSpec) -> bool:
        """Whether a Pod like it was, of its study, by this process or as far as is to be seen."""
        if run.study.pod.template and asks_by_parameters(parse_template(run.study.pod.template)):
            return False
        if run.ran_before or run.study_id in self._taken:
            return True
        return any(known.uid and not known.tombstone for known in self._runs.of_study(run.study_id))
