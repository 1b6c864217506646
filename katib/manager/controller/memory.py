"""What the reconciler remembers of a study between passes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from katib.domain.trial import Trial
from katib.manager.controller.asking import Conversation
from katib.manager.controller.output import Reading
from katib.manager.controller.ruling import Ruling


@dataclass(slots=True)
class Memory:
    """One study's. Losing it costs time, never truth."""

    conversation: Conversation
    ruling: Ruling
    readings: dict[str, Reading] = field(default_factory=dict)
    worker_trouble: str = ""
    # By the steady clock, as everything that is only waited for in here.
    worker_retry: datetime | None = None
    # The unfinished trials as they were at this revision of the study; every change of one raises it.
    trials: tuple[Trial, ...] = ()
    revision: int = -1
    # The term of the lease in which the present pass began.
    term: int | None = None

    def remember(self, before: int, after: int, changed: Iterable[Trial]) -> None:
        """The trials after a write of ours, if it was the only one since the revision `before` was read."""
        now = {t.id: t for t in changed}
        # Where ours changed no trial, the next revision may well be somebody else's.
        if self.revision != before or after != before + 1 or all(t.revision != after for t in now.values()):
            self.revision = -1
            return
        trials = {t.id: t for t in self.trials} | now
        self.trials = tuple(t for t in trials.values() if not t.state.finished)
        self.revision = after
