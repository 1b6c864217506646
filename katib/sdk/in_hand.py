"""A trial in the hands of a program that drives a study."""

import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, SupportsFloat, SupportsIndex

from katib.domain.checks import check_name
from katib.domain.errors import FailedPreconditionError, InvalidArgumentError
from katib.domain.report_lines import check_model_path
from katib.domain.trial import Trial as StoredTrial
from katib.leaving import LEAVE_S
from katib.sdk.arguments import text_of
from katib.sdk.held import Held
from katib.sdk.space import Value, typed_value

if TYPE_CHECKING:
    from katib.sdk.loop import Loop

_log: Final = logging.getLogger("katib")

LEFT: Final = (
    "its loop was left in the middle of its body, by break, return, an exception or the program's end; trial.complete() before "
    "that keeps its result, and `with trial:` notes an exception on it"
)
_COMPLETED: Final = "it is completed"
_MAX_STEP: Final = 2**63

# Trials for this program to run, and whether there is nothing more to try.
Given = tuple[Sequence[StoredTrial], bool]


class Trial:
    """A trial in the hands of this program.

    `parameters` are the values to try, by name, numbers as numbers. Use it as a context manager to have what its body raises
    noted on it: ERROR with the exception's text, or KILLED for an interrupt from the keyboard.
    """

    def __init__(self, loop: "Loop", stored: StoredTrial, held: Held, *, last: bool) -> None:
        self._loop: Final = loop
        self._held: Final = held
        self._last: Final = last
        self._given: Given | None = None
        # How it ended here; empty while it has not.
        self._ended = ""
        # It is to be completed, and an interrupt may have come in between.
        self._ending = False
        self.id: Final = stored.id
        self.number: Final = stored.number
        self.attempt: Final = stored.attempt
        self.objective_name: Final = loop.objective_name
        self.parameters: Final[Mapping[str, Value]] = {p.name: typed_value(p) for p in stored.parameters}

    def __repr__(self) -> str:
        return f"<katib trial {self.number} ({self.id}): {dict(self.parameters)}>"

    def __getitem__(self, name: str) -> Value:
        return self.parameters[name]

    @property
    def over(self) -> bool:
        """Whether it has come to its end here, or is not this program's any more."""
        return bool(self._ended or self._held.lost)

    def report(
        self,
        metrics: Mapping[str, SupportsFloat] | None = None,
        /,
        *,
        step: SupportsIndex | None = None,
        **more: SupportsFloat,
    ) -> None:
        """Values of metrics: `trial.report(accuracy=0.93, loss=0.2, step=4)`.

        They are sent in the background, and all of them before the trial is completed. NaN and infinities are values. Raises
        InvalidArgumentError for what is no number or no name, and FailedPreconditionError once the trial has ended here.
        """
        self._check_here()
        if self._ended:
            raise FailedPreconditionError(f"trial {self.number} takes no more reports: {self._ended}")
        values = [(_metric(name), _value(name, value)) for name, value in {**_named(metrics), **more}.items()]
        self._held.add(values, None if step is None else _whole(step))

    def report_model(self, path: str | os.PathLike[str]) -> None:
        """Says where this program has left the trial's model, for `katib-cli get-model`; what it says again replaces that.

        Katib never removes what is there. Raises InvalidArgumentError for what is no path, and UnavailableError where no
        manager could be reached for the loop's `patience`.
        """
        text = _path(path)
        if found := check_model_path("path", text):
            raise InvalidArgumentError(found)
        self._check_here()
        self._loop.save_model(self.id, text)

    def should_stop(self) -> bool:
        """Whether the body may end early: the trial was stopped, its study ends, or another program has it now. Never waits;
        the manager is asked every two seconds while this is."""
        return self._held.should_stop() or self.over

    def complete(self) -> None:
        """COMPLETED with what was reported, now and not at the end of the body. Raises InvalidArgumentError without the
        objective. Where no manager could be reached for the loop's `patience` it may be called again."""
        self._check_here()
        if self._ended:
            if self._ended != _COMPLETED:
                _log.warning("trial %d cannot be completed: %s", self.number, self._ended)
            return
        self._end(ask=False)

    def _end(self, *, ask: bool) -> "Given | None":
        self._ending = True
        try:
            given = self._loop.end(self._held, self.number, ask=ask)
        except InvalidArgumentError as error:
            self._ended = str(error)
            raise
        self._ended = _COMPLETED
        return given

    def fail(self, error: object) -> None:
        """ERROR with this text, or with the class and text of this exception."""
        self._fail(error, math.inf)

    def _fail(self, error: object, deadline: float) -> None:
        self._check_here()
        if self._ended:
            _log.warning("trial %d cannot fail any more: %s", self.number, self._ended)
            return
        self._loop.give_up(self._held, self.number, _text(error) or "failed", deadline)
        self._ended = "it has failed"

    def abandon(self) -> None:
        """KILLED, which is no failure, unless it has ended."""
        self._ending = False
        self._leave(time.monotonic() + LEAVE_S)

    def leave(self, deadline: float) -> None:
        """The same, for its loop."""
        if not self.over and self._held.here and not self._held.told and not self._ending:
            _log.warning("trial %d is given up: %s", self.number, LEFT)
        self._leave(deadline)

    def _leave(self, deadline: float) -> None:
        if self._ended or not self._held.here:
            return
        if not self._ending:
            self._loop.give_up(self._held, self.number, "", deadline)
            self._ended = LEFT
            return
        try:
            self._loop.end(self._held, self.number, ask=False, deadline=deadline)
        except Exception as trouble:  # noqa: BLE001 - something else is on its way out
            _log.warning("trial %d could not be completed: %s", self.number, trouble)
            self._ended = f"it could not be completed: {trouble}"
        else:
            self._ended = _COMPLETED

    def finish(self) -> "Given | None":
        """At the end of its body, after which the loop goes on: unless this is its last trial, it is asked for the next one in
        the same call. None where there is no answer to that."""
        self._check_here()
        if not self._ended:
            self._given = self._end(ask=not self._last)
        return self._given

    def _check_here(self) -> None:
        if not self._held.here:
            raise FailedPreconditionError(
                f"trial {self.number} belongs to the process that this one was forked from: give it what was found, by a pipe "
                "or a queue, and report, complete or fail the trial there"
            )

    def __enter__(self) -> "Trial":
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> Literal[False]:
        if error is not None and not self._ended and self._held.here:
            if isinstance(error, Exception):
                self._fail(error, time.monotonic() + LEAVE_S)
            else:
                # An interrupt is no fault of the trial; one of its completion is none of its result.
                self._leave(time.monotonic() + LEAVE_S)
        return False


