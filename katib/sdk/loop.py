"""The loop of a program that drives a study: ask for a trial, let the body run, complete it."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Literal, SupportsFloat, SupportsIndex

from katib.api.client import ManagerClient
from katib.domain.asked import algorithm_of
from katib.domain.checks import check_name
from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    KatibError,
)
from katib.domain.lease import lease_of
from katib.domain.metrics import Observation
from katib.domain.models import SavedModel
from katib.domain.report_lines import check_model_path
from katib.domain.trial import Trial as StoredTrial
from katib.domain.trial import TrialState
from katib.domain.views import StudyDetail
from katib.sdk.held import Held, Keeper
from katib.sdk.lull import Lull, wait_until_ended
from katib.sdk.patience import patiently
from katib.sdk.space import Value, typed_value

_log: Final = logging.getLogger("katib")

# A loop that is left says so to the manager, and does not wait for long to be heard: there is the lease.
_LEAVE_S: Final = 5.0
LEFT: Final = (
    "its loop was left in the middle of its body, by break, return or an exception; trial.complete() before a break keeps its "
    "result, and `with trial:` notes an exception on it"
)
_COMPLETED: Final = "it is completed"
# Of what is said of a failure, which may be a traceback; the manager keeps no more.
_MAX_ERROR: Final = 4000
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
        values = []
        for name, value in {**(metrics or {}), **more}.items():
            if found := check_name("metric", name):
                raise InvalidArgumentError(found)
            try:
                values.append((name, float(value)))
            except (TypeError, ValueError) as error:
                raise InvalidArgumentError.of(name, value, f"expected a number ({error})") from None
        self._held.add(values, None if step is None else _whole(step))

    def report_model(self, path: str | os.PathLike[str]) -> None:
        """Says where this program has left the trial's model, for `katib-cli get-model`; what it says again replaces that.

        Katib never removes what is there. Raises InvalidArgumentError for what is no path, and UnavailableError where no
        manager could be reached for the loop's `patience`.
        """
        text = os.fspath(path)
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
        try:
            given = self._loop.end(self._held, self.number, ask=ask)
        except InvalidArgumentError as error:
            self._ended = str(error)
            raise
        self._ended = _COMPLETED
        return given

    def fail(self, error: str, patience: float | None = None) -> None:
        """ERROR with this text."""
        self._check_here()
        if self._ended:
            _log.warning("trial %d cannot fail any more: %s", self.number, self._ended)
            return
        self._loop.give_up(self._held, self.number, error or "failed", patience)
        self._ended = "it has failed"

    def abandon(self) -> None:
        """KILLED, which is no failure, unless it has ended."""
        if not self._ended and self._held.here:
            self._loop.give_up(self._held, self.number, "", _LEAVE_S)
            self._ended = LEFT

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
                self.fail(_text(error), _LEAVE_S)
            else:
                # An interrupt is no fault of the trial.
                self.abandon()
        return False


class Loop:
    def __init__(
        self, client: ManagerClient, study: StudyDetail, name: str, lease: float, patience: float, algorithm: str
    ) -> None:
        if not study.spec.client_driven:
            raise FailedPreconditionError(
                f"study {study.summary.id} is driven by the manager with {study.spec.algorithm}: programs drive those that "
                "katib.create_study has created"
            )
        self._client: Final = client
        self._study_id: Final = study.summary.id
        self._study_name: Final = study.spec.name
        self._name: Final = name
        self._lease: Final = _lease_of(lease)
        self._patience: Final = patience
        named = algorithm_of(study.spec)
        self._algorithm: Final = algorithm or named
        # Whether the study ends with what this loop asks: nobody ends one for another algorithm.
        self._own: Final = bool(named) and self._algorithm == named
        self.objective_name: Final = study.spec.objective_name

    def trials(self, limit: int | None) -> Iterator[Trial]:
        done = 0
        given: Given | None = None
        with Keeper(self._lease) as keeper:
            while limit is None or done < limit:
                stored = self._next(given)
                if stored is None:
                    return
                held = Held(self._client, stored.id, stored.attempt)
                trial = Trial(self, stored, held, last=done + 1 == limit)
                keeper.keep(held)
                try:
                    yield trial
                except GeneratorExit:
                    if not trial.over and held.here and not held.told:
                        _log.warning("trial %d is given up: %s", trial.number, LEFT)
                    trial.abandon()
                    raise
                done += 1
                given = trial.finish()
                keeper.let_go()

    def _next(self, asked: Given | None) -> StoredTrial | None:
        """The next trial, once there is one; None when there is none to come. `asked`: the answer that there is already."""
        lull = Lull(self._study_id, self._algorithm, self._patience, self._lease)
        while True:
            try:
                given, completed = asked or patiently(self._ask, self._patience, "asking for a trial")
            except FailedPreconditionError as error:
                study = self._look().summary
                if study.state.finished:
                    _log.info("study %s is %s: %s", self._study_id, study.state.value, study.message)
                    return None
                lull.refused(study, error)
            else:
                asked = None
                if given:
                    return given[0]
                if completed:
                    if self._own:
                        wait_until_ended(self._client, self._study_id)
                    return None
                lull.nothing(self._look().summary)
            lull.wait()

    def _ask(self) -> Given:
        return self._client.suggest_trials(self._study_id, 1, self._name, self._algorithm, self._lease)

    def _look(self) -> StudyDetail:
        return patiently(lambda: self._client.get_study(self._study_id), self._patience, "looking at the study")

    def save_model(self, trial_id: str, path: str) -> None:
        model = SavedModel(self._study_name, trial_id, (), (), path)
        patiently(lambda: self._client.save_model(model), self._patience, "saying where a model is")

    def end(self, held: Held, number: int, *, ask: bool) -> Given | None:
        """COMPLETED, with what is left to report; with `ask` the answer to a question for the next trial, if there is one."""

        def complete(rest: Sequence[Observation]) -> Given | None:
            about = self._study_id, held.trial_id
            if ask:
                return self._client.complete_and_ask(
                    *about, held.attempt, rest, held.reporter, self._name, self._algorithm, self._lease
                )
            self._client.complete_trial(*about, None, held.attempt, rest, held.reporter)
            return None

        try:
            given = held.end(complete, self._patience, f"ending trial {number}")
        except InvalidArgumentError as error:
            if not str(error).startswith("objective_value"):
                raise
            text = f"its body ended without reporting {self.objective_name}"
            self.give_up(held, number, text, None)
            raise InvalidArgumentError(
                f"trial {number}: {text}: call trial.report({self.objective_name}=...) in it"
            ) from error
        self._say_if_lost(held, number)
        return given

    def give_up(self, held: Held, number: int, error: str, patience: float | None) -> None:
        seconds = self._patience if patience is None else patience
        # As it can be sent: a file's name may be no UTF-8, and a text be longer than a message.
        said = error[:_MAX_ERROR].encode(errors="replace").decode()
        try:
            held.send(seconds)
            held.end(
                lambda _: self._client.within(seconds).abandon_trial(self._study_id, held.trial_id, held.attempt, said),
                seconds,
                f"ending trial {number}",
            )
            self._say_if_lost(held, number)
        except Exception as trouble:
            if patience is None:
                raise
            # Something else is on its way out: that is what the user should see.
            _log.warning("trial %d could not be ended (%s): another program gets it after its lease", number, trouble)

    def _say_if_lost(self, held: Held, number: int) -> None:
        if not held.lost:
            return
        stopped = self._stopped(held) if held.told else ""
        if stopped:
            _log.info("trial %d ended early, as its program was told: %s", number, stopped)
        else:
            _log.warning("trial %d is not this program's any more, and its result is not taken: %s", number, held.lost)

    def _stopped(self, held: Held) -> str:
        """Why, where it was, and is not another program's now."""
        try:
            trial = self._client.within(_LEAVE_S).get_trial(held.trial_id).trial
        except KatibError:
            return ""
        killed = trial.state is TrialState.KILLED and trial.attempt == held.attempt
        return (trial.message or trial.reason or trial.state.value) if killed else ""


def _lease_of(seconds: float) -> timedelta:
    try:
        period = timedelta(seconds=seconds)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgumentError.of("lease", seconds, "expected a number of seconds") from None
    return lease_of("lease", period)


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


def _text(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - its own text may be what fails
        return type(error).__name__
