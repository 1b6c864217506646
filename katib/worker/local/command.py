"""What exactly is executed for a run: the words of the command, its environment, its working directory."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from katib.domain.pod import is_own_variable
from katib.worker.base import RunSpec

_STUDY_ID: Final = "{{STUDY_ID}}"
_TRIAL_ID: Final = "{{TRIAL_ID}}"
_PYTHON: Final = frozenset({"python", "python3"})
# The manager's settings, its database password among them, and the wrapper's own variables.
_WITHHELD: Final = (
    b"KATIB_",
    b"_katib_",
    # By which the manager keeps models. The server's address, without them, is no secret, and trials may log there.
    b"MLFLOW_TRACKING_TOKEN",
    b"MLFLOW_TRACKING_USERNAME",
    b"MLFLOW_TRACKING_PASSWORD",
)


class CommandError(Exception):
    """The command cannot be started; the message is for the trial's owner."""


@dataclass(frozen=True, slots=True)
class Command:
    argv: list[str | bytes]
    environment: Mapping[bytes, bytes]
    working_dir: str


class CommandBuilder:
    """Takes the environment of this process, and the interpreter it runs with, once."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environb.items() if not name.startswith(_WITHHELD)}
        path = os.fsdecode(environment.get(b"PATH", os.fsencode(os.defpath)))
        # `python` in a trial is the interpreter of Katib itself: the one that has what is installed beside it, and never the
        # shim of a version manager, which takes ten times as long to start.
        if sys.executable:
            path = f"{os.path.dirname(sys.executable)}{os.pathsep}{path}"
        self._environment: Final = {b"PYTHONUNBUFFERED": b"1", **environment, b"PATH": os.fsencode(path)}
        self._path: Final = [entry for entry in dict.fromkeys(path.split(os.pathsep)) if os.path.isabs(entry)]

    def build(self, run: RunSpec, work: str, model: str = "", metrics: str = "") -> Command:
        """`model`: where the program may leave its model. `metrics`: where its metrics are read from.

        Raises CommandError for a command that cannot be started, as far as that can be known; ValueError for characters that
        no command can have.
        """
        working_dir = run.study.working_dir or work
        if run.study.working_dir and not os.path.isdir(working_dir):
            what = "is not a directory" if os.path.exists(working_dir) else "does not exist"
            raise CommandError(f"working_dir {working_dir!r} {what} on this machine; correct it or create it")
        words = [w.replace(_STUDY_ID, run.study_id).replace(_TRIAL_ID, run.trial_id) for w in run.command]
        if not words or not words[0]:
            raise CommandError("the study has no command to run")
        environment = {
            **self._environment,
            **{os.fsencode(n): os.fsencode(v) for n, v in run.study.pod.environment.items() if not is_own_variable(n)},
            **{os.fsencode(name): os.fsencode(value) for name, value in run.environment.items()},
            b"STUDY_ID": run.study_id.encode(),
            b"TRIAL_ID": run.trial_id.encode(),
            b"KATIB_ATTEMPT": b"%d" % run.attempt,
        }
        if model:
            environment[b"KATIB_MODEL_DIR"] = os.fsencode(model)
        if run.study.collector.file_of_manager:
            environment[b"KATIB_METRICS_PATH"] = os.fsencode(metrics)
        return Command([self._resolve(words[0], working_dir), *words[1:], *run.arguments], environment, working_dir)

    def _resolve(self, program: str, working_dir: str) -> str:
        """`program` as a path with a slash in it, so that no shell takes it for a word of its own."""
        if os.sep in program:
            found = os.path.join(working_dir, program)
            if not os.path.exists(found):
                raise CommandError(f"program {program!r} was not found (looked for {found}); correct the command")
            if os.path.isdir(found):
                raise CommandError(f"program {program!r} is a directory; correct the command")
            if not os.access(found, os.X_OK):
                raise CommandError(
                    f"program {program!r} is not executable; use chmod +x, or begin the command with its interpreter"
                )
            return program
        if program in _PYTHON and sys.executable:
            return sys.executable
        for folder in self._path:
            found = f"{folder}/{program}"
            if os.access(found, os.X_OK) and os.path.isfile(found):
                return found
        raise CommandError(f"program {program!r} was not found in PATH; correct the command or install the program")
