"""The runs that are known: what the reflectors and the answers to our own requests say about Pods, put together.

Two sources tell of one Pod in any order, so the newer version counts, and a Pod that is known to be gone does not come back
with an older event. A run whose Pod has gone before anybody let go of it stays, as it was seen last.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from katib.worker.base import RunPhase, RunStatus
from katib.worker.kubernetes import marks
from katib.worker.kubernetes.clock import reckoned
from katib.worker.kubernetes.diagnosis import Diagnosis, sent_at
from katib.worker.kubernetes.doubles import Doubles
from katib.worker.kubernetes.marks import DriverReason
from katib.worker.kubernetes.outputs import Outputs
from katib.worker.kubernetes.podapi import Pod
from katib.worker.kubernetes.pods import trial_container
from katib.worker.kubernetes.policy import Waits
from katib.worker.kubernetes.reasons import PodReason
from katib.worker.kubernetes.remembered import RememberedStudies
from katib.worker.kubernetes.runlog import RunLog

# An event or an answer that is older than this does not come any more.
_LATE_S: Final = 600.0
_NOTHING_YET: Final = Diagnosis(RunPhase.WAITING)


@dataclass(slots=True, eq=False)
class Run:
    """A run as this process knows it.

    `packed`: what of its Pod is looked at again, while it may still change, as JSON, a third of what it takes as objects.
    `seen`: when each `trouble` of its Pod was seen first, by this process, and what `reckoned` remembers. `over`: all of its
    containers have ended. `uid` empty: there is no Pod. `gone`: there is none any more. `strayed`: it is gone, or somebody has
    changed the labels by which it is found. `let_go_at`: since when nobody needs it, by the monotonic clock; `sentence`: why
    the driver has ended it, where its Pod cannot say so. `unwanted`: with its study; nobody wants to read its log either.
    `forced`: its Pod was told to go without its node; `given_up`: and stayed, so that its end was declared.
    """

    study_id: str
    trial_id: str
    attempt: int
    name: str
    namespace: str
    uid: str = ""
    version: int = 0
    container: str = ""
    packed: bytes | None = None
    diagnosis: Diagnosis = _NOTHING_YET
    seen: dict[str, datetime] = field(default_factory=dict)
    node: str = ""
    started: bool = False
    tombstone: bool = False
    over: bool = False
    gone: bool = False
    strayed: bool = False
    let_go_at: float | None = None
    unwanted: bool = False
    gone_at: float = 0.0
    log: RunLog | None = None
    sentence: tuple[str, str] | None = None
    # For the driver's round: when it may act again, how often it could not and why, and what it has done.
    act_after: float = 0.0
    failures: int = 0
    hindrance: str = ""
    closing: bool = False
    deleting: bool = False
    forced: bool = False
    given_up: bool = False
    tombstone_due: bool = False

    @property
    def identity(self) -> tuple[str, str, int]:
        return self.study_id, self.trial_id, self.attempt

    @property
    def on_node(self) -> bool:
        return bool(self.node)

    @property
    def ended(self) -> bool:
        return self.diagnosis.phase.ended

    @property
    def pod(self) -> Pod | None:
        return None if self.packed is None else json.loads(self.packed)

    def status(self, ahead: timedelta, hidden: Mapping[str, str]) -> RunStatus:
        found = self.diagnosis
        started, ended = (at and at - ahead for at in (found.started_at, found.ended_at))
        if self.ended and self.log is not None and not self.log.settled:
            # Ended, but not to be asked for its output yet.
            message = f"it has ended, and its output cannot be read yet: {self.log.said}" if self.log.said else ""
            found = replace(found, phase=RunPhase.RUNNING, reason="", message=message, exit_code=None)
        elif not self.ended and self.log is not None and self.log.said and not found.message:
            found = replace(found, message=f"what it prints cannot be read now: {self.log.said}")
        if self.hindrance and not self.ended:
            what = "its labels cannot be set" if self.strayed else "it cannot be ended"
            message = f"{what}, which is tried again: {self.hindrance}"
            found = replace(found, message=f"{found.message}; {message}" if found.message else message)
        return RunStatus(
            name=self.name,
            study_id=self.study_id,
            trial_id=self.trial_id,
            attempt=self.attempt,
            phase=found.phase,
            reason=found.reason,
            message=found.message,
            exit_code=found.exit_code,
            started_at=started,
            ended_at=max(ended, started or ended) if ended else None,
            output_version=self.log.version if self.log is not None else 0,
            unseen="" if self.ended else hidden.get(self.namespace, ""),
        )


class Runs:
    """The sink of the reflectors. Every change is made under `lock`, which callers may hold."""

    def __init__(
        self,
        waits: Waits,
        wake: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        fence: timedelta = timedelta.max,
    ) -> None:
        """`now`: by the clock that Pods are judged by. `fence`: how long the name of a finished run is held at least."""
        self.lock: Final = threading.RLock()
        self._waits: Final = waits
        self._wake: Final = wake
        self.now: Final = now
        self._fence: Final = fence
        self._runs: Final[dict[str, Run]] = {}
        self._by_study: Final[dict[str, dict[str, Run]]] = {}
        # Pods that were deleted, and when.
        self._buried: Final[dict[str, float]] = {}
        self.outputs: Outputs | None = None
        self.doubles: Final = Doubles()
        # Studies that this process looks after, and those that were deleted by it.
        self.watched: Final = RememberedStudies()
        self.deleted: Final = RememberedStudies()

    def get(self, name: str) -> Run | None:
        return self._runs.get(name)

    def of_study(self, study_id: str) -> list[Run]:
        with self.lock:
            return list(self._by_study.get(study_id, {}).values())

    def all(self) -> list[Run]:
        with self.lock:
            return list(self._runs.values())

    def studies(self) -> list[str]:
        with self.lock:
            return list(self._by_study)

    def namespace_of(self, study_id: str) -> str | None:
        with self.lock:
            return next((run.namespace for run in self._by_study.get(study_id, {}).values()), None)

    # What the reflectors tell

    def replace(self, namespace: str, pods: list[Pod], version: str) -> None:
        """The list is the newest state when it was asked for, so what is not in it is gone, unless it came later."""
        with self.lock:
            for pod in pods:
                self.put(pod)
            there = {(pod.get("metadata") or {}).get("uid") for pod in pods}
            listed = _number(version)
            for run in list(self._runs.values()):
                here = not namespace or run.namespace == namespace
                if here and run.uid and not run.gone and run.uid not in there and run.version <= listed:
                    self._missed(run)

    def apply(self, kind: str, pod: Pod) -> None:
        with self.lock:
            run = self.put(pod)
            if kind == "DELETED" and run is not None:
                if "deletionTimestamp" in pod["metadata"]:
                    self._bury(run)
                else:
                    # It has left the selector, and lives.
                    self._missed(run)
                    self._buried.pop(run.uid, None)

    # What we know ourselves

    def put(self, pod: Pod) -> Run | None:
        """Takes in a Pod as the API server gave it; None: it is no run's, or it is gone."""
        identity = marks.identity(pod)
        metadata = pod.get("metadata") or {}
        uid, version = str(metadata.get("uid") or ""), _number(metadata.get("resourceVersion"))
        name = str(metadata.get("name") or "")
        with self.lock:
            run = self._runs.get(name)
            if run is not None and not run.gone and run.uid == uid != "" and identity != run.identity:
                run.strayed, identity = True, run.identity
            if identity is None or not uid or uid in self._buried:
                return None
            if run is not None and run.uid == uid and version < run.version:
                return run
            if run is None:
                run = self.add(Run(*identity, name, str(metadata.get("namespace") or "")))
                if run.study_id in self.deleted:
                    # Created late; nobody will ever ask for it.
                    run.let_go_at, run.unwanted = time.monotonic(), True
            elif run.uid != uid and not run.ended and self.doubles.goes(run.study_id, run.pod, pod) is pod:
                self._buried[uid] = time.monotonic()
                return None
            elif run.uid and run.uid != uid:
                # Of that name, but not that Pod: whoever deleted it, or a tombstone, was followed by another.
                self._buried[run.uid] = time.monotonic()
                run.gone = run.closing = run.deleting = run.tombstone_due = run.forced = run.given_up = False
                run.sentence, run.seen, run.hindrance = None, {}, ""
            before = run.diagnosis
            run.uid, run.version, run.gone = uid, version, False
            run.namespace = str(metadata.get("namespace") or "")
            run.container = trial_container(pod)
            slim = marks.slim(pod)
            run.node, run.over = marks.node_of(pod), marks.is_over(pod)
            run.tombstone = marks.is_tombstone(pod)
            run.started = run.started or marks.has_started(pod)
            self._judge(run, slim)
            run.packed = None if run.ended and run.over else json.dumps(slim, separators=(",", ":")).encode()
            self._tell(run, before)
            return run

    def add(self, run: Run) -> Run:
        with self.lock:
            self._runs[run.name] = run
            self._by_study.setdefault(run.study_id, {})[run.name] = run
            return run

    def vanished(self, run: Run) -> None:
        """Asked for by its name, it was not there."""
        with self.lock:
            if run.uid and not run.gone:
                self._bury(run)

    def look_again(self, run: Run) -> None:
        """Time alone may have changed how it stands."""
        with self.lock:
            pod = run.pod
            if pod is None or run.ended:
                return
            before = run.diagnosis
            self._judge(run, pod)
            self._tell(run, before)

    def hinder(self, run: Run, why: str) -> None:
        """It is to end, and why it cannot be ended; empty: nothing is in the way."""
        if run.hindrance != why:
            run.hindrance = why
            self._wake(run.study_id)

    def remind(self, run: Run) -> None:
        """It has long ended, and nobody has let go of it."""
        self._wake(run.study_id)

    def give_up(self, run: Run, message: str) -> None:
        """Its Pod does not go, and nobody waits for it any longer: whatever is heard of it, the run has FAILED."""
        with self.lock:
            if run.ended:
                return
            before = run.diagnosis
            run.given_up = True
            run.diagnosis = replace(before, phase=RunPhase.FAILED, message=message, ended_at=self.now(), hopeless=False)
            if run.log is not None and self.outputs is not None:
                self.outputs.gone(run.log)
            self._tell(run, before)

    def want_output(self, run: Run) -> RunLog | None:
        """From now on its output is read. None: it never had any."""
        with self.lock:
            if run.log is not None and not run.log.dropped:
                return run.log
            if not run.uid or self.outputs is None:
                return None
            version = run.log.version + 1 if run.log is not None else 0
            run.log = RunLog(run.study_id, run.namespace, run.name, run.container, version)
            self.outputs.add(run.log)
            self._tell_log(run)
            return run.log

    def remove(self, run: Run) -> None:
        with self.lock:
            if self._runs.get(run.name) is not run:
                return
            del self._runs[run.name]
            study = self._by_study.get(run.study_id, {})
            study.pop(run.name, None)
            if not study:
                self._by_study.pop(run.study_id, None)
            if run.uid:
                self._buried[run.uid] = time.monotonic()
            if run.log is not None and self.outputs is not None:
                self.outputs.drop(run.log)

    def forget_buried(self) -> None:
        with self.lock:
            until = time.monotonic() - _LATE_S
            for uid in [uid for uid, at in self._buried.items() if at < until]:
                del self._buried[uid]

    # With the lock held

    def _missed(self, run: Run) -> None:
        """It is not where it was found. Whoever made that so is done with it, or it is looked for by its name."""
        if run.deleting or run.study_id not in self.watched:
            self._bury(run)
        else:
            run.strayed = True

    def _judge(self, run: Run, pod: Pod) -> None:
        if run.given_up:
            return
        now = self.now()
        found = marks.judge(pod, now, marks.waits_of(pod, self._waits), run.seen)
        found = reckoned(found, now, run.seen, sent_at(pod))
        if found.trouble:
            run.seen.setdefault(found.trouble, now)
        if run.ended and found.phase.ended:
            # What was said of the end stays said; times may become known later.
            found = replace(found, ended_at=run.diagnosis.ended_at)
        if run.sentence is not None and found.reason == PodReason.POD_DELETED:
            # By us.
            found = replace(found, reason=run.sentence[0], message=run.sentence[1])
        run.diagnosis = found

    def _bury(self, run: Run) -> None:
        """Its Pod is gone."""
        self._buried[run.uid] = time.monotonic()
        if run.deleting or run.study_id not in self.watched:
            self.remove(run)
            return
        before = run.diagnosis
        run.gone, run.gone_at, run.strayed = True, time.monotonic(), False
        # One that goes when it may go has held its name for long enough, whichever manager took it away.
        ended = run.diagnosis.ended_at if run.ended else None
        run.tombstone_due = not run.tombstone and (ended is None or self.now() - ended < self._fence)
        if not run.ended:
            reason, message = self._why_gone(run)
            now = self.now()
            run.diagnosis = Diagnosis(
                RunPhase.FAILED, reason, message, None, run.diagnosis.started_at, run.diagnosis.ended_at or now
            )
        run.packed = None
        if run.log is not None and self.outputs is not None:
            self.outputs.gone(run.log)
        self._tell(run, before)

    def _why_gone(self, run: Run) -> tuple[str, str]:
        if run.sentence is not None:
            return run.sentence
        pod = run.pod
        if pod is not None and marks.stopped_at(pod) is not None:
            return run.diagnosis.reason or DriverReason.STOPPED, run.diagnosis.message or "it was asked to end"
        if run.diagnosis.phase is RunPhase.STOPPING and run.diagnosis.reason:
            return run.diagnosis.reason, run.diagnosis.message
        return PodReason.POD_DELETED, "somebody deleted its Pod"

    def _tell(self, run: Run, before: Diagnosis) -> None:
        self._tell_log(run)
        now = run.diagnosis
        if (before.phase, before.reason, before.message) == (now.phase, now.reason, now.message):
            return
        if now.phase.ended and run.log is not None and not run.log.settled:
            return  # Its output is on its way; that wakes.
        self._wake(run.study_id)

    def _tell_log(self, run: Run) -> None:
        if run.log is None or self.outputs is None:
            return
        run.log.node = run.node
        if run.ended:
            self.outputs.ended(run.log, started=run.started, well=run.diagnosis.phase is RunPhase.SUCCEEDED)
        elif run.started:
            self.outputs.started(run.log)


def statuses(runs: Iterable[Run], ahead: timedelta, hidden: Mapping[str, str]) -> list[RunStatus]:
    """Of those that nobody has let go of; one that has been and still goes on is named until it has ended. `ahead`: of the
    caller's clock, the one that the Pods are judged by. `hidden`: namespaces that cannot be looked at, and why."""
    return [run.status(ahead, hidden) for run in runs if run.let_go_at is None or not run.ended]


def _number(version: object) -> int:
    """A version as a number: versions of one kind grow, and as such they may be compared."""
    try:
        return int(str(version))
    except ValueError:
        return 0
