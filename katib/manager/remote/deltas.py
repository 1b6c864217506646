"""What a service has been sent of a study's history, so that the next question brings only what came since.

The truth is in the database alone. A **cursor** names a state of a study's finished trials by what can be looked up there: the
revision of the last change, and a digest of the trials that bear it. Whoever holds a cursor (the service, which keeps it with
the trials, or this manager, which remembers what it was told) may be wrong: a manager reads the trials from that revision on,
sees whether the first of them are those of the digest, and sends everything if not. So a database that was restored from a
copy, or a service that belonged to another installation, costs one question in full. The service counts: should it not come
to as many trials as the study has, it says that it lacks them.

What is more than one message holds comes in parts, each a delta to the one before, cut between two revisions.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Final
from weakref import WeakKeyDictionary

from katib.api.channel import MAX_MESSAGE_BYTES
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
# So often in a row a service may lack what it was sent.
_MOST_LACKED: Final = 5
# So many trials are read at once, from what the storage remembers.
_MOST_AT_ONCE: Final = 20_000
# Of so many it is counted at once how much they have reported.
_COUNTED_AT_ONCE: Final = 1000
# A question of fewer bytes is not made smaller any more.
_LEAST_BYTES: Final = 16 * 1024
# What a trial takes on the wire beside its texts, and each of its parameters and tags.
_BESIDE: Final = 120
_BESIDE_EACH: Final = 10


@dataclass(frozen=True, slots=True)
class Delta:
    """What to add to what a service has as `base` so that it has `cursor`. `trials` None: nothing is known of what it has, and
    it is to say so. `count`: how many it has with them, where these are only a part of what it lacks."""

    base: str
    cursor: str
    trials: Sequence[Trial] | None
    count: int | None = None

    @property
    def everything(self) -> bool:
        return not self.base and self.trials is not None


@dataclass(slots=True)
class _Having:
    cursor: str
    # How many trials that are; None: it is not known.
    count: int | None = None
    # How many questions in a row the service could not use.
    lacked: int = 0


class Deltas:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._declared: dict[str, bool] = {}
        self._refused: WeakKeyDictionary[Line, float] = WeakKeyDictionary()
        # How many bytes the services take that took less than we send.
        self._most: WeakKeyDictionary[Line, int] = WeakKeyDictionary()
        # By address and study, the one asked about last at the end.
        self._having: OrderedDict[tuple[str, str], _Having] = OrderedDict()
        # Of which their services have kept nothing.
        self._unkept: set[tuple[str, str]] = set()

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

    def delta(self, line: Line, study_id: str, history: TrialHistory, count: int, of_a_value: int) -> Delta:
        """What to send with the next question about a study with `count` finished trials. `of_a_value`: the bytes that a value
        of their curves has on the wire, at most."""
        key = line.address, study_id
        with self._lock:
            most = self._most.get(line, MAX_MESSAGE_BYTES)
            having = self._having.get(key)
            if having is not None:
                self._having.move_to_end(key)
        if having is None:
            return Delta("", "", None) if count > _UNASKED else _everything(history, count, most, of_a_value)
        since = _since(history, having, most, of_a_value) if having.cursor else None
        return since or _everything(history, count, most, of_a_value)

    def answered(self, line: Line, study_id: str, have: str, count: int) -> bool:
        """The question was of use, and the service says what it has now: `count` trials, unless it is nothing. Whether this is
        the first time that it keeps nothing of so many."""
        self._remember(line.address, study_id, _Having(have, count))
        key = line.address, study_id
        with self._lock:
            if have or count <= _UNASKED:
                self._unkept.discard(key)
                return False
            first = key not in self._unkept
            self._unkept.add(key)
            return first

    def took(self, line: Line, study_id: str, part: Delta) -> None:
        """A service has what a part brought."""
        with self._lock:
            before = self._having.get((line.address, study_id))
        self._remember(line.address, study_id, _Having(part.cursor, part.count, before.lacked if before else 0))

    def lacked(self, line: Line, study_id: str, sent: Delta, have: str) -> bool:
        """It was not. Whatever the service says it has is believed once. False: it has happened too often in a row."""
        with self._lock:
            before = self._having.get((line.address, study_id))
        times = 1 + (before.lacked if before is not None else 0)
        if times > _MOST_LACKED:
            self.forget(line.address, study_id)
            return False
        if sent.everything:
            # The study's counters are not what its trials are, or the service is at fault. It gets by without.
            self.refused(line)
        having = have if times == 1 and have != sent.base else ""
        self._remember(line.address, study_id, _Having(having, lacked=times))
        return True

    def too_large(self, line: Line, sent: Delta, most: int, beside: int) -> bool:
        """Whether the question can be asked with fewer trials, as it then will: `most` bytes are taken, and it has so many
        `beside` those trials."""
        if beside >= most:
            return False
        with self._lock:
            kept_to = self._most.get(line, MAX_MESSAGE_BYTES)
            # If that was kept to, there is more in a question than was seen.
            fewer = most if most < kept_to else kept_to // 2
            if fewer < _LEAST_BYTES or len({t.revision for t in sent.trials or ()}) < 2:
                return False
            self._most[line] = fewer
            return True

    def forget(self, address: str, study_id: str) -> None:
        with self._lock:
            self._having.pop((address, study_id), None)
            self._unkept.discard((address, study_id))

    def _remember(self, address: str, study_id: str, having: _Having) -> None:
        with self._lock:
            self._having[address, study_id] = having
            self._having.move_to_end((address, study_id))
            while len(self._having) > _MOST:
                dropped, _ = self._having.popitem(last=False)
                self._unkept.discard(dropped)


def _everything(history: TrialHistory, count: int, most: int, of_a_value: int) -> Delta:
    found = history.since(0) if count > _MOST_AT_ONCE else sorted(history.all(), key=attrgetter("revision"))
    trials, more = _part(_sized(history, found, of_a_value), most)
    return Delta("", _cursor(trials), trials, len(trials) if more else None)


def _since(history: TrialHistory, having: _Having, most: int, of_a_value: int) -> Delta | None:
    """None when the study's trials are not what the cursor says they were, or it is not known how many a part comes to."""
    base = having.cursor
    match = _CURSOR.fullmatch(base)
    if match is None:
        return None
    revision = int(match[1])
    found = iter(history.since(revision))
    first: list[Trial] = []
    later: list[Trial] = []
    for trial in found:
        if trial.revision > revision:
            later.append(trial)
            break
        first.append(trial)
    if _cursor(first) != base:
        return None
    new, more = _part(_sized(history, chain(later, found), of_a_value), most)
    if more and having.count is None:
        return None
    return Delta(
        base, _cursor(new) or base, new, having.count + len(new) if more and having.count is not None else None
    )


