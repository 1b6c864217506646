"""The finished trials of studies that a service was sent, so that it need not be sent them again.

A cache and never the truth: what is here can be lost at any moment, and a question that builds on something else than what is
here is not answered. The manager sends everything then. So an answer depends on the study alone, whatever this process has
seen before.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from katib.domain.metrics import Observation
from katib.domain.trial import Trial

# What a kept trial takes in memory, in bytes, beside its text: the objects of the trial, of each of its parameters and tags,
# whose names all trials share, and of each observation (tests/suggestion/test_histories.py compares it with what Python takes).
_BESIDE: Final = 900
_BESIDE_EACH: Final = 130
_BESIDE_OBSERVATION: Final = 250


@dataclass(frozen=True, slots=True)
class Known:
    """A finished trial, its curve if the algorithm looks at curves, and its size on the wire in bytes."""

    trial: Trial
    curve: Sequence[Observation]
    size: int

    @property
    def memory(self) -> int:
        parts = len(self.trial.parameters) + len(self.trial.tags)
        return self.size + _BESIDE + _BESIDE_EACH * parts + _BESIDE_OBSERVATION * len(self.curve)


@dataclass(frozen=True, slots=True)
class Delta:
    """What a question says of the finished trials: `changed` to be added to, or to replace, what is here as `base`. None of the
    `unfinished` (ids) is among them any more, and there must be `count` of them then; that is `cursor`."""

    study_id: str
    base: str
    cursor: str
    changed: Sequence[Known]
    unfinished: Collection[str]
    count: int


@dataclass(frozen=True, slots=True)
class _Kept:
    cursor: str
    known: Mapping[str, Known]
    memory: int


_NOTHING: Final = _Kept("", {}, 0)


class Histories:
    """Of the studies that were asked about last, as many as fit in `most` bytes. Safe from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        # The one asked about last comes last.
        self._studies: OrderedDict[str, _Kept] = OrderedDict()
        self._memory = 0

    def complete(self, delta: Delta) -> Sequence[Known] | None:
        """All finished trials, which are kept under the cursor; None when they cannot be had from what is here."""
        with self._lock:
            kept = self._studies.get(delta.study_id, _NOTHING)
        before = kept if delta.base else _NOTHING
        if before.cursor != delta.base:
            return None
        after = _changed(before, delta)
        if len(after.known) != delta.count:
            # Without a base it may only be asked what is here. What came of one is not the study, though.
            if delta.base:
                self.forget(delta.study_id)
            return None
        self._keep(delta.study_id, after)
        return list(after.known.values())

    def cursor(self, study_id: str) -> str:
        """What is here of the study; empty: nothing."""
        with self._lock:
            return self._studies.get(study_id, _NOTHING).cursor

    def forget(self, study_id: str) -> None:
        with self._lock:
            self._memory -= self._studies.pop(study_id, _NOTHING).memory

    def _keep(self, study_id: str, kept: _Kept) -> None:
        with self._lock:
            self._memory -= self._studies.pop(study_id, _NOTHING).memory
            if kept.cursor and kept.memory <= self._most:
                self._memory += kept.memory
                self._studies[study_id] = kept
            while self._memory > self._most:
                _, dropped = self._studies.popitem(last=False)
                self._memory -= dropped.memory


def _changed(before: _Kept, delta: Delta) -> _Kept:
    gone = [trial_id for trial_id in delta.unfinished if trial_id in before.known]
    if not delta.changed and not gone:
        return _Kept(delta.cursor, before.known, before.memory)
    known = {**before.known, **{new.trial.id: new for new in delta.changed}}
    for trial_id in delta.unfinished:
        known.pop(trial_id, None)
    if len(known) == len(before.known) + len(delta.changed):
        memory = before.memory + _memory(delta.changed)
    else:
        memory = _memory(known.values())
    return _Kept(delta.cursor, known, memory)


def _memory(trials: Iterable[Known]) -> int:
    return sum(known.memory for known in trials)
