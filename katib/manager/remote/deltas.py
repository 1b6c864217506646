"""What a service has been sent of a study's history, so that the next question brings only what came since.

The truth is in the database alone. A **cursor** names a state of a study's finished trials by what can be looked up there: the
revision of the last change, and a digest of the trials that bear it. Whoever holds a cursor (the service, which keeps it with
the trials, or this manager, which remembers what it was told) may be wrong: a manager reads the trials from that revision on,
sees whether the first of them are those of the digest, and sends everything if not. So a database that was restored from a
copy, or a service that belonged to another installation, costs one question in full. The service counts: should it not come
to as many trials as the study has, it says that it lacks them.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from weakref import WeakKeyDictionary

from katib.api.trial_converters import trial_to_proto
from katib.domain.trial import Trial
from katib.manager.remote.addresses import Line
from katib.manager.service_ports import TrialHistory

_CURSOR: Final = re.compile(r"([0-9]{1,18})-[0-9a-f]{32}")
# For so long a service that does not have the method after all, as one that was rolled back, is asked in full: its successor
# may come by the same connection, through a proxy.
_REFUSED_S: Final = 60.0
# Of so many studies it is remembered what their services have; of others they are asked.
_MOST: Final = 10_000
# A longer history is not sent before the service was asked whether it has it: a manager that takes over a study knows nothing,
# and the service may well know all.
_UNASKED: Final = 100


@dataclass(frozen=True, slots=True)
class Delta:
    """What to add to what a service has as `base` so that it has `cursor`. `trials` None: nothing is known of what it has, and
    it is to say so."""

    base: str
    cursor: str
    trials: Sequence[Trial] | None

    @property
    def everything(self) -> bool:
        return not self.base and self.trials is not None


@dataclass(slots=True)
class _Having:
    cursor: str
    # How many questions in a row the service could not use.
    lacked: int = 0


class Deltas:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._declared: dict[str, bool] = {}
        self._refused: WeakKeyDictionary[Line, float] = WeakKeyDictionary()
        # By address and study, the one asked about last at the end.
        self._having: OrderedDict[tuple[str, str], _Having] = OrderedDict()

    def declared(self, address: str, deltas: bool) -> None:
        """What a service has said of itself when it accepted settings."""
        with self._lock:
            self._declared[address] = deltas

    def understood(self, line: Line) -> bool:
        """Whether the service at the other end has the method, as far as is known."""
        with self._lock:
            refused = self._refused.get(line)
            if refused is not None and time.monotonic() - refused < _REFUSED_S:
                return False
            return self._declared.get(line.address, False)

    def refused(self, line: Line) -> None:
        """It does not, or cannot make use of it."""
        with self._lock:
            self._refused[line] = time.monotonic()

    def delta(self, address: str, study_id: str, history: TrialHistory, count: int) -> Delta:
        """What to send with the next question about a study with `count` finished trials."""
        with self._lock:
            having = self._having.get((address, study_id))
            if having is not None:
                self._having.move_to_end((address, study_id))
        if having is None:
            return Delta("", "", None) if count > _UNASKED else _everything(history)
        return (_since(history, having.cursor) if having.cursor else None) or _everything(history)

    def answered(self, address: str, study_id: str, have: str) -> None:
        """The question was of use, and the service says what it has now."""
        self._remember(address, study_id, _Having(have))

    def lacked(self, line: Line, study_id: str, sent: Delta, have: str) -> None:
        """It was not. Whatever the service says it has is believed once."""
        with self._lock:
            before = self._having.get((line.address, study_id))
        times = 1 + (before.lacked if before is not None else 0)
        if sent.everything:
            # The study's counters are not what its trials are, or the service is at fault. It gets by without.
            self.refused(line)
        self._remember(line.address, study_id, _Having(have if times == 1 and have != sent.base else "", times))

    def forget(self, address: str, study_id: str) -> None:
        with self._lock:
            self._having.pop((address, study_id), None)

    def _remember(self, address: str, study_id: str, having: _Having) -> None:
        with self._lock:
            self._having[address, study_id] = having
            self._having.move_to_end((address, study_id))
            while len(self._having) > _MOST:
                self._having.popitem(last=False)


def _everything(history: TrialHistory) -> Delta:
    trials = history.all()
    return Delta("", _cursor(trials), trials)


def _since(history: TrialHistory, base: str) -> Delta | None:
    """None when the study's trials are not what the cursor says they were."""
    match = _CURSOR.fullmatch(base)
    if match is None:
        return None
    revision = int(match[1])
    found = history.since(revision)
    if _cursor([t for t in found if t.revision == revision]) != base:
        return None
    new = [t for t in found if t.revision > revision]
    return Delta(base, _cursor(new) or base, new)


def _cursor(trials: Sequence[Trial]) -> str:
    """Names a state that ends with these trials; empty without any."""
    if not trials:
        return ""
    revision = max(t.revision for t in trials)
    digest = blake2b(digest_size=16)
    for trial in sorted((t for t in trials if t.revision == revision), key=lambda t: t.number):
        digest.update(trial_to_proto(trial).SerializeToString(deterministic=True))
    return f"{revision}-{digest.hexdigest()}"