def _part(trials: Iterable[tuple[Trial, int]], most: int) -> tuple[Sequence[Trial], bool]:
    """Of these, by revision and each with its size, all if they have no more than `most` bytes, else those of the first half of
    that; and whether there are more. Those of one revision are not parted, for no cursor could name it."""
    taken: list[Trial] = []
    size = half = 0
    for _, group in groupby(trials, lambda sized: sized[0].revision):
        together = list(group)
        size += sum(of_one for _, of_one in together)
        if size > most and taken:
            return taken[: half or len(taken)], True
        taken += (trial for trial, _ in together)
        if size <= most // 2:
            half = len(taken)
    return taken, False


def _sized(history: TrialHistory, trials: Iterable[Trial], of_a_value: int) -> Iterator[tuple[Trial, int]]:
    """Each with about how many bytes it has on the wire."""
    left = iter(trials)
    while some := list(islice(left, _COUNTED_AT_ONCE)):
        values = history.values(some)
        yield from ((trial, _size(trial) + of_a_value * values.get(trial.id, 0)) for trial in some)


def _size(trial: Trial) -> int:
    """Without its curve."""
    size = _BESIDE + len(trial.message) + _BESIDE_EACH * (len(trial.parameters) + len(trial.tags))
    size += sum(len(p.name) + len(p.value) for p in trial.parameters)
    return size + sum(len(t.name) + len(t.value) for t in trial.tags)


def _cursor(trials: Sequence[Trial]) -> str:
    """Names a state that ends with these trials; empty without any."""
    if not trials:
        return ""
    revision = max(t.revision for t in trials)
    digest = blake2b(digest_size=16)
    for trial in sorted((t for t in trials if t.revision == revision), key=lambda t: t.number):
        digest.update(trial_to_proto(trial).SerializeToString(deterministic=True))
    return f"{revision}-{digest.hexdigest()}"
