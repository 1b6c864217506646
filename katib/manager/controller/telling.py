"""What a study's early-stopping service has been told, so that a question brings only what came since.

What is remembered here, and what the service keeps, is a cache and never the truth: each question names what it builds on, and
a service that has something else is told everything anew, a bounded piece with each question. So neither the rows read nor the
bytes sent for a question depend on how many trials have finished before.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from katib.domain.names import new_id
from katib.domain.study import Study
from katib.domain.trial import Trial
from katib.manager.ports import Storage
from katib.manager.service_ports import StoppingAnswer, StoppingDelta, TrialDelta

# A piece of at most so many values, 8 bytes each, and trials, about 500 bytes each.
MOST_VALUES: Final = 20_000
MOST_TRIALS: Final = 500


@dataclass(slots=True)
class Telling:
    """One study's; used by the thread that reconciles it. A question that got no answer is followed by `begin_anew`."""

    storage: Storage
    # What the service has, by its own word; empty: nothing.
    _base: str = ""
    # The metrics that its rule looks at; None: it has not said so yet.
    _metrics: tuple[str, ...] | None = None
    # Every change of a trial up to this revision of the study has been told or is in `_changed`, which is told next.
    _revision: int = 0
    _changed: deque[Trial] = field(default_factory=deque)
    # By unfinished trial: the attempt, and the place of the last observation that was told.
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    _asked: StoppingDelta | None = None
    _told: int = 0
    # How many values a service had been told that turned out not to have them.
    lost: int = 0

    def question(self, study: Study) -> StoppingDelta:
        """The next one. The first only asks for the rule's metrics, so that a service that is away, or has no deltas, costs
        nothing."""
        trials: list[TrialDelta] = []
        more = self._metrics is None
        if self._metrics is not None:
            try:
                more = self._tell(study, self._metrics, trials)
            except BaseException:
                # What was read and not told would never be told.
                self.begin_anew()
                raise
        self._asked = StoppingDelta(study.id, study.spec, self._base, new_id(), trials, more)
        return self._asked

    def attempts(self) -> Mapping[str, int]:
        """By unfinished trial, the attempt that the service was told of last."""
        return {trial_id: attempt for trial_id, (attempt, _) in self._places.items()}

    def answered(self, answer: StoppingAnswer) -> bool:
        """Whether the service has what it was told; if not, it is told everything anew."""
        assert self._asked is not None
        if answer.have != self._asked.cursor:
            self.lost = self._told
            self.begin_anew()
            return False
        self._base = answer.have
        if self._metrics is None:
            self._metrics = answer.metrics
        return True

    @property
    def more(self) -> bool:
        """Whether the last question was for telling alone, and the next can follow at once."""
        return self._asked is not None and self._asked.more

    def begin_anew(self) -> None:
        self._base, self._metrics, self._revision, self._asked, self._told = "", None, 0, None, 0
        self._changed.clear()
        self._places.clear()

    def _tell(self, study: Study, metrics: Sequence[str], told: list[TrialDelta]) -> bool:
        """Adds to `told` what is new; whether something is left for the next question."""
        room = MOST_VALUES
        while len(told) < MOST_TRIALS and room > 0:
            if not self._changed:
                page = self.storage.changed_trials(study.id, self._revision, MOST_TRIALS)
                if not page:
                    return False
                self._changed.extend(page)
                self._revision = page[-1].revision
            trial = self._changed.popleft()
            attempt, place = self._places.get(trial.id, (0, 0))
            if attempt != trial.attempt:
                place = 0
            found, last = self.storage.observations_after(trial.id, trial.attempt, metrics, place, room)
            told.append(TrialDelta(replace(trial, message=""), found))
            room -= len(found)
            self._told += len(found)
            self._places[trial.id] = trial.attempt, last
            if room <= 0:
                # There may be more of it.
                self._changed.appendleft(trial)
            elif trial.state.finished:
                del self._places[trial.id]
        return True