def _whole(step: SupportsIndex | float) -> int:
    """Also a float that is whole, as schedulers count in."""
    try:
        whole = int(step)
        right = whole == step and -_MAX_STEP <= whole < _MAX_STEP
    except (TypeError, ValueError, OverflowError):
        right = False
    if not right:
        raise InvalidArgumentError.of("step", step, "expected a whole number below 2^63")
    return whole


def _text(error: object) -> str:
    kind = f"{type(error).__name__}: " if isinstance(error, BaseException) else ""
    try:
        return "" if error is None else f"{kind}{error}"
    except Exception:  # noqa: BLE001 - its own text may be what fails
        return type(error).__name__


def _named(metrics: Mapping[str, SupportsFloat] | None) -> dict[str, SupportsFloat]:
    try:
        return {} if metrics is None else {**metrics}
    except Exception:  # noqa: BLE001 - whatever is no mapping
        raise InvalidArgumentError.of(
            "metrics", metrics, "expected names with values, as in report(accuracy=0.93) or report({'val-loss': 0.2})"
        ) from None


def _metric(name: object) -> str:
    text = text_of("metric", name, "expected a text, the name of a metric")
    if found := check_name("metric", text):
        raise InvalidArgumentError(found)
    return text


def _value(name: str, value: SupportsFloat) -> float:
    try:
        return float(value)
    except Exception as error:  # noqa: BLE001 - whatever the value is made of
        raise InvalidArgumentError.of(name, value, f"expected a number ({error})") from None


def _path(path: object) -> str:
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = path
    return text_of("path", text, "expected a text or a path object")
