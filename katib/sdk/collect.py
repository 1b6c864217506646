"""`python -m katib.sdk.collect COMMAND...`: runs the command, and reports what it writes to its metrics file.

For a study whose `metrics_collector` says `reader: sdk`. It stands in front of the study's command, in the image of the trial;
the parameters that Katib adds behind the command reach the program. It gives signals on, ends when the program has ended and
all that it wrote is reported, and ends as the program did.
"""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Final

from katib.domain.collect_environment import VARIABLE, CollectTask, collect_task
from katib.domain.metric_lines import line_parser
from katib.sdk.environment import TrialEnvironment, trial_environment
from katib.sdk.reporter import Reporter
from katib.worker.base import MetricFiles
from katib.worker.metric_files import open_metric_files

_log: Final = logging.getLogger("katib")
_LOOK_S: Final = 0.5
_PIECE: Final = 256 * 1024
_FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_USAGE: Final = 64
_CANNOT_START: Final = 127


def main(command: list[str]) -> int:
    """The exit code of the command, 128 and the signal's number for one that a signal has ended."""
    if not command:
        print("usage: python -m katib.sdk.collect COMMAND...", file=sys.stderr)  # noqa: T201
        return _USAGE
    environment, task = trial_environment(), os.environ.get(VARIABLE, "")
    if environment is None or not task:
        _log.warning("there is nothing to collect here: this is no trial, or its study does not say reader: sdk")
        return _run(command, None)
    try:
        return _run(command, _Collector(environment, collect_task(task)))
    except ValueError as error:
        _log.warning("nothing is collected: %s", error)
        return _run(command, None)


class _Collector:
    """Reads in a thread of its own until it is told that nothing more will come."""

    def __init__(self, environment: TrialEnvironment, task: CollectTask) -> None:
        parser = line_parser(task.collector, task.names[0], task.names, re.compile)
        self._files: MetricFiles = open_metric_files(
            task.collector, task.collector.path, parser, task.names, environment.attempt
        )
        self._reporter = Reporter(environment)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="katib-collect", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._reporter.close()

    def _work(self) -> None:
        while True:
            # Looked at before the file is read: what is there then is all there is.
            ended = self._ended.is_set()
            try:
                whole = self._read(ended=ended)
            except OSError as error:
                if ended:
                    _log.warning("the metrics cannot be read: %s", error)
                whole = True
            if ended and whole:
                return
            if whole:
                self._ended.wait(_LOOK_S)

    def _read(self, *, ended: bool) -> bool:
        piece = self._files.read(_PIECE, ended=ended)
        for observation in piece.observations:
            self._reporter.add([(observation.name, observation.value)], observation.step)
        return piece.end


def _run(command: list[str], collector: _Collector | None) -> int:
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        _log.error("%s cannot be started: %s", command[0], error.strerror)
        return _CANNOT_START

    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    code = process.wait()
    if collector is not None:
        collector.close()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
