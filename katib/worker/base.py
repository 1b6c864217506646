"""What the controller asks of a worker, in words that fit a process as well as a Pod."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from os import PathLike
from typing import Final, Protocol

from katib.domain.errors import FieldViolation
from katib.domain.metric_lines import LineParser
from katib.domain.metrics import Observation, OutputLine
from katib.domain.study import StudySpec
from katib.domain.views import LogChunk

# The first step of stopping a run; what is still there after the grace is killed.
STOP_GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is made from: the manager calls the entry point in `katib.workers` with one of these and gets a Worker.

    `data`: a folder for whatever it keeps on this machine. `options`: what the operator has set with `--worker-option
    NAME=VALUE`; a worker refuses what it does not know. `lease_s`: after how long of silence a manager's studies move to
    another, which may then find that the first was only frozen.
    """

    data: str | PathLike[str] = ""
    options: Mapping[str, str] = field(default_factory=dict)
    lease_s: float = 10.0


class RunPhase(Enum):
    WAITING = "waiting"  # exists, does not execute yet: an image is pulled, no node has room
    RUNNING = "running"
    STOPPING = "stopping"  # asked to end, not gone yet
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in (RunPhase.SUCCEEDED, RunPhase.FAILED)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One attempt of a trial, ready to be executed. `name` is `names.run_name(trial_id, attempt)`.

    `arguments` are the trial's parameters, `name=value` each; the driver decides where they go (the local worker and a Pod
    append them to the command). `ran_before`: a run of the study has ended well before.
    """

    name: str
    study_id: str
    trial_id: str
    attempt: int
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    study: StudySpec
    environment: Mapping[str, str] = field(default_factory=dict)
    ran_before: bool = False


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run stands, as its worker knows it now. `reason` and `message` are made for `list trials`. One whose output cannot
    be taken yet may be RUNNING with an `ended_at`. `unseen`: why its worker cannot see how it stands now; then this is how it
    was seen last."""

    name: str
    study_id: str
    trial_id: str
    attempt: int
    phase: RunPhase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    # How much output there is beyond which cursor is the worker's to know; this only says whether asking is worth it.
    output_version: int = 0
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What a run has printed since a cursor. `cursor` is where to go on; opaque, at most 64 characters. One that has not moved
    says that there is nothing more now.

    `end` says that the run has ended and that all of its output has now been given: nothing will follow. `truncated` says
    that output was lost between the two cursors, and `cause` why, where that is known. The last line of a run that is still
    going is held back until its line end comes. A carriage return ends a line too; empty lines are left out; colour codes are
    taken out; what is not UTF-8 is replaced; of a line beyond `metrics.MAX_LINE` bytes the beginning is given.

    `trouble`: why this run's output cannot be read, where that is no trouble of the worker's; empty for none. It is to be read
    again a while later, and nothing is the end before.
    """

    lines: Sequence[OutputLine]
    cursor: str
    end: bool
    truncated: bool = False
    trouble: str = ""
    cause: str = ""


@dataclass(slots=True)
class MetricPiece:
    """`end`: there is nothing more now. `trouble`: what could not be read, and why; empty for nothing. It is to be read again a
    while later, and nothing is the end before. `absent`: there is no file at all, as far as can be seen from here, and another
    machine may have written one.
    `note`: what is to be known of the values in all, such as that some may be missing."""

    observations: list[Observation] = field(default_factory=list)
    end: bool = True
    trouble: str = ""
    absent: bool = False
    note: str = ""


class MetricFiles(Protocol):
    """Reads the file, or the folder of event files, that a run writes its metrics to, while it writes. It remembers how far it
    has come; one that begins anew gives everything again, under the same keys. `seen` are names of which there were values,
    whether they are collected or not."""

    @property
    def path(self) -> str: ...

    @property
    def seen(self) -> Mapping[str, None]: ...

    def read(self, max_bytes: int, *, ended: bool) -> MetricPiece:
        """The next piece. `ended`: nothing will be written any more. What is not there is empty. What cannot be read is trouble
        of the piece, which has all the same what could."""


class Worker(Protocol):
    """Runs attempts of trials. Every method may be called again with the same arguments and changes nothing then.

    Methods raise UnavailableError when the worker cannot be reached now, and InvalidArgumentError for what cannot be an id or
    the name of a run. They are called from several threads, for one study from one at a time (`log` at any time, and `create`
    for as many of its runs as `creates_at_once` says).
    """

    @property
    def creates_at_once(self) -> int:
        """Of how many runs of one study `create` is called at once to advantage: 1 where it does not wait for anybody."""

    @property
    def placement(self) -> str:
        """Which managers can look after a study's runs: only those whose worker answers the same here. Empty: any."""

    def places(self, study_id: str, spec: StudySpec) -> Sequence[str]:
        """Where the study's runs may be, first where the next ones go: words without spaces, which mean something to this
        worker alone. They are stored with the study before a run is created there, so that whoever looks after it later, with
        other options, looks there too. None where `placement` says it all."""

    def look_in(self, study_id: str, places: Sequence[str]) -> None:
        """What was stored of `places`; called before `list`, and for a study that has nothing unfinished with none. Returns at
        once."""

    def check(self, spec: StudySpec) -> Sequence[FieldViolation]:
        """What of a study this worker cannot run; fields are paths below `study_config`."""

    def create(self, run: RunSpec) -> None:
        """Starts a run under its name; one that is there already under that name, alive or ended, is left as it is.

        A command that cannot be started is a run that FAILED, not an error of this call. Raises FailedPreconditionError when
        the study has been deleted here.
        """

    def list(self, study_id: str) -> Sequence[RunStatus]:
        """Every run of the study that has not been deleted, those of earlier processes of the manager included.

        A run whose creation broke off before it existed is not there: `create` makes it, `stop` makes sure that it never
        starts.
        """

    def output(self, study_id: str, name: str, cursor: str, max_bytes: int) -> Output:
        """What the run has printed since `cursor` (empty: from the beginning), at most about `max_bytes` at a time.

        Raises NotFoundError when there is no such run.
        """

    def stop(self, study_id: str, name: str) -> None:
        """Asks a run to end (SIGTERM, after STOP_GRACE_S SIGKILL) and returns at once; `list` shows when it is gone, as
        FAILED unless it ended well all the same. A run that was never started is shown as FAILED and can never start after
        this, not even by a `create` that began before. One that had been deleted is listed again, as it ended or as FAILED:
        whoever stops it has not seen its end."""

    def delete(self, study_id: str, name: str) -> None:
        """The run has ended, its output has been taken in, and `list` need not name it again. Its log may stay. One that is
        still going is stopped and leaves the list when it is gone."""

    def log(self, study_id: str, name: str, offset: int, max_bytes: int) -> LogChunk:
        """Raw output for people, of deleted runs too where it is still there. A negative offset counts from the end. Raises
        NotFoundError when there is none."""

    def delete_study(self, study_id: str) -> None:
        """Removes everything of a study whose runs are gone, logs included. Raises FailedPreconditionError while one is not."""

    def model_path(self, spec: StudySpec, study_id: str, name: str) -> str:
        """Where a run that has ended left its model: a place that it was told by `KATIB_MODEL_DIR`, if there is anything.
        Empty: it left none, or nobody can know. Where the manager cannot look, the place it was told."""

    def remove_model(self, study_id: str, path: str) -> None:
        """Removes the files at `path`, if this worker gave it out by `model_path` for this study, and they are its own to
        remove; anything else is left alone."""

    def metric_files(self, spec: StudySpec, study_id: str, name: str, parser: LineParser) -> MetricFiles:
        """A reader of what a run writes its metrics to, from the beginning; for a study whose collector has a file of the
        manager's to read, and which `check` has let pass. `parser` is for a file of lines."""

    def watch(self, wake: Callable[[str], None]) -> None:
        """From now on calls `wake(study_id)`, from any thread, when something may have happened to one of its runs: it
        ended, it printed. Wakes too often rather than too rarely, but correctness never depends on it. `wake` must return
        at once and never raise."""

    def close(self) -> None:
        """Lets go of everything but the runs: those go on."""
