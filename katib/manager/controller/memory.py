"""What the reconciler remembers of a study between passes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from katib.domain.trial import Trial, TrialState
from katib.manager.controller.asking import Conversation
from katib.manager.controller.output import Reading
from katib.manager.controller.ruling import Ruling


@dataclass(slots=True)
class Unended:
    """A run that is to end and could not be ended: why, how often it was tried, and when it is tried again."""

    trouble: str
    tries: int
    again: datetime


@dataclass(slots=True)
class Memory:
    """One study's. Losing it costs time, never truth."""

    conversation: Conversation
    ruling: Ruling
    readings: dict[str, Reading] = field(default_factory=dict)
    worker_trouble: str = ""
    # By the steady clock, as everything that is only waited for in here.
    worker_retry: datetime | None = None
    # Trials of which the worker could create no run when it was asked last, the one that was tried last behind the others.
    create_last: tuple[str, ...] = ()
    # By name, the one that was tried last behind the others.
    unended: dict[str, Unended] = field(default_factory=dict)
    # The unfinished trials as they were at this revision of the study; every change of one raises it.
    trials: tuple[Trial, ...] = ()
    revision: int = -1
    # When its being held up was last written into the log, by reason; and whether the log does not tell of it this time yet.
    held_up_at: dict[str, datetime] = field(default_factory=dict)
    untold: bool = False
    # The term of the lease in which the present pass began.
    term: int | None = None

    def read(self, revision: int, trials: Sequence[Trial]) -> bool:
        """The unfinished trials, read after the study was at `revision`. Whether a running one has been written to by somebody
        else since: its program, or its client, may have reported."""
        known = {t.id: t.revision for t in self.trials}
        # Trials that changed between the two reads are newer than this revision, which then never comes again.
        self.trials, self.revision = tuple(trials), revision
        return any(t.state is TrialState.RUNNING and known.get(t.id, t.revision) < t.revision for t in trials)

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
