"""The local worker: each run a process of this machine, in a session of its own, that outlives the manager."""

import errno
import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from stat import S_ISDIR
from typing import Final

from katib.domain.errors import (
    FailedPreconditionError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    violation,
)
from katib.domain.metric_lines import LineParser
from katib.domain.study import StudySpec
from katib.domain.views import LogChunk
from katib.worker.base import STOP_GRACE_S, MetricFiles, Output, RunSpec, RunStatus, Worker, WorkerSettings
from katib.worker.local.command import CommandBuilder, CommandError
from katib.worker.local.folder import (
    METRICS,
    MODEL,
    OUTPUT,
    WORK,
    RunFolders,
    fence,
    is_taken,
    mark_taken,
    read_started,
)
from katib.worker.local.output import read_log, read_output
from katib.worker.local.process import boot_id
from katib.worker.local.runs import Run, Runs
from katib.worker.local.wrapper import keep_descriptors, spawn
from katib.worker.metric_files import open_metric_files
from katib.worker.names import split_name

MAX_PLACEMENT: Final = 200
# Looking for runs that another worker made in a folder that this one knows already: at most this often, and never more than a
# hundredth of the time.
RESCAN_S: Final = 60.0
_RESCAN_SHARE: Final = 0.01
# A machine says who it is in one of these (machine-id(5)).
_MACHINE_IDS: Final = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_MACHINE_ID: Final = re.compile("[0-9a-f]{32}")
# Not the command's fault: the same may go well later.
_PASSING: Final = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}
)


def create_worker(settings: WorkerSettings) -> Worker:
    """Entry point `local` of `katib.workers`; the runs are kept below `settings.data`."""
    if settings.options:
        raise InvalidArgumentError.of(
            "--worker-option", next(iter(settings.options)), "the local worker knows no options"
        )
    return LocalWorker(settings.data)


@dataclass(slots=True)
class _Study:
    """What this process knows of a study's runs. `coming` are folders in which nobody had started at the last look; `changed`
    is the time of change of the study's folder then."""

    runs: dict[str, Run] = field(default_factory=dict)
    coming: set[str] = field(default_factory=set)
    changed: int = -1
    next_look: float = 0.0


