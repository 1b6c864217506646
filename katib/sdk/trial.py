"""What the program of a trial calls: `katib.report`, `katib.report_model` and `katib.should_stop`."""

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType
from typing import Final, SupportsFloat, SupportsIndex

from katib.domain.checks import check_name
from katib.domain.report_lines import check_model_path
from katib.sdk.environment import trial_environment
from katib.sdk.reporter import Reporter

_log: Final = logging.getLogger("katib")
_MAX_STEP: Final = 2**63


class _State:
    """Of this process; a forked child begins anew."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.looked = False
        self.reporter: Reporter | None = None
        self.stopped = False
        self.signalled = False
        self.forked = False
        self.said: set[str] = set()


_state = _State()


def report(
    metrics: Mapping[str, SupportsFloat] | None = None,
    /,
    *,
    step: SupportsIndex | None = None,
    **more: SupportsFloat,
) -> None:
    """Reports values of metrics to the trial that this program runs for.

        katib.report(accuracy=0.93, loss=0.2, step=4)
        katib.report({"val-accuracy": 0.93})

    Returns at once: values are sent in the background, and what is left when the program ends is flushed. `step` is the epoch
    or step that they belong to. Values may be anything that `float()` takes, NaN and infinities included. Whatever the values,
    it never raises: what is no number, or no mapping, is left out, with a line in the log of `katib`. Outside a trial it does
    nothing, and says so once.
    """
    reporter = _reporter()
    if reporter is None:
        return
    values = []
    for name, value in {**_named(metrics), **more}.items():
        number = _number(name, value)
        if number is not None:
            values.append((str(name), number))
    reporter.add(values, _step(step))


def report_model(path: str | os.PathLike[str]) -> None:
    """Says where this program has left its model, to be found by `katib-cli get-model`.

        katib.report_model("s3://models/digits/7")

    For a model that is not at `KATIB_MODEL_DIR`, of which Katib knows by itself. The last call counts. Katib never removes what
    is there, whatever the study's `keep_models`. Never raises; outside a trial it does nothing, and says so once.
    """
    reporter = _reporter()
    if reporter is None:
        return
    try:
        text = os.fspath(path)
        if found := check_model_path("path", text):
            raise ValueError(found[0].expected)
    except Exception as error:  # noqa: BLE001 - whatever was given, the training goes on
        _say_once(f"{path!r} is no model's path: {error}")
        return
    reporter.print_model(text)


def should_stop() -> bool:
    """Whether the trial has been asked to end: by its user, by an early-stopping rule, or because its study ends.

    A program that calls this takes it upon itself to end: the first call, in the main thread, sets a handler for SIGTERM
    where the program has none, so that the signal only makes this true. What is still running ten seconds later is killed.
    Never waits; outside a trial it is false until SIGTERM comes.
    """
    _handle_sigterm()
    reporter = _reporter()
    return (reporter is not None and reporter.should_stop()) or _state.stopped


def _reporter() -> Reporter | None:
    state = _state
    if state.looked:
        return state.reporter
    with state.lock:
        if not state.looked:
            environment = trial_environment()
            if environment is None:
                _log.warning("this is not a trial of Katib: what is reported goes nowhere")
            else:
                if state.forked and "grpc" in sys.modules:
                    # gRPC may not be used in a child of a process that uses it: this one prints its reports.
                    environment = replace(environment, addresses=())
                state.reporter = Reporter(environment)
                _at_end(state.reporter)
            state.looked = True
        return state.reporter


def _at_end(reporter: Reporter) -> None:
    atexit.register(_close, reporter, os.getpid())
    # A process that multiprocessing has started ends without atexit.
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _close, (reporter, os.getpid()), exitpriority=0)


def _close(reporter: Reporter, pid: int) -> None:
    if pid == os.getpid():
        reporter.close()


def _named(metrics: Mapping[str, SupportsFloat] | None) -> dict[str, SupportsFloat]:
    try:
        return {} if metrics is None else {**metrics}
    except Exception:  # noqa: BLE001 - whatever was given, the training goes on
        _say_once(
            f"{_shown(metrics)} is left out: expected names with the values, as in katib.report(accuracy=0.93) or "
            "katib.report({'val-accuracy': 0.93})"
        )
        return {}


def _shown(value: object) -> str:
    try:
        return repr(value)[:80]
    except Exception:  # noqa: BLE001 - as above
        return f"a {type(value).__name__}"


def _number(name: object, value: SupportsFloat) -> float | None:
    try:
        if check_name("", str(name)):
            _say_once(f"{name!r} is no name of a metric: expected 1 to 128 characters without spaces and =")
            return None
        return float(value)
    except Exception as error:  # noqa: BLE001 - whatever the value is made of, the training goes on
        _say_once(f"the value of {name!r} is no number ({type(value).__name__}): {error}")
        return None


def _step(step: SupportsIndex | None) -> int | None:
    if step is None:
        return None
    try:
        # Also a float that is whole, as schedulers count in.
        whole = int(step)
        if whole != step or not -_MAX_STEP <= whole < _MAX_STEP:
            raise ValueError("expected a whole number")
    except Exception as error:  # noqa: BLE001 - as above
        _say_once(f"step {step!r} is left out: {error}")
        return None
    return whole


def _say_once(text: str) -> None:
    if text not in _state.said and len(_state.said) < 100:
        _state.said.add(text)
        _log.warning("%s", text)


def _handle_sigterm() -> None:
    state = _state
    if state.signalled or threading.current_thread() is not threading.main_thread():
        return
    state.signalled = True
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        _state.stopped = True

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        pass  # a sub-interpreter


def _after_fork() -> None:
    global _state
    signalled, _state = _state.signalled, _State()
    # The handler is inherited.
    _state.signalled, _state.forked = signalled, True


os.register_at_fork(after_in_child=_after_fork)
