"""What a transaction knows of the studies that it has locked.

Until it ends nobody else changes such a study nor any of its trials. So what has been read of it since it was locked holds for
all the writes of a group that are about it: the study is read once and written once, and the trials that the group will ask
for are read by one statement together. Nothing of this outlives a write that knows nothing of it (see Writer), nor the
transaction, but as what the next one assumes (kept.py); and each change of a trial or of its study that is made in between is
made here too.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from katib.domain.study import Study
from katib.domain.trial import UNFINISHED, Trial


@dataclass(frozen=True, slots=True)
class Instant:
    """By two clocks: where a machine sleeps, the monotonic one stands still on most systems, the other one goes on."""

    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> "Instant":
        return cls(time.monotonic(), time.time())

    def since(self, earlier: "Instant") -> float:
        """Seconds, by the clock that has gone further. A wall clock that is set makes it wrong, and too long at least where it
        is set forward."""
        return max(self.monotonic - earlier.monotonic, self.wall - earlier.wall)


@dataclass(frozen=True, slots=True)
class About:
    """What a write will ask for, as far as that is known before it runs: a trial by its id, or a client's trials of a study."""

    trial_id: str = ""
    study_id: str = ""
    client_id: str = ""


@dataclass(slots=True)
class HeldStudy:
    """`stored` is as in its row, `study` as it is to be when the transaction ends; `at` is the database's time of the lock,
    and `asked` ours, before it was asked for. `assumed`: there is no lock yet, see kept.py."""

    stored: Study
    study: Study
    at: datetime
    asked: Instant
    assumed: bool = False


@dataclass(slots=True)
class Held:
    studies: dict[str, HeldStudy] = field(default_factory=dict)
    # As they stand, each with its last `seq`. Of held studies alone.
    trials: dict[str, tuple[Trial, int]] = field(default_factory=dict)
    # By study and client: the ids of what it had unfinished when that was read.
    of_clients: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    # By study: the ids of trials whose lease may be over.
    lapsed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def change(self, trial: Trial, taken: int) -> None:
        self.trials[trial.id] = trial, taken

    def of_client(self, study_id: str, client_id: str) -> Iterator[Trial]:
        """The client's unfinished trials of a study for which `of_clients` has been read."""
        named = dict.fromkeys(self.of_clients[study_id, client_id])
        # Those that this transaction has given it.
        named |= dict.fromkeys(i for i, (t, _) in self.trials.items() if t.study_id == study_id)
        for trial in self.named(named):
            if trial.client_id == client_id and trial.state in UNFINISHED:
                yield trial

    def named(self, trial_ids: Iterable[str]) -> Iterator[Trial]:
        return (self.trials[trial_id][0] for trial_id in trial_ids)
