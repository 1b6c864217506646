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
import time
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
# After the program's end: how long what cannot be read is tried again, and how long all the rest may take to read.
_TROUBLE_S: Final = 5.0
_CLOSE_S: Final = 60.0
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
    collector: _Collector | None = None
    try:
        collector = _Collector(environment, collect_task(task))
    except Exception as error:  # noqa: BLE001
        # Whatever it is, the program is what the trial is for.
        _log.warning("nothing is collected: %s", error)
    return _run(command, collector)


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
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            _log.warning("%s has not been read to its end within %g s", self._files.path, _CLOSE_S)
        self._reporter.close()

    def _work(self) -> None:
        try:
            self._collect()
        except Exception:  # noqa: BLE001
            _log.exception("%s is not read any further", self._files.path)

    def _collect(self) -> None:
        deadline: float | None = None
        noted = False
        while True:
            # Looked at before the file is read: what is there then is all there is.
            ended = self._ended.is_set()
            piece = self._files.read(_PIECE, ended=ended)
            if piece.note and not noted:
                noted = True
                _log.warning("%s", piece.note)
            for observation in piece.observations:
                self._reporter.add([(observation.name, observation.value)], observation.step)
            if not piece.end:
                continue
            if not ended:
                self._ended.wait(_LOOK_S)
                continue
            now = time.monotonic()
            deadline = now + _TROUBLE_S if deadline is None else deadline
            if not piece.trouble:
                return
            if now >= deadline:
                _log.warning("not all metrics could be read: %s", piece.trouble)
                return
            time.sleep(_LOOK_S)


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
