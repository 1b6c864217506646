"""The life of a run: begun or adopted, perhaps stopped, gone, judged.

**Who may execute a run.** Its folder is made first, then a wrapper is spawned, then the wrapper creates `started` with O_EXCL,
and only then executes the command. Any number of wrappers may be spawned for one run, by any number of workers; one creates
`started`. A worker that must be sure that a run never executes creates `started` itself. So whatever a manager was doing when
it was killed or frozen:

- before the folder: nothing is there. `create` begins anew; `stop` makes the folder and fences it, and a `create` that thaws
  later meets `started`.
- between the folder and `started`, a wrapper on its way or not: `list` does not name the run. `create` spawns a wrapper
  (again); if there are two, one executes and the other ends with code 125, and its parent adopts the run of the first. `stop`
  fences; a wrapper that comes later ends with 125 and executes nothing.
- between `started` and its content: the command has not been executed yet. A wrapper that still lives is found by its command
  line and adopted; otherwise nothing was executed, nothing can be, and the run FAILED.
- after `started`: the run is alive, adopted by its identity, or gone. Gone with a complete `exit`: it ended so. Gone without:
  its wrapper was killed, or the machine was restarted. What it left behind is killed first; then the run FAILED,
  ProcessVanished. `exit` is read after the process was found gone, never before, so none that was written is missed.
- a frozen worker that thaws and judges a run does nothing that its successor might not do at the same moment: the first
  verdict stays (O_EXCL), signals go to what is identified as the run's, and only the parent collects a child.

**What a run is to this process**, and by which method it becomes what:

    new      not begun yet, as far as is known   begin: a child; adopt: adopted, left or over; fail_start: over
    child    its wrapper lives, and is ours      _gone: left or over; where another wrapper was first, as by `adopt`
    adopted  its wrapper lives                   _gone: left or over
    left     its wrapper is gone, not all of it  _gone, again and again: over
    over     `final` says how it ended

A child's `pid` is its own until it has been collected; an adopted one's may be another process's at any moment.

**When a run is over.** When its wrapper is gone, so that the command it executed has ended, and everything else of it too. What
the command left running in its process group is killed by the wrapper as its last act, so a background process that holds the
output open does not keep the run. What has left the group (a daemon, the workers of a launcher that was killed) is asked to
end, and killed after the grace; after a run that was stopped or vanished it is killed at once. This goes for a run that ended
well too: in a cluster its Pod takes everything along, its model is copied from a folder in which nobody writes, and who deletes
a study does not look for its processes. What has neither the session nor the environment of the run any more (`env -i` in a
session of its own) cannot be told from other processes, and goes on. A run that is history is not looked at again.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from katib.domain.trial import TrialReason
from katib.worker.base import RunPhase, RunStatus
from katib.worker.local.diagnosis import (
    DISK_FULL,
    FENCED,
    NEVER_BEGAN,
    OUT_OF_MEMORY,
    REBOOTED,
    OutOfMemoryCount,
    end_of,
    explain,
)
from katib.worker.local.folder import (
    EXIT,
    OUTPUT,
    REPLACED,
    STARTED,
    Started,
    StartedBy,
    Verdict,
    fence,
    is_full,
    read_started,
    read_verdict,
    write_verdict,
)
from katib.worker.local.leftovers import Leftovers, Rest
from katib.worker.local.process import RunIdentity, boot_id, find_wrapper, is_wrapper, signal_run
from katib.worker.local.waiter import Waiter, Watched, collect

_log: Final = logging.getLogger(__name__)

TICK_S: Final = 0.5
_TROUBLE_S: Final = 1.0
_SURVIVORS_S: Final = 0.05
# A shell that is just about to fork for the command may swallow a SIGTERM for it: a run so young is asked again, after as long.
_YOUNG_S: Final = 0.2
# A disk that is full now was full when a program failed so little ago, and says nothing of one that failed before.
_JUST_S: Final = 30.0
_KILLED: Final = 128 + signal.SIGKILL


@dataclass(slots=True, eq=False)
class Run:
    """A run as this process knows it. `pid` is its wrapper's; `child`: nobody but this process collects it, and it has not
    yet. `drop`: to be forgotten when it is over. `final`: it is over."""

    study_id: str
    name: str
    folder: str
    trial_id: str
    attempt: int
    started_at: datetime
    pid: int = 0
    child: bool = False
    stopping: bool = False
    drop: bool = False
    size: int = 0
    message: str = ""
    final: RunStatus | None = None
    rest: Rest = field(default_factory=Rest)


class Runs:
    """Every change of a run is made under `lock`, which callers may hold."""

    def __init__(
        self, wake: Callable[[str], None], over: Callable[[Run], None], grace_s: float, *, pidfds: bool
    ) -> None:
        """`wake` is called with a study's id when one of its runs has ended or printed, `over` with a run that has ended."""
        self.lock: Final = threading.RLock()
        self._wake: Final = wake
        self._over: Final = over
        self._grace_s: Final = grace_s
        self._live: Final[set[Run]] = set()
        self._leftovers: Final = Leftovers(grace_s)
        self._out_of_memory: Final = OutOfMemoryCount()
        self._waiter: Final = Waiter(self._look, TICK_S, pidfds=pidfds)

    def begin(self, run: Run, pid: int) -> None:
        """The run's wrapper has been spawned by this process."""
        with self.lock:
            run.pid, run.child = pid, True
            self._live.add(run)
        self._waiter.watch(Watched(pid, run.name, partial(self._gone, run), child=True))

    def adopt(self, run: Run, started: Started, *, history: bool = False) -> None:
        """The run was started, or fenced, by another process. `history`: it was seen to be over."""
        with self.lock:
            run.pid, run.child = 0, False
            run.started_at = _written(f"{run.folder}/{STARTED}")
            if started.by is StartedBy.FENCE:
                self._finish(run, read_verdict(run.folder) or FENCED)
            elif started.by is StartedBy.WRAPPER and started.boot_id != boot_id():
                self._finish(run, read_verdict(run.folder) or self._record(run, REBOOTED))
            elif history and (verdict := read_verdict(run.folder)) is not None:
                self._finish(run, verdict)
            elif (pid := _wrapper(run, started)) is not None:
                run.pid = pid
                self._live.add(run)
                self._waiter.watch(Watched(pid, run.name, partial(self._gone, run), child=False))
            else:
                self._live.add(run)
                self._settle(run)

    def fail_start(self, run: Run, message: str) -> None:
        """No command can be executed for the run."""
        with self.lock:
            if not fence(run.folder):
                self.adopt(run, read_started(run.folder) or Started(StartedBy.UNKNOWN))
            else:
                self._finish(run, self._record(run, Verdict(None, TrialReason.START_FAILED, message)))

    def stop(self, run: Run) -> None:
        with self.lock:
            if run.final is not None or run.stopping:
                return
            run.stopping = True
            signal_run(self._identity(run), signal.SIGTERM)
            young = (datetime.now(UTC) - run.started_at).total_seconds() < _YOUNG_S
        if young:
            self._waiter.call_later(_YOUNG_S, partial(self._signal, run, signal.SIGTERM))
        self._waiter.call_later(self._grace_s, partial(self._signal, run, signal.SIGKILL))

    def status(self, run: Run) -> RunStatus:
        if run.final is not None:
            return run.final
        return RunStatus(
            name=run.name,
            study_id=run.study_id,
            trial_id=run.trial_id,
            attempt=run.attempt,
            phase=RunPhase.STOPPING if run.stopping else RunPhase.RUNNING,
            message=run.message,
            started_at=run.started_at,
            output_version=_size(run),
        )

    def close(self) -> None:
        self._waiter.close()

    # In the waiter's thread

    def _look(self) -> None:
        with self.lock:
            live = list(self._live)
        printed = set()
        for run in live:
            size = _size(run)
            if size != run.size:
                run.size = size
                printed.add(run.study_id)
        self._out_of_memory.look()
        for study_id in printed:
            self._wake(study_id)

    def _signal(self, run: Run, signal_: signal.Signals) -> None:
        with self.lock:
            if run.final is None:
                signal_run(self._identity(run), signal_)

    def _gone(self, run: Run) -> None:
        """The wrapper is gone; called again until nothing of the run is left."""
        said = run.message
        try:
            self._settle(run)
        except OSError as error:
            _log.warning("run %s has ended, but its folder cannot be used; trying again: %s", run.name, error)
            self._waiter.call_later(_TROUBLE_S, partial(self._gone, run))
        if run.final is not None or run.message != said:
            self._wake(run.study_id)

    def _settle(self, run: Run) -> None:
        with self.lock:
            if run.final is not None:
                return
            verdict = read_verdict(run.folder)
            unknown = verdict in (None, REPLACED)
            if unknown and run.child and not self._was_executed(run):
                return
            ended_well = verdict is not None and verdict.code == 0
            if self._has_left(run, ended_well=ended_well, at_once=unknown or run.stopping):
                self._waiter.call_later(_SURVIVORS_S, partial(self._gone, run))
                return
            # From here on its number may be another's.
            code = collect(run.pid) if run.child else None
            run.child = False
            started = read_started(run.folder) if verdict is None and code is None else None
            end = end_of(verdict, code, started)
            self._finish(run, self._record(run, end) if verdict is None else end)

    def _was_executed(self, run: Run) -> bool:
        """Whether it was our wrapper that executed the run. If not, the run is given to whoever it is."""
        started = read_started(run.folder)
        if started is not None and (started.pid == run.pid or started.by is StartedBy.STRANGER):
            return True
        if started is None and not os.path.isdir(run.folder):
            return True  # and removed its own folder
        code = collect(run.pid)
        run.child = False
        if started is None:
            message = FENCED.message if run.stopping else f"{NEVER_BEGAN.message} (code {code})"
            self.fail_start(run, message)
        else:
            self.adopt(run, started)
        return False

    def _has_left(self, run: Run, *, ended_well: bool, at_once: bool) -> bool:
        """Whether anything is left of a run whose wrapper is gone; it is seen to its end. The session of a wrapper that was not
        a child may be another's by now: what is left of its run is known by the environment only."""
        identity = RunIdentity(run.trial_id, run.attempt, run.pid if run.child else 0)
        left = self._leftovers.end(identity, run.rest, ended_well=ended_well, at_once=at_once)
        if left:
            numbers = ", ".join(str(member.pid) for member in left[:5])
            run.message = f"waiting for {len(left)} of its processes to end ({numbers})"
        return bool(left)

    def _record(self, run: Run, verdict: Verdict) -> Verdict:
        """As it stands in the folder: another worker may have been first."""
        write_verdict(run.folder, verdict)
        return read_verdict(run.folder) or verdict

    def _finish(self, run: Run, verdict: Verdict) -> None:
        if verdict.code is not None:
            verdict = explain(verdict.code, self._hint(run, verdict.code))
        run.final = RunStatus(
            name=run.name,
            study_id=run.study_id,
            trial_id=run.trial_id,
            attempt=run.attempt,
            phase=RunPhase.SUCCEEDED if verdict.code == 0 else RunPhase.FAILED,
            reason=verdict.reason,
            message=verdict.message,
            exit_code=verdict.code,
            started_at=run.started_at,
            # The file system's clock is the coarser one.
            ended_at=max(run.started_at, _written(f"{run.folder}/{EXIT}")),
            output_version=_size(run),
        )
        self._live.discard(run)
        self._over(run)

    def _hint(self, run: Run, code: int) -> str:
        if run.stopping:
            return "it was asked to end" + (f" and had {self._grace_s:g} s to do so" if code == _KILLED else "")
        if code == _KILLED and self._out_of_memory.happened():
            return OUT_OF_MEMORY
        just = datetime.now(UTC) - _written(f"{run.folder}/{EXIT}") < timedelta(seconds=_JUST_S)
        return DISK_FULL if code and just and is_full(run.folder) else ""

    def _identity(self, run: Run) -> RunIdentity:
        """With the wrapper's number as long as that is known to be its own."""
        own = run.child or (run.pid and is_wrapper(run.pid, run.name))
        return RunIdentity(run.trial_id, run.attempt, run.pid if own else 0)


def _wrapper(run: Run, started: Started) -> int | None:
    if started.by is not StartedBy.WRAPPER:
        return find_wrapper(run.name)
    return started.pid if is_wrapper(started.pid, run.name) else None


def _size(run: Run) -> int:
    try:
        return os.stat(f"{run.folder}/{OUTPUT}").st_size
    except OSError:
        return 0


def _written(path: str) -> datetime:
    """When a file was last written; now, when it is not there."""
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
    except OSError:
        return datetime.now(UTC)
