"""The loop of a program that drives a study: ask for a trial, let the body run, complete it."""

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from katib.api.client import ManagerClient
from katib.domain.asked import algorithm_of
from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    KatibError,
)
from katib.domain.lease import lease_of
from katib.domain.metrics import Observation
from katib.domain.models import SavedModel
from katib.domain.trial import Trial as StoredTrial
from katib.domain.trial import TrialState
from katib.domain.views import StudyDetail
from katib.leaving import LEAVE_S, begun
from katib.sdk.held import Held, Keeper
from katib.sdk.in_hand import Given, Trial
from katib.sdk.lull import Lull, wait_until_ended
from katib.sdk.patience import patiently

_log: Final = logging.getLogger("katib")

# Of what is said of a failure, which may be a traceback; the manager keeps no more.
_MAX_ERROR: Final = 4000


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
        self._strategy: Final = study.spec.objective_strategy
        self._pid = os.getpid()
        self._trial: Trial | None = None
        # From a question for a trial until its answer is in somebody's hands: the manager may have given one.
        self._asks = False
        self._left = False

    def trials(self, limit: int | None) -> Iterator[Trial]:
        done = 0
        given: Given | None = None
        self._pid = os.getpid()
        begun(self)
        with Keeper(self._lease) as keeper:
            try:
                while not self._left and (limit is None or done < limit):
                    stored = self._next(given)
                    if stored is None:
                        return
                    held = Held(self._client, stored.id, stored.attempt, self.objective_name, self._strategy)
                    self._trial = trial = Trial(self, stored, held, last=done + 1 == limit)
                    self._asks = False
                    keeper.keep(held)
                    yield trial
                    done += 1
                    given = trial.finish()
                    self._trial = None
                    keeper.let_go()
            except KatibError:
                raise
            except BaseException:
                # By the body's end before its time, or an interrupt or a signal's handler between two bodies.
                self.leave(time.monotonic() + LEAVE_S)
                raise
            finally:
                self._left = True

    def leave(self, deadline: float) -> None:
        """What this loop has from the manager is given back."""
        if self._left or sys.is_finalizing() or os.getpid() != self._pid:
            # Forked, or at the interpreter's end: no other thread runs here, and a call may never end.
            return
        self._left = True
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.leave(deadline)
        if self._asks:
            self._give_back(deadline)

    def _give_back(self, deadline: float) -> None:
        """The same question once more: under the same name it gives the same trial."""
        client = self._client.within(deadline - time.monotonic())
        try:
            given, _ = client.suggest_trials(self._study_id, 1, self._name, self._algorithm, self._lease)
            for trial in given:
                client.abandon_trial(self._study_id, trial.id, trial.attempt)
                _log.info("trial %d is given back: its loop was left before its body began", trial.number)
        except FailedPreconditionError as error:
            _log.debug("there is no trial to be given back: %s", error)
        except Exception as trouble:  # noqa: BLE001 - something else is on its way out
            _log.warning("if there is a trial for this program, another one gets it after its lease: %s", trouble)

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
                self._asks = False
                lull.refused(study, error)
            else:
                asked = None
                if given:
                    return given[0]
                self._asks = False
                if completed:
                    if self._own:
                        wait_until_ended(self._client, self._study_id)
                    return None
                lull.nothing(self._look().summary)
            lull.wait()

    def _ask(self) -> Given:
        self._asks = True
        return self._client.suggest_trials(self._study_id, 1, self._name, self._algorithm, self._lease)

    def _look(self) -> StudyDetail:
        return patiently(lambda: self._client.get_study(self._study_id), self._patience, "looking at the study")

    def save_model(self, trial_id: str, path: str) -> None:
        model = SavedModel(self._study_name, trial_id, (), (), path)
        patiently(lambda: self._client.save_model(model), self._patience, "saying where a model is")

    def end(self, held: Held, number: int, *, ask: bool, deadline: float = math.inf) -> Given | None:
        """COMPLETED, with what is left to report; with `ask` the answer to a question for the next trial, if there is one."""

        def complete(rest: Sequence[Observation], objective: float | None) -> Given | None:
            client, about = self._until(deadline), (self._study_id, held.trial_id)
            if not ask:
                client.complete_trial(*about, objective, held.attempt, rest, held.reporter)
                return None
            self._asks = True
            given = client.complete_and_ask(
                *about, held.attempt, rest, held.reporter, self._name, self._algorithm, self._lease, objective
            )
            self._asks = given is not None
            return given

        try:
            given = held.end(complete, self._patience_until(deadline), f"ending trial {number}", deadline)
        except InvalidArgumentError as error:
            if not str(error).startswith("objective_value"):
                raise
            text = f"its body ended without reporting {self.objective_name}"
            self.give_up(held, number, text, deadline)
            raise InvalidArgumentError(
                f"trial {number}: {text}: call trial.report({self.objective_name}=...) in it"
            ) from error
        self._say_if_lost(held, number, deadline)
        return given

    def give_up(self, held: Held, number: int, error: str, deadline: float = math.inf) -> None:
        """ERROR with this text, KILLED without one. With a deadline it raises nothing: something else is on its way out, and
        that is what the user should see."""
        # As it can be sent: a file's name may be no UTF-8, and a text be longer than a message.
        said = error[:_MAX_ERROR].encode(errors="replace").decode()
        try:
            held.send(self._patience_until(deadline), deadline)
            held.end(
                lambda *_: self._until(deadline).abandon_trial(self._study_id, held.trial_id, held.attempt, said),
                self._patience_until(deadline),
                f"ending trial {number}",
                deadline,
            )
            self._say_if_lost(held, number, deadline)
        except Exception as trouble:
            if deadline == math.inf:
                raise
            _log.warning("trial %d could not be ended (%s): another program gets it after its lease", number, trouble)

    def _patience_until(self, deadline: float) -> float:
        return self._patience if deadline == math.inf else deadline - time.monotonic()

    def _until(self, deadline: float) -> ManagerClient:
        return self._client if deadline == math.inf else self._client.within(deadline - time.monotonic())

    def _say_if_lost(self, held: Held, number: int, deadline: float) -> None:
        if not held.lost:
            return
        stopped = self._stopped(held, deadline)
        if stopped and held.told:
            _log.info("trial %d ended early, as its program was told: %s", number, stopped)
        else:
            _log.warning(
                "trial %d is not this program's any more, and its result is not taken: %s", number, stopped or held.lost
            )

    def _stopped(self, held: Held, deadline: float) -> str:
        """Why, where it was, and is not another program's now."""
        try:
            trial = self._client.within(min(LEAVE_S, deadline - time.monotonic())).get_trial(held.trial_id).trial
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
