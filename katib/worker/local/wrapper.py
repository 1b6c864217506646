"""The small shell that executes a run's command, and how it is spawned.

It writes down how the command ended, so it survives whoever spawned it and everything that is sent to its group but SIGKILL. It
forks once, for the command, and starts no other program: a run costs one shell more than a bare start.
"""

import os
import signal
from typing import Final

from katib.api.affinity import everywhere
from katib.api.descriptors import limit_given
from katib.worker.local.command import Command
from katib.worker.local.folder import EXIT, OUTPUT, STARTED

SHELL: Final = "/bin/sh"
# The shell's $0: with the run's name behind it, it tells this process from every other one that bears or bore its number.
TITLE: Final = "katib-run/"

# $1 the run's folder, $2 where the command runs, $3 the boot id, $4 how many files it may have open; the rest is the command,
# which no shell interprets: its first word holds a slash, so it is never a builtin.
#
# set -C makes `>` create with O_EXCL: of several wrappers of a run one goes on. A SIGTERM that comes before the command is
# there to receive it is kept for it. The command inherits none of the traps. The brackets keep the shell's remarks
# ("Terminated") out of its output: they go to the outer standard error, /dev/null. The last act ends what the command left
# behind in its process group, and this shell. When the exit code cannot be written down, the shell ends with it, for its
# parent to see. What stands there already is looked for first: set -C lets it wait at a pipe.
TEXT: Final = f"""\
_katib_run=$1 _katib_work=$2 _katib_boot=$3 _katib_stop=
ulimit -Sn "$4"
shift 4
trap _katib_stop=1 TERM
trap : HUP INT QUIT
set -C
echo "$$ $_katib_boot" >"$_katib_run/{STARTED}" || exit 125
if [ "$_katib_stop" ]; then
  _katib_code=143
elif cd "$_katib_work"; then
  ("$@" 2>&1)
  _katib_code=$?
else
  _katib_code=126
fi
[ ! -e "$_katib_run/{EXIT}" ] && echo "$_katib_code" >"$_katib_run/{EXIT}" && kill -KILL 0
exit "$_katib_code"
"""

# A shell cannot trap what it was started with ignored, and Python ignores SIGPIPE: the command begins with every signal at its
# default and none blocked.
_DEFAULTS: Final = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})

# Appending, so that a second wrapper harms nothing and a command that truncates it leaves no hole. Not waiting, which means
# nothing for a file: an earlier attempt may have put a pipe there, and who spawns waits until it is open.
_OUTPUT: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK


def spawn(folder: str, name: str, boot_id: str, command: Command) -> int:
    """The process id of a wrapper in a session of its own, its output in the run's folder. Raises OSError and ValueError."""
    with everywhere():
        return os.posix_spawn(
            SHELL,
            [SHELL, "-c", TEXT, TITLE + name, folder, command.working_dir, boot_id, limit_given(), *command.argv],
            command.environment,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{folder}/{OUTPUT}", _OUTPUT, 0o644),
                (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULTS,
        )


def keep_descriptors() -> None:
    """What this process itself was started with, beyond the standard three, is not for the runs. What Python, gRPC and SQLite
    open is closed in them anyway."""
    for entry in os.listdir("/dev/fd"):
        if int(entry) > 2:
            try:
                os.set_inheritable(int(entry), False)  # noqa: FBT003
            except OSError:
                pass  # the one that listed them
