"""Two Pods of one name, in two namespaces: a name is held in one alone.

A manager that was frozen just before it created a run, and whose options name another namespace than those of whoever goes on
with the study, creates it there though it has been created here. The later one goes: no attempt may run twice. In a namespace
where nothing of the study is begun it is another database's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from katib.worker.kubernetes.podapi import Pod


@dataclass(frozen=True, slots=True)
class Double:
    namespace: str
    name: str
    uid: str


class Doubles:
    """With the lock of the runs held, but for what is `found`."""

    def __init__(self) -> None:
        # Where the Pods of a study may be, as it was stored; nothing: that is not known.
        self.placed: Callable[[str], Sequence[str]] = lambda _study_id: ()
        # Those that are to go.
        self.found: Final[dict[str, Double]] = {}

    def goes(self, study_id: str, known: Pod | None, other: Pod) -> Pod | None:
        """Of the Pod of a run that goes on and another of its name, which is not to be looked at any more; None: the first, as
        where one has followed the other."""
        if known is None or _namespace(known) == _namespace(other):
            return None
        placed = self.placed(study_id)
        if _namespace(known) not in placed:
            return None
        if _namespace(other) not in placed:
            return other
        # Written alike, times are in order as they stand; within one second the one that is known stays.
        later = known if _created(other) < _created(known) else other
        metadata = later["metadata"]
        self.found[metadata["uid"]] = Double(_namespace(later), metadata["name"], metadata["uid"])
        return later


def _namespace(pod: Pod) -> str:
    return str(pod["metadata"].get("namespace") or "")


def _created(pod: Pod) -> str:
    return str(pod["metadata"].get("creationTimestamp") or "")