class LocalWorker:
    """Runs below `<data>/runs`. Any number of these may work on one folder, of one machine, at once."""

    def __init__(
        self,
        data: str | os.PathLike[str],
        *,
        stop_grace_s: float = STOP_GRACE_S,
        rescan_s: float = RESCAN_S,
        pidfds: bool = True,
        room: int | None = None,
    ) -> None:
        """`pidfds=False`: as where a container's rules forbid them. No run is started where the folder's disk has fewer than
        `room` bytes free; None: 32 MiB, or a tenth of a small disk. Raises UnavailableError when the folder cannot be used."""
        if not os.path.exists("/proc/self/stat"):
            raise UnavailableError("the local worker needs Linux: it knows processes by /proc")
        self._data: Final = os.path.realpath(data)
        self._folders: Final = RunFolders(self._data)
        self._commands: Final = CommandBuilder()
        self._rescan_s: Final = rescan_s
        self._room: Final = room
        self._studies: Final[dict[str, _Study]] = {}
        self._wakes: Final[list[Callable[[str], None]]] = []
        self._runs: Final = Runs(self._wake, self._over, stop_grace_s, pidfds=pidfds)
        self._lock: Final = self._runs.lock
        self._closed = False
        keep_descriptors()

    @property
    def creates_at_once(self) -> int:
        return 1

    @property
    def placement(self) -> str:
        return _placement(self._data)

    def places(self, study_id: str, spec: StudySpec) -> Sequence[str]:  # noqa: ARG002 - there is no other place
        return ()

    def look_in(self, study_id: str, places: Sequence[str]) -> None:
        """They are nowhere else than `placement` says."""

    def check(self, spec: StudySpec) -> Sequence[FieldViolation]:
        """A process needs a command, and a place that does not depend on where the manager was started. What only a container
        needs (image, scheduler, mount, pull_secret) is not looked at, and a process sees all GPUs anyway: study files of a
        cluster run unchanged."""
        found: list[FieldViolation] = []
        if spec.client_driven:
            return found
        if not spec.command:
            found.append(violation("command", "", "expected the command that runs a trial"))
        if spec.working_dir and not os.path.isabs(spec.working_dir):
            found.append(violation("working_dir", spec.working_dir, "expected an absolute path"))
        if spec.collector.file_of_manager and spec.collector.path and spec.working_dir:
            found.append(
                violation(
                    "metrics_collector.path",
                    spec.collector.path,
                    "expected none beside working_dir, where all trials would write to it: write to $KATIB_METRICS_PATH",
                )
            )
        if spec.collector.file_of_sdk and (spec.working_dir or os.path.isabs(spec.collector.path)):
            found.append(
                violation(
                    "metrics_collector.path",
                    spec.collector.path,
                    "expected a path below the run's own folder, and no working_dir: all trials would write to this one, and "
                    "each would have the values of the others",
                )
            )
        return found

    def create(self, run: RunSpec) -> None:
        folder = self._folders.run(run.study_id, run.name)
        if split_name(run.name) != (run.trial_id, run.attempt):
            raise InvalidArgumentError.of("run", run.name, f"expected attempt {run.attempt} of trial {run.trial_id}")
        with self._lock:
            if self._closed:
                raise UnavailableError("the local worker is closed")
            runs = self._studies.setdefault(run.study_id, _Study()).runs
            if run.name in runs:
                return
            known = runs[run.name] = _new(run.study_id, run.name, folder)
        try:
            with _data_folder():
                self._start(run, known)
        except BaseException:
            # Not begun, as far as anybody knows: the next create finds out.
            with self._lock:
                runs.pop(run.name, None)
            raise

    def list(self, study_id: str) -> Sequence[RunStatus]:
        with self._lock, _data_folder():
            study = self._look(study_id)
            return [self._runs.status(run) for run in study.runs.values()] if study else []

    def output(self, study_id: str, name: str, cursor: str, max_bytes: int) -> Output:
        with _data_folder():
            run = self._get(study_id, name)
            # Looked at before the file is read: what is there then is all there is.
            ended = run.final is not None
            return read_output(f"{run.folder}/{OUTPUT}", cursor, max_bytes, ended=ended, stopped=run.stopping)

    def stop(self, study_id: str, name: str) -> None:
        folder = self._folders.run(study_id, name)
        with _data_folder():
            run = self._find(study_id, name)
            if run is None:
                try:
                    self._folders.make(folder)
                except NotADirectoryError:
                    return  # the study has been deleted: nothing of it can start
                run = self._fence(study_id, name)
            if run is not None:
                self._runs.stop(run)
                self._recall(run)

    def delete(self, study_id: str, name: str) -> None:
        with _data_folder():
            run = self._find(study_id, name) or self._fence(study_id, name)
            if run is None:
                return
            with self._lock:
                run.drop = True
                if run.final is not None:
                    self._over(run)
            self._runs.stop(run)

    def log(self, study_id: str, name: str, offset: int, max_bytes: int) -> LogChunk:
        with _data_folder():
            run = self._get(study_id, name)
            ended = run.final is not None
            return read_log(f"{run.folder}/{OUTPUT}", offset, max_bytes, ended=ended)

    def delete_study(self, study_id: str) -> None:
        with _data_folder():
            for name in self._folders.names(study_id):
                # What is on its way to start may not, once the folder is gone from under it.
                self._fence(study_id, name)
            with self._lock:
                study = self._look(study_id, again=True)
                live = [run.name for run in study.runs.values() if run.final is None] if study else []
                if live:
                    raise FailedPreconditionError(
                        f"study {study_id} still has {len(live)} runs ({', '.join(live[:3])}); stop them first"
                    )
                self._studies.pop(study_id, None)
            self._folders.delete(study_id)

    def model_path(self, _spec: StudySpec, study_id: str, name: str) -> str:
        with _data_folder():
            return self._folders.model(study_id, name)

    def remove_model(self, study_id: str, path: str) -> None:
        with _data_folder():
            self._folders.remove_model(study_id, path)

    def metric_files(self, spec: StudySpec, study_id: str, name: str, parser: LineParser) -> MetricFiles:
        path = self._metrics_path(spec, study_id, name)
        return open_metric_files(spec.collector, path, parser, spec.metric_names, split_name(name)[1])

    def _metrics_path(self, spec: StudySpec, study_id: str, name: str) -> str:
        folder = self._folders.run(study_id, name)
        return f"{folder}/{WORK}/{spec.collector.path}" if spec.collector.path else f"{folder}/{METRICS}"

    def watch(self, wake: Callable[[str], None]) -> None:
        self._wakes.append(wake)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._runs.close()

    # Starting

    def _start(self, spec: RunSpec, run: Run) -> None:
        try:
            fresh = self._folders.make(run.folder)
        except NotADirectoryError as error:
            raise FailedPreconditionError(f"study {spec.study_id} has been deleted here") from error
        if not fresh and (started := read_started(run.folder)) is not None:
            self._runs.adopt(run, started)
            return
        self._folders.check_room(self._room)
        try:
            metrics = self._metrics_path(spec.study, spec.study_id, spec.name)
            command = self._commands.build(spec, f"{run.folder}/{WORK}", f"{run.folder}/{MODEL}", metrics)
            pid = spawn(run.folder, run.name, boot_id(), command)
        except CommandError as error:
            self._runs.fail_start(run, str(error))
        except ValueError as error:
            self._runs.fail_start(run, f"the command or its environment holds what no process can be given: {error}")
        except OSError as error:
            if error.errno in _PASSING:
                raise
            what = "it is too long for this machine" if error.errno == errno.E2BIG else error.strerror
            self._runs.fail_start(run, f"the command cannot be started: {what}")
        else:
            self._runs.begin(run, pid)

    # Finding

    def _get(self, study_id: str, name: str) -> Run:
        run = self._find(study_id, name)
        if run is None:
            raise NotFoundError(f"there is no run {name} of study {study_id}")
        return run

    def _find(self, study_id: str, name: str) -> Run | None:
        """The run; one that is new to this process is adopted, and kept unless it is history."""
        folder = self._folders.run(study_id, name)
        with self._lock:
            study = self._studies.get(study_id)
            run = study.runs.get(name) if study else None
            if run is None and (started := read_started(folder)) is not None:
                run = _new(study_id, name, folder)
                taken = is_taken(folder)
                self._runs.adopt(run, started, history=taken)
                if not taken:
                    self._studies.setdefault(study_id, _Study()).runs[name] = run
            return run

    def _fence(self, study_id: str, name: str) -> Run | None:
        """Makes sure that a run whose folder is there never starts, if it has not. None: there is no folder."""
        with self._lock:
            run = self._find(study_id, name)
            if run is None:
                try:
                    fence(self._folders.run(study_id, name))
                except (FileNotFoundError, NotADirectoryError):
                    return None
                run = self._find(study_id, name)
            return run

    def _look(self, study_id: str, *, again: bool = False) -> _Study | None:
        """Adopts the runs of the study that this process does not know: all of them the first time. None: there are none."""
        folder = self._folders.study(study_id)
        try:
            stat = os.stat(folder)
        except FileNotFoundError:
            return self._studies.get(study_id)
        if not S_ISDIR(stat.st_mode):
            # Deleted, perhaps by another process.
            self._studies.pop(study_id, None)
            return None
        study = self._studies.setdefault(study_id, _Study())
        began = time.monotonic()
        if again or (stat.st_mtime_ns != study.changed and began >= study.next_look):
            study.coming.update(name for name in self._folders.names(study_id) if name not in study.runs)
            # A change in the same tick of the file system's clock would not show.
            study.changed = stat.st_mtime_ns if time.time_ns() - stat.st_mtime_ns > 1e9 else -1
            study.next_look = began + max(self._rescan_s, (time.monotonic() - began) / _RESCAN_SHARE)
        for name in list(study.coming):
            if self._find(study_id, name) is not None:
                study.coming.discard(name)
        return study

    def _recall(self, run: Run) -> None:
        """Who stops a run that is history does not know how it ended, as after the database was restored from an older copy:
        it is listed again, and its output is there to be taken in again."""
        with self._lock:
            if run.final is not None and is_taken(run.folder):
                mark_taken(run.folder, back=True)
                run.drop = False
                self._studies.setdefault(run.study_id, _Study()).runs[run.name] = run

    # Call-backs of Runs

    def _wake(self, study_id: str) -> None:
        for wake in self._wakes:
            wake(study_id)

    def _over(self, run: Run) -> None:
        """A run that was to be dropped becomes history when it is over."""
        if not run.drop:
            return
        try:
            mark_taken(run.folder)
        except (FileNotFoundError, NotADirectoryError):
            pass  # with its study
        study = self._studies.get(run.study_id)
        if study is not None:
            study.runs.pop(run.name, None)


@contextmanager
def _data_folder() -> Iterator[None]:
    """Trouble with the files is trouble of the worker: later it may go well."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"the local worker cannot use its data folder now: {error}") from error


def _new(study_id: str, name: str, folder: str) -> Run:
    trial_id, attempt = split_name(name)
    return Run(study_id, name, folder, trial_id, attempt, datetime.now(UTC))


def _placement(data: str) -> str:
    """The machine and the folder. A machine without an id, such as a container, is known by its name: give it a lasting one."""
    machine = next(
        (id_ for path in _MACHINE_IDS if _MACHINE_ID.fullmatch(id_ := _first_line(path))), socket.gethostname()
    )
    place = hashlib.sha256(machine.encode()).hexdigest()[:16]
    placement = f"local:{place}:{data}"
    if len(placement) <= MAX_PLACEMENT:
        return placement
    return f"local:{place}:{hashlib.sha256(os.fsencode(data)).hexdigest()}"


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""
